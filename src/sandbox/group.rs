//! The group in which secrets are agreed on: in the key exchange, and when a password is proved.

use std::sync::LazyLock;

use num_bigint::BigUint;

/// The generator. Clients know 3 to fit the prime.
pub const G: u32 = 3;

const PRIME_HEX: &str = concat!(
    "C71CAEB9C6B1C9048E6C522F70F13F73980D40238E3E21C14934D037563D930F",
    "48198A0AA7C14058229493D22530F4DBFA336F6E0AC925139543AED44CCE7C37",
    "20FD51F69458705AC68CD4FE6B6B13ABDC9746512969328454F18FAF8C595F64",
    "2477FE96BB2A941D5BCD1D4AC8CC49880708FA9B378E3C4F3A9060BEE67CF9A4",
    "A4A695811051907E162753B56B0F6B410DBA74D8A84B2A14B3144E0EF1284754",
    "FD17ED950D5965B4B9DD46582DB1178D169C6BC465B0D6FF9CA3928FEF5B9AE4",
    "E418FC15E83EBEA0F87FA9FF5EED70050DED2849F47BF959D956850CE929851F",
    "0D8115F635B105EE2E4E15D04B2454BF6F4FADF034B10403119CD8E3B92FCC5B",
);

/// The 2048-bit safe prime that Telegram publishes. Clients insist on it, or skip their test for it alone.
pub static PRIME: LazyLock<BigUint> =
    LazyLock::new(|| BigUint::parse_bytes(PRIME_HEX.as_bytes(), 16).unwrap_or_default());

/// Whether a public value keeps the distance from the ends of the group that the protocol asks for.
pub fn in_safe_range(value: &BigUint) -> bool {
    let margin = BigUint::from(1u8) << 1984;
    *value > margin && *value < &*PRIME - margin
}

/// The number as 256 bytes, big-endian.
///
/// # Panics
/// If it has more: numbers here are residues of 2048-bit moduli.
pub fn bytes_256(number: &BigUint) -> [u8; 256] {
    let bytes = number.to_bytes_be();
    let mut out = [0; 256];
    out[256 - bytes.len()..].copy_from_slice(&bytes);
    out
}

/// A secret exponent.
pub fn random_exponent() -> BigUint {
    let mut bytes = [0; 256];
    rand::fill(&mut bytes);
    BigUint::from_bytes_be(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prime_is_the_published_one() {
        assert_eq!(PRIME.bits(), 2048);
        assert!(glass_pumpkin::prime::strong_check(&PRIME));
        let half = (&*PRIME - 1u8) >> 1;
        assert!(glass_pumpkin::prime::strong_check(&half), "a safe prime");
        assert_eq!(
            &*PRIME % 3u8,
            BigUint::from(2u8),
            "what makes 3 generate the right subgroup"
        );
    }

    #[test]
    fn the_ends_of_the_group_are_refused() {
        assert!(!in_safe_range(&BigUint::from(1u8)));
        assert!(!in_safe_range(&(&*PRIME - 1u8)));
        assert!(in_safe_range(&(&*PRIME >> 1)));
        assert_eq!(bytes_256(&BigUint::from(0x0102u16))[253..], [0, 1, 2]);
    }
}
