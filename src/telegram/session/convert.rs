//! A batch of raw updates as changes in the order in which consumers can use them. Pure.
//!
//! A difference yields edits and deletions before the new messages they concern; here new messages
//! come first, then edits that say something new, then deletions.

use std::collections::HashMap;

use grammers_client::tl;
use sha2::{Digest, Sha256};

use crate::base::{SessionId, Timestamp};
use crate::model::{Action, ChatId, MediaKind, Message, MessageId};
use crate::telegram::from_tl::{self, Names};
use crate::telegram::peers::Departure;
use crate::telegram::updates::{State, read};

/// Messages whose deletion one event tells.
const MOST_DELETED: usize = 500;

/// What an update says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// A message that was not there before.
    New(Message),
    /// A message in its new form.
    Edited(Message),
    /// Messages that are gone; the channel, if it is one.
    Deleted {
        channel: Option<ChatId>,
        ids: Vec<MessageId>,
    },
}

/// The changes of a batch, in order of use.
pub(super) fn changes(updates: &[(read::Update, State)], names: &Names) -> Vec<Change> {
    let mut found: Vec<Change> = updates
        .iter()
        .filter_map(|(update, _)| change(update, names))
        .flat_map(in_portions)
        .collect();
    found.sort_by_key(|change| match change {
        Change::New(_) => 0,
        Change::Edited(_) => 1,
        Change::Deleted { .. } => 2,
    });
    drop_edits_already_seen(&mut found);
    found
}

fn change(update: &tl::enums::Update, names: &Names) -> Option<Change> {
    use tl::enums::Update;
    match update {
        Update::NewMessage(it) => from_tl::message(&it.message, names).map(Change::New),
        Update::NewChannelMessage(it) => from_tl::message(&it.message, names).map(Change::New),
        Update::EditMessage(it) => from_tl::message(&it.message, names).map(Change::Edited),
        Update::EditChannelMessage(it) => from_tl::message(&it.message, names).map(Change::Edited),
        Update::DeleteMessages(it) => Some(Change::Deleted {
            channel: None,
            ids: it.messages.clone(),
        }),
        Update::DeleteChannelMessages(it) => {
            let channel = Some(ChatId::channel(it.channel_id));
            Some(Change::Deleted {
                channel,
                ids: it.messages.clone(),
            })
        }
        _ => None,
    }
}

/// A deletion of many messages as several.
fn in_portions(change: Change) -> Vec<Change> {
    match change {
        Change::Deleted { channel, ids } if ids.len() > MOST_DELETED => {
            let portions = ids.chunks(MOST_DELETED).map(<[MessageId]>::to_vec);
            portions.map(|ids| Change::Deleted { channel, ids }).collect()
        }
        change => vec![change],
    }
}

/// A new message of a difference comes in its current form: its edit in the same batch says nothing.
fn drop_edits_already_seen(changes: &mut Vec<Change>) {
    let mut forms: HashMap<(ChatId, MessageId), (Option<Timestamp>, u64)> = HashMap::new();
    changes.retain(|change| match change {
        Change::New(message) => {
            forms.insert((message.chat, message.id), (message.edit_date, form(message)));
            true
        }
        Change::Edited(message) => {
            let form = (message.edit_date, form(message));
            forms.insert((message.chat, message.id), form) != Some(form)
        }
        Change::Deleted { .. } => true,
    });
}

/// The name of a change, by which a repeated one is recognised.
pub(super) fn identity(session: SessionId, change: &Change) -> Vec<u8> {
    let mut name = session.to_bytes().to_vec();
    match change {
        Change::New(message) => return name_of_new(session, message.chat, message.id),
        Change::Edited(message) => {
            name.push(b'e');
            name.extend(message.chat.0.to_be_bytes());
            name.extend(message.id.to_be_bytes());
            name.extend(message.edit_date.unwrap_or_default().0.to_be_bytes());
            name.extend(form(message).to_be_bytes());
        }
        Change::Deleted { channel, ids } => {
            name.push(b'd');
            name.extend(channel.map_or(0, |chat| chat.0).to_be_bytes());
            let mut digest = Sha256::new();
            ids.iter().for_each(|id| digest.update(id.to_be_bytes()));
            name.extend(&digest.finalize()[..8]);
        }
    }
    name
}

/// The name under which a message became known.
pub(super) fn name_of_new(session: SessionId, chat: ChatId, message: MessageId) -> Vec<u8> {
    let mut name = session.to_bytes().to_vec();
    name.push(b'n');
    name.extend(chat.0.to_be_bytes());
    name.extend(message.to_be_bytes());
    name
}

/// A number for what a message shows. A preview of a link is none of it: Telegram adds it later.
pub(super) fn form(message: &Message) -> u64 {
    let mut digest = Sha256::new();
    digest.update(message.text.as_bytes());
    for entity in &message.entities {
        digest.update(format!("{entity:?}").as_bytes());
    }
    if let Some(media) = message
        .media
        .as_ref()
        .filter(|media| media.kind != MediaKind::WebPage)
    {
        let file = media.file.as_ref().map_or(0, |file| file.id);
        digest.update(format!("{:?}{file}", media.kind).as_bytes());
    }
    let bytes = digest.finalize();
    u64::from_be_bytes(std::array::from_fn(|index| bytes[index]))
}

/// Whether an edit is to be told, by the form in which the message was told last: at a later date, or in another form
/// at the same. What Telegram does not show as an edit (reactions, counters, keyboards) is one only if it shows
/// something else.
pub(super) fn is_news(edit: &Message, told: Option<(Timestamp, u64)>) -> bool {
    match (edit.edit_date, told) {
        (Some(_), None) => true,
        (None, None) => false,
        (Some(date), Some((last, _))) if date != last => date > last,
        (_, Some((_, last))) => form(edit) != last,
    }
}

/// The same of a message that is read again from a history from which something was left out `since` then. Of one that was
/// told long ago or never, only a younger edit is news.
pub(super) fn is_news_since(edit: &Message, told: Option<(Timestamp, u64)>, since: Timestamp) -> bool {
    let younger = edit.edit_date.is_some_and(|date| date >= since);
    (younger || told.is_some()) && is_news(edit, told)
}

/// The move of a group that a message tells of: the group's last one, or the supergroup's first.
pub(super) fn departure(message: &Message) -> Option<Departure> {
    match message.action {
        Some(Action::MigratedTo { chat }) => Some(Departure::Migrated(message.chat, chat)),
        Some(Action::MigratedFrom { chat }) => Some(Departure::Migrated(chat, message.chat)),
        _ => None,
    }
}

/// Whether a message says that its private chat is protected now, or is no more. Of other chats their records say so.
pub(super) fn protection(message: &Message) -> Option<bool> {
    match message.action {
        Some(Action::Protected { on }) if message.chat.is_user() => Some(on),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::telegram::session) fn message(id: MessageId, text: &str, edited: Option<i64>) -> Message {
        Message {
            chat: ChatId::user(7),
            id,
            sender: None,
            date: Timestamp(0),
            edit_date: edited.map(Timestamp),
            out: false,
            post: false,
            silent: false,
            service: false,
            protected: false,
            text: text.into(),
            entities: vec![],
            media: None,
            album: None,
            reply_to: None,
            forwarded: None,
            thread: None,
            author: None,
            action: None,
        }
    }

    #[test]
    fn an_edit_that_the_new_message_has_already_is_dropped() {
        let new = Change::New(message(1, "after", Some(5)));
        let same = Change::Edited(message(1, "after", Some(5)));
        let later = Change::Edited(message(1, "later", Some(6)));
        let mut found = vec![new.clone(), same, later.clone()];
        drop_edits_already_seen(&mut found);
        assert_eq!(found, vec![new, later]);
    }

    #[test]
    fn an_edit_is_news_at_a_later_date_or_in_another_form() {
        let told = |text: &str, edited: Option<i64>| {
            let told = message(1, text, edited);
            Some((told.edit_date.unwrap_or_default(), form(&told)))
        };
        let news = |text: &str, edited, told| is_news(&message(1, text, edited), told);
        assert!(news("y", Some(5), told("x", None)), "the first edit");
        assert!(
            news("x", Some(5), told("y", Some(5))),
            "and back within the second"
        );
        assert!(!news("x", Some(5), told("x", Some(5))), "a replay");
        assert!(!news("y", Some(4), told("x", Some(5))), "an older one");
        assert!(!news("x", None, told("x", None)), "a reaction");
        assert!(!news("x", None, None), "a reaction to what is not known any more");
        assert!(
            news("y", None, told("x", None)),
            "what shows something else is told"
        );
        assert!(news("x", Some(6), None), "an edit of what is not known any more");
        let since = |edited, told| is_news_since(&message(1, "x", edited), told, Timestamp(6));
        assert!(!since(Some(5), None), "an old edit of what is not known any more");
        assert!(since(Some(6), None), "an edit since then");
        assert!(since(Some(5), told("y", None)), "an old edit that was not told");
        assert!(!since(Some(6), told("x", Some(6))), "one that was");
    }

    #[test]
    fn both_the_groups_last_message_and_the_supergroups_first_tell_of_the_move() {
        let (group, supergroup) = (ChatId::group(5), ChatId::channel(6));
        let said_in = |chat, action| {
            let mut message = message(1, "", None);
            (message.chat, message.action) = (chat, Some(action));
            departure(&message)
        };
        let moved = Some(Departure::Migrated(group, supergroup));
        assert_eq!(said_in(group, Action::MigratedTo { chat: supergroup }), moved);
        assert_eq!(said_in(supergroup, Action::MigratedFrom { chat: group }), moved);
        assert_eq!(said_in(group, Action::Photo), None);
    }

    #[test]
    fn names_tell_changes_apart() {
        let session = SessionId::generate();
        let name = |change: &Change| identity(session, change);
        let new = Change::New(message(1, "text", None));
        let edited = Change::Edited(message(1, "text", Some(1)));
        let again = Change::Edited(message(1, "text", Some(2)));
        let gone = Change::Deleted {
            channel: None,
            ids: vec![1],
        };
        let names = [name(&new), name(&edited), name(&again), name(&gone)];
        for (at, one) in names.iter().enumerate() {
            assert!(!names[at + 1..].contains(one));
        }
        assert_eq!(name(&new), name(&Change::New(message(1, "other form", None))));
    }
}
