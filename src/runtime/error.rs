//! What starting and commanding children can answer.

use std::fmt;
use std::sync::Arc;

/// Why something ended or could not start, in words: the `Display` of an error, or a panic's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(Arc<str>);

impl Reason {
    /// Longest text that is kept of an error or panic.
    const LONGEST: usize = 400;

    pub(super) fn new(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let mut end = text.len().min(Self::LONGEST);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text[..end].into())
    }

    /// What a panic said.
    pub(super) fn of_panic(payload: &(dyn std::any::Any + Send)) -> Self {
        let said = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::new(format!("panic: {}", said.unwrap_or("without words")))
    }

    /// What an error says, with its sources.
    pub(super) fn of_error(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            source = inner.source();
        }
        Self::new(text)
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a start or a command did not succeed. In each case nothing else was disturbed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A child with this id is there already, in whatever state.
    #[error("there is a child with this id")]
    Duplicate,
    /// The child did not start.
    #[error("the start of {child} failed: {reason}")]
    Failed {
        /// The child's id.
        child: Arc<str>,
        /// What it said.
        reason: Reason,
    },
    /// No child has this id.
    #[error("there is no child with this id")]
    Unknown,
    /// The child is quarantined and waits for its release.
    #[error("the child is quarantined")]
    Quarantined,
    /// The child is not quarantined, so there is nothing to release.
    #[error("the child is not quarantined")]
    NotQuarantined,
    /// The child was terminated while its start was waited for.
    #[error("the child was terminated")]
    Terminated,
    /// The supervisor is not there or is stopping.
    #[error("the supervisor is not running")]
    Unavailable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_at_a_character() {
        let long = "é".repeat(Reason::LONGEST);
        assert_eq!(Reason::new(long).as_str().len(), Reason::LONGEST);
        let payload: Box<dyn std::any::Any + Send> = Box::new("boom");
        assert_eq!(Reason::of_panic(payload.as_ref()).as_str(), "panic: boom");
    }
}
