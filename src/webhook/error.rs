//! What can go wrong with a call of this domain.

use super::endpoint::EndpointFault;
use crate::base::{Code, Coded, Retry};
use crate::store::StoreError;

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// No such endpoint or delivery.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The request asks for something that an endpoint cannot be.
    #[error(transparent)]
    Fault(#[from] EndpointFault),
    /// The URL leads to an address that may not be called.
    #[error("url: its address is not a public one and not in the allowed networks")]
    Forbidden,
    /// The name in the URL leads nowhere.
    #[error("url: the name of its host does not resolve")]
    Unresolvable,
    /// The endpoint is set up in the configuration.
    #[error("the endpoint is set up in the configuration; change it there")]
    Configured,
    /// The endpoint is disabled.
    #[error("the endpoint is disabled; enable it first")]
    Disabled,
    /// The event of a finished delivery is not kept any more.
    #[error("the event of this delivery is not kept any more")]
    EventGone,
    /// An event type that there is no example of in this shape.
    #[error("there is no example of this event type in the endpoint's shape")]
    NoExample,
    /// The store.
    #[error("the store did not do it")]
    Store(#[from] StoreError),
    /// The supervisor of the deliverers.
    #[error("the endpoint's deliverer did not start")]
    Start(#[from] crate::runtime::StartError),
    /// The source of randomness.
    #[error("there is no randomness for a secret")]
    Random(#[from] getrandom::Error),
}

impl Coded for WebhookError {
    fn code(&self) -> Code {
        match self {
            Self::NotFound(_) => Code::NotFound,
            Self::Fault(EndpointFault::Url(_)) | Self::Forbidden => Code::AddressForbidden,
            Self::Fault(_) | Self::Unresolvable | Self::NoExample => Code::InvalidRequest,
            Self::Configured | Self::Disabled | Self::EventGone => Code::Conflict,
            Self::Store(error) => error.code(),
            Self::Start(_) => Code::Unavailable,
            Self::Random(_) => Code::Internal,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Store(error) => error.retry(),
            Self::Start(_) => Retry::Backoff,
            _ => Retry::Never,
        }
    }
}
