//! Formatting: spans over a text in UTF-16 units, their bounds, and those the server adds by itself.

use serde::{Deserialize, Serialize};

/// A formatted span. The names are those of the Bot API, which the control port speaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Where it starts, in UTF-16 units.
    pub offset: i32,
    /// How long it is, in UTF-16 units.
    pub length: i32,
    /// The address of a `text_link`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The user of a `text_mention`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<i64>,
    /// The language of a `pre`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The document of a `custom_emoji`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_emoji_id: Option<i64>,
}

/// What a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Kind {
    Mention,
    Hashtag,
    Cashtag,
    BotCommand,
    Url,
    Email,
    PhoneNumber,
    Bold,
    Italic,
    Underline,
    Strikethrough,
    Spoiler,
    Blockquote,
    ExpandableBlockquote,
    Code,
    Pre,
    TextLink,
    TextMention,
    CustomEmoji,
    BankCard,
}

impl Entity {
    /// A span without further fields.
    pub fn plain(kind: Kind, offset: i32, length: i32) -> Self {
        Self {
            kind,
            offset,
            length,
            url: None,
            user: None,
            language: None,
            custom_emoji_id: None,
        }
    }

    /// Where it ends, in UTF-16 units.
    pub(super) fn end(&self) -> i32 {
        self.offset.saturating_add(self.length)
    }
}

/// How long a text is in UTF-16 units.
pub fn units(text: &str) -> i32 {
    i32::try_from(text.encode_utf16().count()).unwrap_or(i32::MAX)
}

/// A span reaches out of its text.
#[derive(Debug, PartialEq, Eq)]
pub struct OutOfBounds;

/// What the server makes of a text and its spans: white space at both ends goes, spans are moved with
/// it, cut, sorted, and at most a hundred are kept; links, mentions and the like are added
/// (all that Telegram finds, if it is `wide`; that is asked only where it matters).
pub fn settle(
    text: &str,
    mut entities: Vec<Entity>,
    wide: impl FnOnce() -> bool,
) -> Result<(String, Vec<Entity>), OutOfBounds> {
    let whole = units(text);
    for entity in &entities {
        if entity.offset < 0 || entity.length < 0 || entity.end() > whole {
            return Err(OutOfBounds);
        }
    }
    let trimmed = text.trim_end();
    let head = trimmed.len() - trimmed.trim_start().len();
    let shift = units(&trimmed[..head]);
    let kept = &trimmed[head..];
    let length = units(kept);
    for entity in &mut entities {
        let start = (entity.offset - shift).clamp(0, length);
        let end = (entity.end() - shift).clamp(0, length);
        entity.offset = start;
        entity.length = end - start;
    }
    entities.retain(|entity| entity.length > 0);
    let (all, found) = (detect(kept, &entities, true), detect(kept, &entities, false));
    entities.extend(if all != found && wide() { all } else { found });
    entities.sort_by_key(|entity| (entity.offset, std::cmp::Reverse(entity.length)));
    entities.truncate(100);
    Ok((kept.to_owned(), entities))
}

/// What the text shows by itself, where no span that excludes it stands.
fn detect(text: &str, given: &[Entity], wide: bool) -> Vec<Entity> {
    let covered = |entity: &Entity| {
        given.iter().any(|other| {
            let excludes = matches!(
                other.kind,
                Kind::Code | Kind::Pre | Kind::TextLink | Kind::TextMention | Kind::CustomEmoji
            ) || other.kind == entity.kind;
            excludes && other.offset < entity.end() && entity.offset < other.end()
        })
    };
    let mut found = super::finding::found(text, wide);
    found.retain(|entity| !covered(entity));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_count_utf_16_units_and_may_not_reach_out() {
        let text = "a😀b";
        assert_eq!(units(text), 4);
        assert!(settle(text, vec![Entity::plain(Kind::Bold, 0, 4)], || true).is_ok());
        assert_eq!(
            settle(text, vec![Entity::plain(Kind::Bold, 0, 5)], || true),
            Err(OutOfBounds)
        );
        assert_eq!(
            settle(text, vec![Entity::plain(Kind::Bold, -1, 2)], || true),
            Err(OutOfBounds)
        );
    }

    #[test]
    fn trimming_moves_and_cuts_spans() {
        let (text, spans) = settle(
            "  hello world \n",
            vec![Entity::plain(Kind::Bold, 0, 9), Entity::plain(Kind::Italic, 8, 7)],
            || true,
        )
        .expect("within bounds");
        assert_eq!(text, "hello world");
        assert_eq!(
            spans,
            vec![Entity::plain(Kind::Bold, 0, 7), Entity::plain(Kind::Italic, 6, 5)]
        );
    }

    #[test]
    fn the_server_finds_links_and_mentions() {
        let (_, spans) = settle(
            "😀 see https://example.org/a?b=1, @alice_b or (#news) me@example.org /start $USD #1",
            vec![],
            || true,
        )
        .expect("within bounds");
        let kinds: Vec<Kind> = spans.iter().map(|span| span.kind).collect();
        assert_eq!(
            kinds,
            [
                Kind::Url,
                Kind::Mention,
                Kind::Hashtag,
                Kind::Email,
                Kind::BotCommand,
                Kind::Cashtag
            ]
        );
        assert_eq!((spans[0].offset, spans[0].length), (7, 25));
    }

    #[test]
    fn nothing_is_found_within_code() {
        let given = vec![Entity::plain(Kind::Code, 0, 6)];
        let (_, spans) = settle("@alice", given.clone(), || true).expect("within bounds");
        assert_eq!(spans, given);
    }
}
