//! Stretches of time as people write them in the configuration: `"15s"`, `"2h 30m"`, `"250ms"`.

use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly;
use serde::{Deserialize, Deserializer, Serialize, de};

/// The longest: a time that far ahead can still be reckoned with, by every clock there is.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A duration that reads and writes as a friendly text; none is read that is longer than a hundred years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Span(
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")] pub Duration,
);

impl Span {
    /// This many seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// This many milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let duration = friendly::compact::required::deserialize(deserializer)?;
        match duration <= LONGEST {
            true => Ok(Self(duration)),
            false => Err(de::Error::custom("must be at most 876000h (100 years)")),
        }
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl std::ops::Deref for Span {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn friendly_texts_are_read() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("15s", 15_000),
            ("2h 30m", 9_000_000),
            ("5h", 18_000_000),
        ] {
            let span: Span = serde_json::from_value(serde_json::json!(text)).expect(text);
            assert_eq!(span, Span::millis(millis), "{text}");
        }
        assert!(serde_json::from_str::<Span>("\"-5s\"").is_err());
        assert!(serde_json::from_str::<Span>("\"soon\"").is_err());
        assert!(serde_json::from_str::<Span>("\"876000h\"").is_ok());
        for long in ["876000h 1s", "5124095576030h", "18446744073709551615s"] {
            assert!(
                serde_json::from_value::<Span>(serde_json::json!(long)).is_err(),
                "{long}"
            );
        }
    }
}
