//! What can go wrong with pairs.

use super::pair::Place;
use crate::base::{Code, Coded, PairId, Retry};
use crate::runtime::StartError;
use crate::store::StoreError;

/// Why something could not be done with a pair.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// There is no such pair.
    #[error("there is no pair {0}")]
    Unknown(PairId),
    /// The request itself is not right.
    #[error("{0}")]
    Invalid(&'static str),
    /// It would lead messages back to where they came from.
    #[error("messages would come back to the source{}", via(.0))]
    Loop(Vec<PairId>),
    /// There is a pair from this source to this destination.
    #[error("pair {0} forwards from this source to this destination already")]
    Exists(PairId),
    /// A session that it names does not exist.
    #[error("there is no such session as the pair names")]
    UnknownSession,
    /// The source forbids forwarding and copying.
    #[error("the source forbids forwarding and saving its content")]
    Protected,
    /// The account is in the source chat no more.
    #[error("the account is in the source chat no more, or that has moved: nothing comes from it")]
    Left,
    /// A topic of a chat that has none.
    #[error("{name}.topic: the chat has no topics", name = .0.0)]
    NoForum((&'static str, Place)),
    /// Telegram could not be asked.
    #[error("{0}")]
    Telegram(String, Code),
    /// The store failed.
    #[error("the store did not keep it")]
    Store(#[from] StoreError),
    /// Its worker could not be started.
    #[error("its worker did not start")]
    Start(#[from] StartError),
}

fn via(pairs: &[PairId]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let names: Vec<String> = pairs.iter().map(PairId::to_string).collect();
    format!(" by way of {}", names.join(", "))
}

impl Coded for PairError {
    fn code(&self) -> Code {
        match self {
            Self::Unknown(_) | Self::UnknownSession => Code::NotFound,
            Self::Invalid(_) | Self::NoForum(_) => Code::InvalidRequest,
            Self::Loop(_) => Code::PairLoop,
            Self::Exists(_) | Self::Left => Code::Conflict,
            Self::Protected => Code::ForwardsRestricted,
            Self::Telegram(_, code) => *code,
            Self::Store(error) => error.code(),
            Self::Start(_) => Code::Unavailable,
        }
    }

    fn details(&self) -> Option<serde_json::Value> {
        match self {
            Self::UnknownSession => Some(serde_json::json!({ "reason": self.to_string() })),
            Self::Exists(id) => Some(serde_json::json!({ "pair": id })),
            Self::Loop(pairs) if !pairs.is_empty() => Some(serde_json::json!({ "pairs": pairs })),
            Self::NoForum((end, _)) => Some(serde_json::json!({ "field": format!("{end}.topic") })),
            _ => None,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Store(error) => error.retry(),
            Self::Start(_) | Self::Telegram(..) => Retry::Backoff,
            _ => Retry::Never,
        }
    }
}
