//! Telegram's words in our neutral form: chats, messages, events, session states.
//!
//! Pure data: no client library, no tokio, no I/O. `telegram` makes them, everyone reads them.

pub mod action;
pub mod chat;
pub mod event;
pub mod file_id;
pub mod message;
pub mod own;
pub mod refusal;
pub mod session;

pub use action::Action;
pub use chat::{ChatId, ChatKind, MessageId, UserId};
pub use event::{Event, EventBody, EventKind};
pub use file_id::FileId;
pub use message::{Entity, EntityKind, FileRef, Forwarded, Media, MediaKind, Message, ReplyTo, Sender};
pub use own::{MediaView, Own};
pub use refusal::Refusal;
pub use session::{LoginStep, SessionState, Wanted};
