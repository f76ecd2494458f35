//! Formatting, from Telegram's entities to ours and back. Offsets are UTF-16 code units on both sides.

use grammers_client::tl;
use tl::enums::MessageEntity as Raw;

use crate::model::{Entity, EntityKind};

/// Telegram's entity as ours; one that we have no word for keeps its place as `unknown`.
pub(crate) fn from_tl(raw: &tl::enums::MessageEntity) -> Entity {
    let kind = match raw {
        Raw::Bold(_) => EntityKind::Bold,
        Raw::Italic(_) => EntityKind::Italic,
        Raw::Underline(_) => EntityKind::Underline,
        Raw::Strike(_) => EntityKind::Strikethrough,
        Raw::Spoiler(_) => EntityKind::Spoiler,
        Raw::Code(_) => EntityKind::Code,
        Raw::Pre(it) => EntityKind::Pre {
            language: Some(it.language.clone()).filter(|language| !language.is_empty()),
        },
        Raw::Blockquote(it) if it.collapsed => EntityKind::ExpandableBlockquote,
        Raw::Blockquote(_) => EntityKind::Blockquote,
        Raw::TextUrl(it) => EntityKind::TextLink { url: it.url.clone() },
        Raw::MentionName(it) => EntityKind::TextMention { user: it.user_id },
        Raw::CustomEmoji(it) => EntityKind::CustomEmoji {
            custom_emoji_id: it.document_id.to_string(),
        },
        Raw::Mention(_) => EntityKind::Mention,
        Raw::Hashtag(_) => EntityKind::Hashtag,
        Raw::Cashtag(_) => EntityKind::Cashtag,
        Raw::BotCommand(_) => EntityKind::BotCommand,
        Raw::Url(_) => EntityKind::Url,
        Raw::Email(_) => EntityKind::Email,
        Raw::Phone(_) => EntityKind::PhoneNumber,
        Raw::BankCard(_) => EntityKind::BankCard,
        _ => EntityKind::Unknown,
    };
    Entity {
        offset: raw.offset(),
        length: raw.length(),
        kind,
    }
}

/// Our entity as Telegram takes it; none for those that Telegram finds by itself or we do not know.
///
/// `user_hash` gives the access hash of a mentioned user; a mention of an unknown user loses its link.
pub(crate) fn to_tl(
    entity: &Entity,
    user_hash: impl Fn(i64) -> Option<i64>,
) -> Option<tl::enums::MessageEntity> {
    let (offset, length) = (entity.offset, entity.length);
    Some(match &entity.kind {
        EntityKind::Bold => tl::types::MessageEntityBold { offset, length }.into(),
        EntityKind::Italic => tl::types::MessageEntityItalic { offset, length }.into(),
        EntityKind::Underline => tl::types::MessageEntityUnderline { offset, length }.into(),
        EntityKind::Strikethrough => tl::types::MessageEntityStrike { offset, length }.into(),
        EntityKind::Spoiler => tl::types::MessageEntitySpoiler { offset, length }.into(),
        EntityKind::Code => tl::types::MessageEntityCode { offset, length }.into(),
        EntityKind::Pre { language } => {
            let language = language.clone().unwrap_or_default();
            tl::types::MessageEntityPre {
                offset,
                length,
                language,
            }
            .into()
        }
        EntityKind::Blockquote => tl::types::MessageEntityBlockquote {
            collapsed: false,
            offset,
            length,
        }
        .into(),
        EntityKind::ExpandableBlockquote => tl::types::MessageEntityBlockquote {
            collapsed: true,
            offset,
            length,
        }
        .into(),
        EntityKind::TextLink { url } => tl::types::MessageEntityTextUrl {
            offset,
            length,
            url: url.clone(),
        }
        .into(),
        EntityKind::TextMention { user } => {
            let access_hash = user_hash(*user)?;
            let user_id = tl::types::InputUser {
                user_id: *user,
                access_hash,
            }
            .into();
            tl::types::InputMessageEntityMentionName {
                offset,
                length,
                user_id,
            }
            .into()
        }
        EntityKind::CustomEmoji { custom_emoji_id } => {
            let document_id = custom_emoji_id.parse().ok()?;
            tl::types::MessageEntityCustomEmoji {
                offset,
                length,
                document_id,
            }
            .into()
        }
        EntityKind::Mention
        | EntityKind::Hashtag
        | EntityKind::Cashtag
        | EntityKind::BotCommand
        | EntityKind::Url
        | EntityKind::Email
        | EntityKind::PhoneNumber
        | EntityKind::BankCard
        | EntityKind::Unknown => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_survives_both_ways() {
        let kinds = [
            EntityKind::Bold,
            EntityKind::Spoiler,
            EntityKind::Pre {
                language: Some("rust".into()),
            },
            EntityKind::Pre { language: None },
            EntityKind::ExpandableBlockquote,
            EntityKind::TextLink {
                url: "https://example.org".into(),
            },
            EntityKind::CustomEmoji {
                custom_emoji_id: "42".into(),
            },
        ];
        for kind in kinds {
            let entity = Entity {
                offset: 3,
                length: 5,
                kind,
            };
            let raw = to_tl(&entity, |_| None).expect("has a form at Telegram");
            assert_eq!(from_tl(&raw), entity);
        }
    }

    #[test]
    fn what_telegram_finds_itself_is_not_sent() {
        let entity = Entity {
            offset: 0,
            length: 4,
            kind: EntityKind::Hashtag,
        };
        assert_eq!(to_tl(&entity, |_| None), None);
    }

    #[test]
    fn a_mention_needs_the_users_hash() {
        let entity = Entity {
            offset: 0,
            length: 4,
            kind: EntityKind::TextMention { user: 9 },
        };
        assert_eq!(to_tl(&entity, |_| None), None);
        assert!(to_tl(&entity, |user| Some(user + 1)).is_some());
    }
}
