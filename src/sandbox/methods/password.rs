//! `account.getPassword` and `auth.checkPassword`: the question for a password and its answer.
//!
//! What both have to calculate is done before the world is locked: [`problem`] says what, under the lock, and takes
//! the challenge out, so that it is good for one answer only.

use grammers_tl_types::{Deserializable, Identifiable, enums, functions as f, types};

use super::{Answer, Ctx, auth};
use crate::sandbox::group::{G, PRIME, bytes_256};
use crate::sandbox::world::password::{Challenge, Half};
use crate::sandbox::world::{Refusal, State};

/// What was calculated beforehand.
#[derive(Debug, Default)]
pub enum Arithmetic {
    /// Nothing.
    #[default]
    None,
    /// The server's half of a new challenge.
    Half(Half),
    /// Whether a challenge was answered.
    Proof(Answer<()>),
}

/// What is to be calculated.
pub enum Problem {
    /// Nothing.
    None,
    /// The server's half of a new challenge.
    Half,
    /// Whether this is the answer to a challenge.
    Proof {
        /// The challenge.
        challenge: Box<Challenge>,
        /// The client's public value.
        a: Vec<u8>,
        /// Its proof.
        m1: Vec<u8>,
    },
}

impl Problem {
    /// Calculates it.
    pub fn solve(self) -> Arithmetic {
        match self {
            Self::None => Arithmetic::None,
            Self::Half => Arithmetic::Half(Half::draw()),
            Self::Proof { challenge, a, m1 } => Arithmetic::Proof(challenge.answered(&a, &m1)),
        }
    }
}

fn constructor(body: &[u8]) -> Option<u32> {
    body.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes))
}

/// Whether a call may have something to calculate.
pub fn is_about_passwords(body: &[u8]) -> bool {
    let asks = constructor(body);
    asks == Some(f::account::GetPassword::CONSTRUCTOR_ID)
        || asks == Some(f::auth::CheckPassword::CONSTRUCTOR_ID)
}

/// What such a call has to calculate.
pub fn problem(state: &mut State, key: i64, body: &[u8]) -> Problem {
    let asked = state.asked_for_password(key).ok();
    let account = asked.and_then(|user| state.account(user).ok());
    if account.is_none_or(|account| account.password.is_none()) {
        return Problem::None;
    }
    if constructor(body) == Some(f::account::GetPassword::CONSTRUCTOR_ID) {
        return Problem::Half;
    }
    let parameters = body.get(4..).unwrap_or_default();
    let answer = f::auth::CheckPassword::from_bytes(parameters).map(|request| request.password);
    let Ok(enums::InputCheckPasswordSrp::Srp(types::InputCheckPasswordSrp { srp_id, a, m1 })) = answer else {
        return Problem::None;
    };
    let challenges = &mut state.keys.challenges;
    match challenges
        .get(&key)
        .is_some_and(|challenge| challenge.id == srp_id)
    {
        true => challenges
            .remove(&key)
            .map_or(Problem::None, |challenge| Problem::Proof {
                challenge: Box::new(challenge),
                a,
                m1,
            }),
        false => Problem::None,
    }
}

/// `account.getPassword`, also for who has proved all but the password. Each one is a new challenge, and the end of
/// the one before.
pub fn get_password(ctx: &mut Ctx<'_>, _: f::account::GetPassword) -> Answer<enums::account::Password> {
    let user = ctx.state.asked_for_password(ctx.key.0)?;
    let password = ctx.state.account(user)?.password.clone();
    let half = match std::mem::take(&mut ctx.arithmetic) {
        Arithmetic::Half(half) => Some(half),
        _ => None,
    };
    let challenge = match &password {
        Some(password) => {
            ctx.state.keys.count += 1;
            let id = ctx.state.derive(43, ctx.state.keys.count, ctx.state.now);
            let half = half.unwrap_or_else(Half::draw);
            Some(Challenge::new(id, user, password, half))
        }
        None => None,
    };
    let kdf = |salt1: Vec<u8>, salt2: Vec<u8>| -> enums::PasswordKdfAlgo {
        types::PasswordKdfAlgoSha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow {
            salt1,
            salt2,
            g: G as i32,
            p: bytes_256(&PRIME).to_vec(),
        }
        .into()
    };
    let current_algo = password.as_ref().map(|password| match password.unknown {
        true => enums::PasswordKdfAlgo::Unknown,
        false => kdf(password.salt1.clone(), password.salt2.clone()),
    });
    let answer = types::account::Password {
        has_recovery: password.as_ref().is_some_and(|password| password.recovery),
        has_secure_values: false,
        has_password: password.is_some(),
        current_algo,
        srp_b: challenge.as_ref().map(|challenge| challenge.public.to_vec()),
        srp_id: challenge.as_ref().map(|challenge| challenge.id),
        hint: password
            .as_ref()
            .map(|password| password.hint.clone())
            .filter(|hint| !hint.is_empty()),
        email_unconfirmed_pattern: None,
        new_algo: kdf(random::<8>(), random::<16>()),
        new_secure_algo: types::SecurePasswordKdfAlgoPbkdf2Hmacsha512iter100000 { salt: random::<8>() }
            .into(),
        secure_random: random::<256>(),
        pending_reset_date: None,
        login_email_pattern: password.and_then(|password| password.login_email),
    };
    if let Some(challenge) = challenge {
        ctx.state.keys.challenges.insert(ctx.key.0, challenge);
    }
    Ok(answer.into())
}

fn random<const N: usize>() -> Vec<u8> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes);
    bytes.to_vec()
}

/// `auth.checkPassword`
pub fn check_password(ctx: &mut Ctx<'_>, r: f::auth::CheckPassword) -> Answer<enums::auth::Authorization> {
    let known = ctx.state.keys.known.get(&ctx.key.0);
    let user = match known.and_then(|known| known.pending) {
        Some(user) => user,
        None => {
            ctx.state.user_of(ctx.key.0)?;
            return Err(Refusal::bad("PASSWORD_EMPTY"));
        }
    };
    if ctx.state.account(user)?.is_gone() {
        return Err(Refusal::unauthorized("USER_DEACTIVATED_BAN"));
    }
    // Without a password any more: it was taken away meanwhile.
    if ctx.state.account(user)?.password.is_some() {
        if r.password == enums::InputCheckPasswordSrp::InputCheckPasswordEmpty {
            return Err(Refusal::bad("PASSWORD_HASH_INVALID"));
        }
        match std::mem::take(&mut ctx.arithmetic) {
            Arithmetic::Proof(proof) => proof?,
            _ => return Err(Refusal::bad("SRP_ID_INVALID")),
        }
    }
    ctx.state.log_in(ctx.key.0, user)?;
    Ok(auth::authorization(ctx, user))
}
