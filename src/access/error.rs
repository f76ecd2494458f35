//! What can go wrong with keys and remembered answers.

use std::time::Duration;

use crate::base::{Code, Coded, Retry};
use crate::store::StoreError;

/// Why it did not work.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// No key has this text, or not any more.
    #[error("no key has this text")]
    Unknown,
    /// There is no such key.
    #[error("there is no such key")]
    NoSuchKey,
    /// What was asked for does not fit.
    #[error("{0}")]
    Invalid(&'static str),
    /// Without this key nobody could make another one.
    #[error("this is the last key that may make keys")]
    LastAdmin,
    /// The same name was used for another request.
    #[error("the name stands for another request")]
    Reused,
    /// The first request of this name is not finished.
    #[error("a request under this name is under way")]
    UnderWay,
    /// The caller's key has as many named requests as are remembered at once.
    #[error("too many idempotency keys are remembered for this API key")]
    TooMany(Duration),
    /// The machine gives no randomness.
    #[error("no randomness")]
    Randomness(#[from] getrandom::Error),
    /// The first key could not be handed over.
    #[error("the first key could not be written")]
    HandOver(#[source] std::io::Error),
    /// The store did not do its part.
    #[error("the store of keys")]
    Store(#[from] StoreError),
}

impl Coded for AccessError {
    fn code(&self) -> Code {
        match self {
            Self::Unknown => Code::Unauthorized,
            Self::NoSuchKey => Code::NotFound,
            Self::Invalid(_) => Code::InvalidRequest,
            Self::LastAdmin => Code::Conflict,
            Self::UnderWay => Code::IdempotencyInProgress,
            Self::TooMany(_) => Code::RateLimited,
            Self::Reused => Code::IdempotencyMismatch,
            Self::Randomness(_) | Self::HandOver(_) => Code::Internal,
            Self::Store(error) => error.code(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::UnderWay => Retry::After(Duration::from_secs(1)),
            Self::TooMany(wait) => Retry::After(*wait),
            Self::Store(error) => error.retry(),
            _ => Retry::Never,
        }
    }
}
