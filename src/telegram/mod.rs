//! Telegram: sessions, login, updates in, effects out. The only floor that knows grammers.
//!
//! [`Telegram`] is the door. Behind it a manager decides which sessions run, and each that does has a
//! supervised subtree (`session`). What arrives goes into the store's journal; nobody is told of it here.

mod account;
mod actions;
mod audience;
mod awaited;
mod calls;
mod chats;
mod config;
mod effects;
mod entities;
mod error;
mod exchange;
mod forget;
mod from_tl;
mod handle;
mod heavy;
mod import;
mod inactive;
mod incident;
mod key_check;
mod limits;
mod link;
mod logins;
mod manager;
mod met;
mod outgoing;
mod params;
mod peers;
mod portable;
mod reading;
mod receipt;
mod refusals;
mod reply;
mod requests;
mod rotation;
mod server_key;
mod session;
mod session_store;
mod side;
mod spares;
mod srp;
mod sweep;
mod tables;
mod updates;
mod upload;
mod vitals;

pub use account::{Account, AccountPatch, NewAccount};
pub use audience::{Asks, Listening};
pub use calls::{CallsView, MethodCalls, Quantiles};
pub use chats::ChatInfo;
pub use config::{DcConfig, ServerConfig, TelegramConfig};
pub use effects::Reach;
pub use error::TelegramError;
pub use exchange::{ExchangeError, create_auth_key};
pub use handle::{ConnectionView, SessionView, Telegram};
pub use import::ImportError;
pub use logins::Ending;
pub use outgoing::{Outgoing, OutgoingBody, OutgoingMedia, Revision, SentPart};
pub use portable::{Form, Portable, Surroundings};
pub use reading::{Contact, MessagePage};
pub use server_key::{NotAKey, ServerKey};
pub use session::{Login, SentCode, ShownQr};
pub use upload::{Content, Spooled, Upload};
pub use vitals::Health;
