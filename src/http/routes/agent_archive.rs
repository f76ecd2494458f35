//! What is there already, for a backend that connects its agents' accounts: a chat's messages page by page, a search
//! in them, a person.

use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::messages::PATIENCE;
use crate::access::Scope;
use crate::base::Timestamp;
use crate::http::answer::Json;
use crate::http::binding::Binding;
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::page::PageQuery;
use crate::http::query::Paged;
use crate::http::route::{Route, route};
use crate::model::{ChatId, MediaKind, Message, MessageId};
use crate::telegram::MessagePage;

const TAG: &str = "agent sessions";

/// Telegram gives no more at once.
const MOST: usize = 100;

pub(crate) fn routes() -> Vec<Route> {
    let read = |path, summary| route(TAG, Method::GET, path, summary).of(Binding::Query);
    vec![
        read(
            "/api/telegram/messages",
            "A chat's messages, newest first, page by page",
        )
        .query::<Paged<ArchiveQuery>>()
        .run(messages),
        read("/api/telegram/messages/search", "Search in a chat's messages")
            .query::<Paged<SearchQuery>>()
            .run(search),
        read(
            "/api/telegram/contacts/{user_id}",
            "A person that an agent's account has seen",
        )
        .query::<OfSession>()
        .run(contact),
    ]
}

/// Which messages.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ArchiveQuery {
    #[expect(dead_code, reason = "dispatch has looked it up")]
    session_id: String,
    chat_id: i64,
}

/// Which messages, and what they hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SearchQuery {
    #[expect(dead_code, reason = "dispatch has looked it up")]
    session_id: String,
    chat_id: i64,
    /// Words of the messages.
    query: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OfSession {
    #[expect(dead_code, reason = "dispatch has looked it up")]
    session_id: String,
}

/// Messages of a chat.
#[derive(Debug, Serialize, JsonSchema)]
struct Archive {
    success: bool,
    items: Vec<ArchivedMessage>,
    /// The cursor of the next page; null if there is none.
    next: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ArchivedMessage {
    id: MessageId,
    chat_id: ChatId,
    /// Who wrote it; null for posts of a channel.
    from: Option<Author>,
    /// Whether the account itself wrote it.
    out: bool,
    text: String,
    date: Timestamp,
    edited_at: Option<Timestamp>,
    reply_to_message_id: Option<MessageId>,
    /// What it carries besides.
    media: Option<MediaKind>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Author {
    id: i64,
    first_name: Option<String>,
    last_name: Option<String>,
    username: Option<String>,
}

/// A person, as the account sees them.
#[derive(Debug, Serialize, JsonSchema)]
struct ContactShown {
    success: bool,
    id: i64,
    first_name: Option<String>,
    last_name: Option<String>,
    username: Option<String>,
    /// If the account may see it; only for the scope manage.
    phone: Option<String>,
    is_bot: bool,
    is_contact: bool,
    is_mutual_contact: bool,
    is_premium: bool,
}

impl From<Message> for ArchivedMessage {
    fn from(message: Message) -> Self {
        Self {
            id: message.id,
            chat_id: message.chat,
            from: message.sender.map(|sender| Author {
                id: sender.id,
                first_name: sender.first_name,
                last_name: sender.last_name,
                username: sender.username,
            }),
            out: message.out,
            text: message.text,
            date: message.date,
            edited_at: message.edit_date,
            reply_to_message_id: message.reply_to.and_then(|reply| reply.within(message.chat)),
            media: message.media.map(|media| media.kind),
        }
    }
}

async fn messages(call: Call) -> Result<Json<Archive>, Failure> {
    let query: Paged<ArchiveQuery> = call.query()?;
    let page = page_of(query.of.chat_id, None, &query.page)?;
    archive(&call, page).await
}

async fn search(call: Call) -> Result<Json<Archive>, Failure> {
    let query: Paged<SearchQuery> = call.query()?;
    if query.of.query.trim().is_empty() {
        return Err(Failure::invalid("query must not be empty").detail("field", "query"));
    }
    let page = page_of(query.of.chat_id, Some(query.of.query), &query.page)?;
    archive(&call, page).await
}

/// Telegram gives no more than a hundred at once.
fn page_of(chat: i64, query: Option<String>, part: &PageQuery) -> Result<MessagePage, Failure> {
    Ok(MessagePage {
        chat: ChatId(chat),
        before: part.cursor_as::<MessageId>()?,
        query,
        limit: part.limit()?.min(MOST),
    })
}

async fn archive(call: &Call, page: MessagePage) -> Result<Json<Archive>, Failure> {
    let telegram = &call.api.telegram;
    let found = telegram.messages(call.session()?, &page, PATIENCE).await?;
    // A page that is not full is the last one.
    let full = found.len() >= page.limit;
    let next = found
        .last()
        .filter(|_| full)
        .map(|message| message.id.to_string());
    Ok(Json(Archive {
        success: true,
        items: found.into_iter().map(ArchivedMessage::from).collect(),
        next,
    }))
}

async fn contact(call: Call) -> Result<Json<ContactShown>, Failure> {
    let session = call.session()?;
    let user = call.id("user_id")?;
    let manages = call.principal()?.may(Scope::Manage);
    let found = call.api.telegram.contact(session, user, PATIENCE).await?;
    Ok(Json(ContactShown {
        success: true,
        id: found.id,
        first_name: found.first_name,
        last_name: found.last_name,
        username: found.username,
        phone: found
            .phone
            .filter(|_| manages)
            .map(|phone| phone.expose().to_owned()),
        is_bot: found.bot,
        is_contact: found.contact,
        is_mutual_contact: found.mutual,
        is_premium: found.premium,
    }))
}
