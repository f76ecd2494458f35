//! Codes as people type and paste them, in the form that Telegram takes. Pure.

use crate::base::digits::{digit, is_invisible};

/// A code as Telegram wants it, by the way on which it was sent and the number of its digits (0 if that is not known).
///
/// The digits of all scripts are digits, and marks that come with pasting are dropped; words keep the spaces between
/// them. Of the number of a missed call the last digits are taken.
pub(super) fn as_typed(code: &str, kind: &str, length: i32) -> String {
    if matches!(kind, "word" | "phrase") {
        return words(code);
    }
    let of_call = matches!(kind, "missed_call" | "flash_call");
    let seen = code.chars().filter(|character| !is_invisible(*character));
    let plain: String = seen
        .map(|character| digit(character).unwrap_or(character))
        .collect();
    let between = |character: char| character == '-' || (of_call && matches!(character, '+' | '(' | ')'));
    if !plain
        .chars()
        .all(|character| character.is_ascii_digit() || between(character))
    {
        return plain;
    }
    let digits: String = plain.chars().filter(char::is_ascii_digit).collect();
    let length = usize::try_from(length).unwrap_or_default();
    match (kind, digits.len().checked_sub(length)) {
        ("missed_call", Some(before)) if length > 0 => digits[before..].to_owned(),
        _ => digits,
    }
}

/// Words with one space between them, without marks that nobody sees; joiners are part of a word.
fn words(code: &str) -> String {
    let joins = |character: char| matches!(character, '\u{200c}' | '\u{200d}');
    let kept = |character: &char| character.is_whitespace() || joins(*character) || !is_invisible(*character);
    let seen: String = code.chars().filter(kept).collect();
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_taken_as_people_type_and_paste_them() {
        for typed in ["22345", " 2 23 45 ", "۲۲۳۴۵", "22-345", "\u{200e}٢٢٣٤٥\u{feff}"] {
            assert_eq!(as_typed(typed, "sms", 5), "22345", "{typed}");
        }
        assert_eq!(as_typed("ab-12", "app", 5), "ab-12");
    }

    #[test]
    fn a_phrase_keeps_its_spaces_and_joiners() {
        assert_eq!(
            as_typed(" \u{202b}amber\u{a0}birch  cedar\u{202c}", "phrase", 0),
            "amber birch cedar"
        );
        assert_eq!(as_typed("می\u{200c}روم", "word", 0), "می\u{200c}روم");
    }

    #[test]
    fn of_a_missed_call_the_last_digits_are_the_code() {
        for typed in ["+44 (7400) 12-345", "12345", "۱۲۳۴۵"] {
            assert_eq!(as_typed(typed, "missed_call", 5), "12345", "{typed}");
        }
        assert_eq!(as_typed("+4479 123", "flash_call", 0), "4479123", "all of it");
    }
}
