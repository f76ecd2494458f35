//! Names that people give to things, such as keys and sessions. Pure.

use super::digits::is_invisible;

/// Whether a text can be a name: something of it is seen, it has no control characters, which terminals and logs obey,
/// and no more characters than that.
pub fn is_name(text: &str, longest: usize) -> bool {
    let seen = text.chars().any(|character| !is_invisible(character));
    seen && text.chars().count() <= longest && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_or_is_obeyed_is_no_name() {
        for right in ["x", "فروش ۱", "a\u{200c}b", &"x".repeat(100)] {
            assert!(is_name(right, 100), "{right:?}");
        }
        let long = "x".repeat(101);
        for wrong in [
            "",
            " ",
            "\u{200b}\u{feff}",
            "a\0b",
            "a\nb",
            "\u{1b}[2J",
            "a\u{85}",
            &long,
        ] {
            assert!(!is_name(wrong, 100), "{wrong:?}");
        }
    }
}
