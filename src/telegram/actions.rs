//! What service messages say, from Telegram's records to our words. Pure.

use grammers_client::tl;
use tl::enums::MessageAction as Raw;

use crate::model::{Action, ChatId, MessageId};

/// Telegram's action as ours; `pinned` is the message that the service message answers.
pub(super) fn from_tl(raw: &Raw, pinned: Option<MessageId>) -> Action {
    match raw {
        Raw::ChatCreate(it) => Action::Created {
            title: it.title.clone(),
        },
        Raw::ChannelCreate(it) => Action::Created {
            title: it.title.clone(),
        },
        Raw::ChatAddUser(it) => Action::Joined {
            users: it.users.clone(),
        },
        Raw::ChatJoinedByLink(_) => Action::Joined { users: Vec::new() },
        Raw::ChatJoinedByRequest => Action::Joined { users: Vec::new() },
        Raw::ChatDeleteUser(it) => Action::Left { user: it.user_id },
        Raw::ChatEditTitle(it) => Action::Title {
            title: it.title.clone(),
        },
        Raw::ChatEditPhoto(_) => Action::Photo,
        Raw::ChatDeletePhoto => Action::PhotoDeleted,
        Raw::PinMessage => Action::Pinned { message: pinned },
        Raw::ChatMigrateTo(it) => Action::MigratedTo {
            chat: ChatId::channel(it.channel_id),
        },
        Raw::ChannelMigrateFrom(it) => Action::MigratedFrom {
            chat: ChatId::group(it.chat_id),
        },
        Raw::TopicCreate(it) => Action::TopicCreated {
            title: it.title.clone(),
        },
        Raw::TopicEdit(it) => Action::TopicEdited {
            title: it.title.clone(),
            closed: it.closed,
            hidden: it.hidden,
        },
        Raw::SetMessagesTtl(it) => Action::AutoDelete { seconds: it.period },
        Raw::NoForwardsToggle(it) => Action::Protected { on: it.new_value },
        other => Action::Other { name: name_of(other) },
    }
}

/// The name of a record, as its type tells it. The debug form begins with it; what follows is the record's content.
fn name_of(raw: &Raw) -> String {
    let form = format!("{raw:?}");
    let name: String = form.chars().take_while(char::is_ascii_alphanumeric).collect();
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_word_keeps_its_name_and_nothing_else() {
        let raw = Raw::ScreenshotTaken;
        let name = "screenshotTaken".to_owned();
        assert_eq!(from_tl(&raw, None), Action::Other { name });
        let text = tl::types::MessageActionCustomAction {
            message: "a text of somebody".into(),
        };
        let name = "customAction".to_owned();
        assert_eq!(from_tl(&text.into(), None), Action::Other { name });
    }

    #[test]
    fn a_group_that_moves_names_where_to() {
        let raw = tl::types::MessageActionChatMigrateTo { channel_id: 77 };
        let chat = ChatId::channel(77);
        assert_eq!(from_tl(&raw.into(), None), Action::MigratedTo { chat });
    }
}
