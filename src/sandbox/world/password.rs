//! Passwords (2FA) as Telegram keeps and proves them: a verifier instead of the password, and SRP to show that one
//! knows it without telling it.
//!
//! Pure arithmetic on one side's numbers; slow on purpose, so never to be done where others wait.

use num_bigint::BigUint;
use serde::{Deserialize, Serialize};
use sha2::Sha512;
use subtle::ConstantTimeEq;

use super::refusal::Refusal;
use crate::sandbox::group::{G, PRIME, bytes_256, in_safe_range, random_exponent};
use crate::sandbox::hash::sha256;

/// How often a password is hashed.
const ROUNDS: u32 = 100_000;

/// What is kept of a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    /// The first salt: eight bytes of the server, the rest the client's.
    pub salt1: Vec<u8>,
    /// The second salt.
    pub salt2: Vec<u8>,
    /// The generator to the power of the hashed password, 256 bytes.
    pub verifier: Vec<u8>,
    /// What helps its owner to remember it; shown to everybody who comes as far as to be asked.
    pub hint: String,
    /// Whether it can be recovered by mail.
    #[serde(default)]
    pub recovery: bool,
    /// What is shown of the account's login address, if it has one.
    #[serde(default)]
    pub login_email: Option<String>,
    /// It is asked for by an algorithm that no client of today knows.
    #[serde(default)]
    pub unknown: bool,
}

impl Password {
    /// What is kept of a new password.
    pub fn new(password: &str, hint: &str) -> Self {
        let (mut salt1, mut salt2) = ([0; 40], [0; 16]);
        rand::fill(&mut salt1);
        rand::fill(&mut salt2);
        let hashed = BigUint::from_bytes_be(&hash_password(password.as_bytes(), &salt1, &salt2));
        let verifier = BigUint::from(G).modpow(&hashed, &PRIME);
        Self {
            salt1: salt1.to_vec(),
            salt2: salt2.to_vec(),
            verifier: bytes_256(&verifier).to_vec(),
            hint: hint.to_owned(),
            recovery: false,
            login_email: None,
            unknown: false,
        }
    }
}

/// PH2 of the protocol.
fn hash_password(password: &[u8], salt1: &[u8], salt2: &[u8]) -> [u8; 32] {
    let salted = |data: &[u8], salt: &[u8]| sha256(&[salt, data, salt]);
    let first = salted(&salted(password, salt1), salt2);
    let stretched = pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(&first, salt1, ROUNDS);
    salted(&stretched, salt2)
}

/// The server's secret exponent of one challenge, and the generator to its power.
#[derive(Debug)]
pub struct Half {
    secret: BigUint,
    power: BigUint,
}

impl Half {
    /// Draws one.
    pub fn draw() -> Self {
        loop {
            let secret = random_exponent();
            let power = BigUint::from(G).modpow(&secret, &PRIME);
            if in_safe_range(&power) {
                return Self { secret, power };
            }
        }
    }
}

/// What somebody has to answer who says to know a password. Good for one answer.
#[derive(Debug)]
pub struct Challenge {
    /// Its number.
    pub id: i64,
    /// The account whose password it is.
    pub user: i64,
    /// The server's public value, 256 bytes.
    pub public: [u8; 256],
    password: Password,
    secret: BigUint,
}

impl Challenge {
    /// A challenge out of a half that nobody used.
    pub fn new(id: i64, user: i64, password: &Password, half: Half) -> Self {
        let public = (multiplier() * verifier(password) + half.power) % &*PRIME;
        Self {
            id,
            user,
            public: bytes_256(&public),
            password: password.clone(),
            secret: half.secret,
        }
    }

    /// Whether a client's public value and proof show that it knows the password.
    pub fn answered(&self, a: &[u8], proof: &[u8]) -> Result<(), Refusal> {
        let power = BigUint::from_bytes_be(a);
        if a.len() > 256 || !in_safe_range(&power) {
            return Err(Refusal::bad("SRP_A_INVALID"));
        }
        let a = bytes_256(&power);
        let scramble = BigUint::from_bytes_be(&sha256(&[&a, &self.public]));
        let shared = (power * verifier(&self.password).modpow(&scramble, &PRIME)) % &*PRIME;
        let shared = sha256(&[&bytes_256(&shared.modpow(&self.secret, &PRIME))]);
        let (prime, generator) = (bytes_256(&PRIME), bytes_256(&BigUint::from(G)));
        let mut group = sha256(&[&prime]);
        let other = sha256(&[&generator]);
        group.iter_mut().zip(other).for_each(|(one, other)| *one ^= other);
        let salts = [&self.password.salt1, &self.password.salt2].map(|salt| sha256(&[salt]));
        let expected = sha256(&[&group, &salts[0], &salts[1], &a, &self.public, &shared]);
        match bool::from(expected.ct_eq(proof)) {
            true => Ok(()),
            false => Err(Refusal::bad("PASSWORD_HASH_INVALID")),
        }
    }
}

fn verifier(password: &Password) -> BigUint {
    BigUint::from_bytes_be(&password.verifier)
}

fn multiplier() -> BigUint {
    BigUint::from_bytes_be(&sha256(&[&bytes_256(&PRIME), &bytes_256(&BigUint::from(G))]))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use grammers_crypto::two_factor_auth::calculate_2fa;

    use super::*;

    static PASSWORD: LazyLock<Password> = LazyLock::new(|| Password::new("پرنده 🐦", "a bird"));

    /// What a client that we did not write answers to a challenge.
    fn answer(challenge: &Challenge, password: &str, secret: [u8; 256]) -> ([u8; 32], [u8; 256]) {
        let (salt1, salt2) = (&PASSWORD.salt1, &PASSWORD.salt2);
        let public = challenge.public.to_vec();
        calculate_2fa(
            salt1,
            salt2,
            &bytes_256(&PRIME),
            &(G as i32),
            public,
            secret.to_vec(),
            password,
        )
    }

    fn drawn() -> [u8; 256] {
        bytes_256(&random_exponent())
    }

    #[test]
    fn the_right_password_is_proved_and_a_wrong_one_is_not() {
        let challenge = Challenge::new(1, 7, &PASSWORD, Half::draw());
        let (proof, a) = answer(&challenge, "پرنده 🐦", drawn());
        assert_eq!(challenge.answered(&a, &proof), Ok(()));
        let (wrong, a) = answer(&challenge, "پرنده", drawn());
        let invalid = Err(Refusal::bad("PASSWORD_HASH_INVALID"));
        assert_eq!(challenge.answered(&a, &wrong), invalid);
        assert_eq!(
            challenge.answered(&a, &proof),
            invalid,
            "a proof is of one's own numbers"
        );
    }

    #[test]
    fn an_answer_to_one_challenge_is_none_to_another() {
        let one = Challenge::new(1, 7, &PASSWORD, Half::draw());
        let other = Challenge::new(2, 7, &PASSWORD, Half::draw());
        assert_ne!(one.public, other.public);
        let (proof, a) = answer(&one, "پرنده 🐦", drawn());
        assert!(other.answered(&a, &proof).is_err());
    }

    #[test]
    fn public_values_without_a_secret_are_refused() {
        let challenge = Challenge::new(1, 7, &PASSWORD, Half::draw());
        let refused = Err(Refusal::bad("SRP_A_INVALID"));
        for a in [
            vec![],
            vec![0; 256],
            vec![1],
            bytes_256(&PRIME).to_vec(),
            vec![7; 300],
        ] {
            assert_eq!(challenge.answered(&a, &[0; 32]), refused);
        }
        let (_, a) = answer(&challenge, "", drawn());
        assert!(challenge.answered(&a, &[]).is_err());
    }

    #[test]
    fn two_accounts_with_one_password_have_nothing_in_common() {
        let other = Password::new("پرنده 🐦", "a bird");
        assert_ne!(other.verifier, PASSWORD.verifier);
        assert_ne!(other.salt1, PASSWORD.salt1);
    }
}
