//! Digits: decimal ones of all scripts, as people type and paste them, and numbers in which nothing else may stand. Pure.

/// Where the ten digits of each script begin (Unicode, general category Nd).
const ZEROS: [u32; 38] = [
    0x0030, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
    0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50,
    0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0,
];

/// A digit of any script as an ASCII digit; none if it is another character.
pub fn digit(character: char) -> Option<char> {
    let code = u32::from(character);
    let zero = ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code))?;
    char::from_digit(code - zero, 10)
}

/// Whether a character is one that cannot be seen and comes with pasting: spaces, marks of direction, joiners.
pub fn is_invisible(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(character, '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A number of ASCII digits alone: the standard library's parser takes a sign for part of one.
pub fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Bytes written as pairs of hexadecimal digits; none if anything else stands there.
pub fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    let (pairs, odd) = text.as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some(value(*high)? << 4 | value(*low)?);
    odd.is_empty().then(|| pairs.iter().map(byte).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_spaces_are_no_digits() {
        assert_eq!(decimal::<i32>("0002"), Some(2));
        assert_eq!(unhex(b"00fF5a"), Some(vec![0, 0xff, 0x5a]));
        for wrong in ["", "+2", "-2", " 2", "2 ", "99999999999", "٢", "2.0", "0x2"] {
            assert_eq!(decimal::<i32>(wrong), None, "{wrong}");
        }
        for wrong in ["+5", "-5", " 5", "5", "555", "0x", "5g", "é"] {
            assert_eq!(unhex(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn bytes_are_read_as_they_were_written(bytes: Vec<u8>) {
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            proptest::prop_assert_eq!(unhex(text.as_bytes()), Some(bytes));
        }
    }

    #[test]
    fn digits_of_all_scripts_are_digits() {
        for (text, plain) in [
            ("۲۲۳۴۵", "22345"),
            ("٠١٢٩", "0129"),
            ("１２３", "123"),
            ("१२३", "123"),
        ] {
            let read: Option<String> = text.chars().map(digit).collect();
            assert_eq!(read.as_deref(), Some(plain));
        }
        for other in ['a', '/', ':', '½', '²', '一'] {
            assert_eq!(digit(other), None, "{other}");
        }
    }

    #[test]
    fn what_comes_with_pasting_is_not_seen() {
        assert!(
            "\u{200e}\u{202a} \u{202c}\u{2068}\u{feff}\u{a0}"
                .chars()
                .all(is_invisible)
        );
        assert!(!"1-a+".chars().any(is_invisible));
    }
}
