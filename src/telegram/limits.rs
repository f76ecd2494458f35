//! Between a call and Telegram stands the limiter: a call passes it before, and tells it of every
//! flood wait after.

use crate::base::{SessionId, Timestamp};
use crate::limiter::{Ask, Cause, CostClass, Grant, Limiter};
use crate::model::ChatId;

use super::error::{ErrorClass, TelegramError};

/// Waits for the call's turn.
///
/// # Errors
/// If it would come later than the caller's patience allows.
pub(crate) async fn pass(limiter: &Limiter, ask: Ask) -> Result<Grant, TelegramError> {
    limiter.acquire(ask).await.map_err(|limited| match limited.cause {
        Cause::PeerFlood => TelegramError::Rpc {
            class: ErrorClass::PeerFlood,
            name: "PEER_FLOOD".to_owned(),
        },
        _ => TelegramError::Limited(limited.until),
    })
}

/// Tells the limiter what the answer to a call it let go says about limits, and gives the answer on.
///
/// # Errors
/// The answer's own.
pub(crate) async fn heed<T>(
    limiter: &Limiter,
    session: SessionId,
    chat: Option<ChatId>,
    (class, grant): (CostClass, Grant),
    answer: Result<T, TelegramError>,
) -> Result<T, TelegramError> {
    if answer.is_ok() && grant.probe {
        limiter.proven(session).await;
    }
    if let Err(error) = &answer {
        match error.class() {
            ErrorClass::FloodWait(until) => {
                limiter
                    .flooded(session, chat, class, until.since(Timestamp::now()))
                    .await;
            }
            ErrorClass::SlowMode(until) => {
                let wait = until.since(Timestamp::now());
                match chat {
                    Some(chat) => limiter.slowed(session, chat, wait).await,
                    None => limiter.flooded(session, None, class, wait).await,
                }
            }
            ErrorClass::PeerFlood => limiter.peer_flooded(session).await,
            _ => {}
        }
    }
    answer
}
