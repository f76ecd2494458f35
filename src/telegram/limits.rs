//! Between a call and Telegram stands the limiter: a call passes it before, and tells it of every
//! flood wait after.

use std::time::Duration;

use grammers_client::tl::RemoteCall;

use crate::base::{SessionId, Timestamp};
use crate::limiter::{Ask, Cause, CostClass, Grant, Limiter, Patience, Urgency};
use crate::model::ChatId;
use crate::model::Refusal;
use crate::model::refusal::Scope;

use super::error::TelegramError;
use super::link::Link;

/// How long a page of dialogs or of a history may wait for its turn when nobody waits for it.
const READING: Duration = Duration::from_secs(60);

/// How long another call of the session itself may wait.
const OWN: Duration = Duration::from_secs(10);

/// Reads a page for the session itself, with all the limiter has to do with that.
///
/// # Errors
/// If the limiter or Telegram refused.
pub(crate) async fn read<R: RemoteCall>(
    limiter: &Limiter,
    link: &Link,
    chat: Option<ChatId>,
    request: &R,
) -> Result<R::Return, TelegramError> {
    let ask = Ask {
        session: link.id,
        chat,
        class: CostClass::History,
        units: 1,
        stranger: false,
        patience: Patience::from(READING).with(Urgency::Background),
    };
    through(limiter, link, ask, request).await
}

/// Makes any other call of the session itself.
///
/// # Errors
/// If the limiter or Telegram refused.
pub(crate) async fn made<R: RemoteCall>(
    limiter: &Limiter,
    link: &Link,
    class: CostClass,
    request: &R,
) -> Result<R::Return, TelegramError> {
    let ask = Ask {
        session: link.id,
        chat: None,
        class,
        units: 1,
        stranger: false,
        patience: OWN.into(),
    };
    through(limiter, link, ask, request).await
}

/// The one door: a call waits for its turn, is made, and what the answer says about limits is learned.
///
/// # Errors
/// If the limiter or Telegram refused.
pub(crate) async fn through<R: RemoteCall>(
    limiter: &Limiter,
    link: &Link,
    ask: Ask,
    request: &R,
) -> Result<R::Return, TelegramError> {
    let grant = pass(limiter, ask).await?;
    let answer = link.invoke(request).await;
    heed(limiter, link.id, ask.chat, (ask.class, grant), answer).await
}

/// Waits for the call's turn.
///
/// # Errors
/// If it would come later than the caller's patience allows.
pub(crate) async fn pass(limiter: &Limiter, ask: Ask) -> Result<Grant, TelegramError> {
    limiter.acquire(ask).await.map_err(|limited| match limited.cause {
        Cause::PeerFlood => TelegramError::Rpc {
            class: Refusal::PeerFlood,
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
            Refusal::Wait {
                until,
                scope: Scope::Account,
            } => {
                limiter
                    .flooded(session, chat, class, until.since(Timestamp::now()))
                    .await;
            }
            Refusal::Wait {
                until,
                scope: Scope::Chat,
            } => {
                let wait = until.since(Timestamp::now());
                match chat {
                    Some(chat) => limiter.slowed(session, chat, wait).await,
                    None => limiter.flooded(session, None, class, wait).await,
                }
            }
            Refusal::PeerFlood => limiter.peer_flooded(session).await,
            _ => {}
        }
    }
    answer
}
