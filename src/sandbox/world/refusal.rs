//! Refusals in Telegram's own words: a number and a name.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What Telegram answers instead of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{name} ({code})")]
pub struct Refusal {
    /// The number: 303, 400, 401, 403, 406, 420, 500.
    pub code: i32,
    /// The name, with its value if it has one.
    pub name: Cow<'static, str>,
}

impl Refusal {
    /// The request is wrong (400).
    pub const fn bad(name: &'static str) -> Self {
        Self {
            code: 400,
            name: Cow::Borrowed(name),
        }
    }

    /// The key is not logged in, or no longer (401).
    pub const fn unauthorized(name: &'static str) -> Self {
        Self {
            code: 401,
            name: Cow::Borrowed(name),
        }
    }

    /// The account may not do this (403).
    pub const fn forbidden(name: &'static str) -> Self {
        Self {
            code: 403,
            name: Cow::Borrowed(name),
        }
    }

    /// Too soon (420): `name` is what stands before the seconds, such as `FLOOD_WAIT`.
    pub fn wait(name: &str, seconds: i64) -> Self {
        Self {
            code: 420,
            name: Cow::Owned(format!("{name}_{seconds}")),
        }
    }

    /// Any other pair.
    pub fn other(code: i32, name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            name: name.into(),
        }
    }
}
