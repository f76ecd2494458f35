//! The config section `[access]`: the first admin key, if the operator chooses it.

use serde::Deserialize;

use super::secret::LONGEST;
use crate::base::Secret;

/// A text of the operator's own must be at least this long.
pub(super) const SHORTEST: usize = 16;

/// The config section `[access]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessConfig {
    /// The first admin key of an installation that has none; one is made if nothing is said.
    pub first_key: Option<Secret>,
}

impl AccessConfig {
    /// Everything that cannot be, by key.
    pub fn faults(&self) -> Vec<(String, String)> {
        let key = self.first_key.as_ref();
        let why = key.and_then(|key| unfit(key.expose()));
        let fault = |why: String| ("access.first_key (API_SECRET_KEY)".to_owned(), why);
        why.map(fault).into_iter().collect()
    }
}

/// Why a text cannot be a key; none if it can.
pub(super) fn unfit(text: &str) -> Option<String> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        // It comes in a header.
        return Some("must be of visible ASCII characters".to_owned());
    }
    let fits = (SHORTEST..=LONGEST).contains(&text.len());
    (!fits).then(|| format!("must have {SHORTEST} to {LONGEST} characters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_key_that_no_caller_could_send_is_refused() {
        let faults = |text: String| {
            let config = AccessConfig {
                first_key: Some(Secret::new(text)),
            };
            config.faults().len()
        };
        assert_eq!(AccessConfig::default().faults(), []);
        for right in ["x".repeat(SHORTEST), "~".repeat(LONGEST)] {
            assert_eq!(faults(right), 0);
        }
        for wrong in ["", "x", "a key of more than sixteen", "کلیدکلیدکلیدکلید"] {
            assert_eq!(faults(wrong.to_owned()), 1, "{wrong}");
        }
        assert_eq!(faults("x".repeat(LONGEST + 1)), 1);
    }
}
