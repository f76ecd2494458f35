//! Phone numbers that Telegram lets wait with a step of their logins.
//!
//! Such a wait is the number's, not the session's: each login may be by another session. It concerns one kind of call:
//! a code that is there already can be handed in although no other is sent for now. A number is known here by a keyed
//! hash, which tells nobody who has not the installation's secret what it is.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The name of a phone number and a kind of call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub(super) [u8; 16]);

impl Number {
    /// The name of a number, however it is written, and of a call.
    pub fn of(secret: &[u8; 32], phone: &str, call: &str) -> Self {
        let mut hash = Hmac::<Sha256>::new_from_slice(secret).expect("a key may have any length");
        hash.update(b"trunkline login number");
        let digits: Vec<u8> = phone.bytes().filter(u8::is_ascii_digit).collect();
        hash.update(&digits);
        hash.update(b"\0");
        hash.update(call.as_bytes());
        let digest = hash.finalize().into_bytes();
        let mut name = [0; 16];
        name.copy_from_slice(&digest[..16]);
        Self(name)
    }
}

impl std::fmt::Debug for Number {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Number(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_name_in_an_installation_and_another_elsewhere() {
        let name = Number::of(&[1; 32], "+98 912 000 0000", "SendCode");
        assert_eq!(name, Number::of(&[1; 32], "989120000000", "SendCode"));
        assert_ne!(name, Number::of(&[2; 32], "989120000000", "SendCode"));
        assert_ne!(name, Number::of(&[1; 32], "989120000001", "SendCode"));
        assert_ne!(name, Number::of(&[1; 32], "989120000000", "SignIn"));
        assert!(!format!("{name:?}").contains("912"));
    }
}
