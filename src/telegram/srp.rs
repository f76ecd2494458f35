//! The proof that one knows an account's password, without telling it: SRP as
//! <https://core.telegram.org/api/srp> describes it. Pure but for the randomness it is given.

use grammers_client::tl;
use grammers_crypto::two_factor_auth::calculate_2fa;
use num_bigint::BigUint;

use super::error::TelegramError;
use super::exchange::check_group;
use super::heavy;
use crate::base::Secret;

/// The proof of a password for one try, made where it holds nobody up.
///
/// # Errors
/// If the account's password is of a kind that is not known here, or the server's terms are not safe.
pub(super) async fn proof(
    account: tl::types::account::Password,
    password: &Secret,
) -> Result<tl::enums::InputCheckPasswordSrp, TelegramError> {
    let terms = Terms::of(account).ok_or(TelegramError::Conflict(
        "Telegram asks for this password by an algorithm that this release does not know; a newer release is needed",
    ))?;
    let mut random = [0; 256];
    getrandom::fill(&mut random).expect("the system gives randomness");
    let password = password.clone();
    heavy::run(move || terms.prove(&password, &random)).await
}

/// What the proof is made of, as Telegram gave it for this one try.
#[derive(Clone)]
struct Terms {
    id: i64,
    salt1: Vec<u8>,
    salt2: Vec<u8>,
    g: i32,
    p: Vec<u8>,
    g_b: Vec<u8>,
}

impl Terms {
    /// The terms of a try, if the account has a password of a kind we know.
    fn of(password: tl::types::account::Password) -> Option<Self> {
        use tl::enums::PasswordKdfAlgo as Algorithm;
        let Algorithm::Sha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow(algorithm) =
            password.current_algo?
        else {
            return None;
        };
        Some(Self {
            id: password.srp_id?,
            salt1: algorithm.salt1,
            salt2: algorithm.salt2,
            g: algorithm.g,
            p: algorithm.p,
            g_b: password.srp_b?,
        })
    }

    /// The proof. Takes a while: a hundred thousand rounds, then powers of large numbers.
    ///
    /// # Errors
    /// If the terms are such that a proof would give the password away.
    fn prove(
        &self,
        password: &Secret,
        random: &[u8; 256],
    ) -> Result<tl::enums::InputCheckPasswordSrp, TelegramError> {
        self.check()?;
        let (m1, g_a) = calculate_2fa(
            &self.salt1,
            &self.salt2,
            &self.p,
            &self.g,
            self.g_b.clone(),
            random.to_vec(),
            password.expose(),
        );
        Ok(tl::types::InputCheckPasswordSrp {
            srp_id: self.id,
            a: g_a.to_vec(),
            m1: m1.to_vec(),
        }
        .into())
    }

    fn check(&self) -> Result<(), TelegramError> {
        let prime = BigUint::from_bytes_be(&self.p);
        let g_b = BigUint::from_bytes_be(&self.g_b);
        let one = BigUint::from(1u8);
        let sound = self.p.len() == 256
            && self.g_b.len() <= 256
            && g_b > one
            && g_b < &prime - &one
            && check_group(&prime, self.g).is_ok();
        sound.then_some(()).ok_or(TelegramError::Conflict(
            "the server's terms for a password are not safe",
        ))
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// The prime that Telegram uses.
    const PRIME: &str = concat!(
        "c71caeb9c6b1c9048e6c522f70f13f73980d40238e3e21c14934d037563d930f",
        "48198a0aa7c14058229493d22530f4dbfa336f6e0ac925139543aed44cce7c37",
        "20fd51f69458705ac68cd4fe6b6b13abdc9746512969328454f18faf8c595f64",
        "2477fe96bb2a941d5bcd1d4ac8cc49880708fa9b378e3c4f3a9060bee67cf9a4",
        "a4a695811051907e162753b56b0f6b410dba74d8a84b2a14b3144e0ef1284754",
        "fd17ed950d5965b4b9dd46582db1178d169c6bc465b0d6ff9ca3928fef5b9ae4",
        "e418fc15e83ebea0f87fa9ff5eed70050ded2849f47bf959d956850ce929851f",
        "0d8115f635b105ee2e4e15d04b2454bf6f4fadf034b10403119cd8e3b92fcc5b",
    );

    fn prime() -> BigUint {
        BigUint::parse_bytes(PRIME.as_bytes(), 16).expect("a number")
    }

    fn terms() -> Terms {
        Terms {
            id: 7,
            salt1: b"one".to_vec(),
            salt2: b"two".to_vec(),
            g: 3,
            p: prime().to_bytes_be(),
            g_b: BigUint::from(3u8)
                .modpow(&BigUint::from(12345u32), &prime())
                .to_bytes_be(),
        }
    }

    #[test]
    fn another_password_is_another_proof_of_the_same_form() {
        let proof = |password: &str| match terms().prove(&Secret::new(password), &[9; 256]) {
            Ok(tl::enums::InputCheckPasswordSrp::Srp(proof)) => proof,
            other => panic!("no proof: {other:?}"),
        };
        let (one, two) = (proof("a cat"), proof("a dog"));
        assert_eq!((one.srp_id, one.a.len(), one.m1.len()), (7, 256, 32));
        assert_eq!(one.a, two.a, "the public part does not depend on it");
        assert_ne!(one.m1, two.m1);
        assert_ne!(one.m1, Sha256::digest("a cat").to_vec());
    }

    #[test]
    fn terms_that_would_give_the_password_away_are_refused() {
        let refused = |change: fn(&mut Terms)| {
            let mut terms = terms();
            change(&mut terms);
            assert!(terms.prove(&Secret::new("a cat"), &[9; 256]).is_err());
        };
        refused(|terms| terms.g_b = vec![0]);
        refused(|terms| terms.g_b = vec![1]);
        refused(|terms| terms.g_b = terms.p.clone());
        refused(|terms| terms.g_b = vec![1; 300]);
        refused(|terms| terms.g = 9);
        refused(|terms| terms.g = -3);
        refused(|terms| terms.p[255] ^= 2);
        refused(|terms| terms.p = vec![7]);
        refused(|terms| terms.p = vec![]);
    }
}
