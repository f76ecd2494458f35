//! From a source message to what is sent: copy or forward, alone or as an album.
//!
//! Pure. Each part carries its effect's name; what is left out when something was refused is said
//! by a [`Trim`].

use super::map::file_of;
use super::name::Effect;
use super::pair::{Mode, PairRow};
use crate::base::Code;
use crate::model::{Entity, EntityKind, MediaKind, Message, MessageId};
use crate::telegram::{Outgoing, OutgoingBody, OutgoingMedia, Revision};

/// Why a message cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) reason: &'static str,
}

/// What is left out of a send because it was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trim {
    pub(super) formatting: Formatting,
    /// Whether it answers nothing.
    pub(super) no_reply: bool,
}

/// How much formatting is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Formatting {
    /// All.
    #[default]
    Full,
    /// All but what names users and emoji that the account may not use.
    Common,
    /// None.
    Plain,
}

impl Formatting {
    /// The next lesser one.
    pub(super) fn less(self) -> Option<Self> {
        match self {
            Self::Full => Some(Self::Common),
            Self::Common => Some(Self::Plain),
            Self::Plain => None,
        }
    }

    /// What it leaves of some formatting.
    pub(super) fn of(self, entities: &[Entity]) -> Vec<Entity> {
        let common = |entity: &&Entity| {
            !matches!(
                entity.kind,
                EntityKind::TextMention { .. } | EntityKind::CustomEmoji { .. }
            )
        };
        match self {
            Self::Full => entities.to_vec(),
            Self::Common => entities.iter().filter(common).cloned().collect(),
            Self::Plain => Vec::new(),
        }
    }
}

/// The name of the effect of copying a message.
pub(super) fn random_id(pair: &PairRow, message: &Message, secret: &[u8; 32]) -> i64 {
    let effect = Effect {
        session: pair.destination.session,
        pair: pair.id,
        chat: message.chat,
        message: message.id,
        part: 0,
        version: 0,
    };
    effect.random_id(secret)
}

/// What is sent for some parts: one message, or an album.
pub(super) fn compose(
    pair: &PairRow,
    parts: &[Message],
    reply_to: Option<MessageId>,
    trim: Trim,
    secret: &[u8; 32],
) -> Result<Outgoing, Refusal> {
    let Some(first) = parts.first() else {
        return Err(Refusal {
            code: Code::MessageEmpty,
            reason: "there is nothing to send",
        });
    };
    if parts.iter().any(|part| part.protected) {
        return Err(Refusal {
            code: Code::ForwardsRestricted,
            reason: "the source forbids forwarding and saving it",
        });
    }
    let body = match (pair.mode, parts) {
        (Mode::Forward, _) => OutgoingBody::Forward {
            from: first.chat,
            parts: parts
                .iter()
                .map(|part| (part.id, random_id(pair, part, secret)))
                .collect(),
        },
        (Mode::Copy, [message]) => copy(pair, message, trim, secret)?,
        (Mode::Copy, _) => {
            let media = |part| medium(pair, part, trim, secret);
            OutgoingBody::Album(parts.iter().map(media).collect::<Result<_, _>>()?)
        }
    };
    Ok(Outgoing {
        chat: pair.destination.chat,
        topic: pair.destination.topic,
        reply_to: reply_to.filter(|_| !trim.no_reply && pair.mode == Mode::Copy),
        silent: pair.silent,
        body,
    })
}

/// The form that a copy takes on after its source was edited; `shown` is the file it shows now.
pub(super) fn revise(
    pair: &PairRow,
    message: &Message,
    shown: Option<i64>,
    trim: Trim,
    secret: &[u8; 32],
) -> Result<Revision, Refusal> {
    let kind = message.media.as_ref().map(|media| media.kind);
    let media = match kind {
        None | Some(MediaKind::WebPage) if shown.is_some() => {
            return Err(Refusal {
                code: Code::NotCopyable,
                reason: "a medium cannot be taken out of a message",
            });
        }
        None | Some(MediaKind::WebPage) => None,
        Some(_) if shown.is_some() && file_of(message) == shown => None,
        Some(_) => Some(medium(pair, message, trim, secret)?),
    };
    Ok(Revision {
        text: message.text.clone(),
        entities: trim.formatting.of(&message.entities),
        preview: kind.is_some(),
        media,
    })
}

fn copy(pair: &PairRow, message: &Message, trim: Trim, secret: &[u8; 32]) -> Result<OutgoingBody, Refusal> {
    let kind = message.media.as_ref().map(|media| media.kind);
    if !matches!(kind, None | Some(MediaKind::WebPage)) {
        return medium(pair, message, trim, secret).map(OutgoingBody::Media);
    }
    if message.text.is_empty() {
        return Err(Refusal {
            code: Code::MessageEmpty,
            reason: "the message has neither text nor media",
        });
    }
    Ok(OutgoingBody::Text {
        text: message.text.clone(),
        entities: trim.formatting.of(&message.entities),
        preview: kind.is_some(),
        random_id: random_id(pair, message, secret),
    })
}

fn medium(
    pair: &PairRow,
    message: &Message,
    trim: Trim,
    secret: &[u8; 32],
) -> Result<OutgoingMedia, Refusal> {
    let media = message.media.as_ref();
    let by_reference = media.filter(|media| is_file(media.kind));
    let Some((media, file)) = by_reference.and_then(|media| Some((media, media.file.clone()?))) else {
        return Err(Refusal {
            code: Code::NotCopyable,
            reason: match media.map(|media| media.kind) {
                Some(MediaKind::Contact) => "a contact cannot be copied; a pair in forward mode passes it on",
                Some(MediaKind::Location | MediaKind::Venue) => {
                    "a location cannot be copied; a pair in forward mode passes it on"
                }
                Some(MediaKind::Poll) => "a poll cannot be copied; a pair in forward mode passes it on",
                Some(MediaKind::Dice) => "a dice cannot be copied; a pair in forward mode passes it on",
                _ => "media of this kind cannot be copied; a pair in forward mode passes it on",
            },
        });
    };
    Ok(OutgoingMedia {
        random_id: random_id(pair, message, secret),
        kind: media.kind,
        file,
        caption: message.text.clone(),
        entities: trim.formatting.of(&message.entities),
        spoiler: media.spoiler,
        origin: (message.chat, message.id),
    })
}

fn is_file(kind: MediaKind) -> bool {
    matches!(
        kind,
        MediaKind::Photo
            | MediaKind::Video
            | MediaKind::Audio
            | MediaKind::Voice
            | MediaKind::VideoNote
            | MediaKind::Animation
            | MediaKind::Sticker
            | MediaKind::Document
    )
}

#[cfg(test)]
mod tests {
    use super::super::samples::{DESTINATION, SOURCE, media, message, pair};
    use super::*;
    use crate::base::SessionId;
    use crate::model::Media;

    const SECRET: [u8; 32] = [3; 32];

    fn sent(change: impl FnOnce(&mut PairRow), parts: &[Message]) -> Result<Outgoing, Refusal> {
        let mut pair = pair(SessionId::from_bytes([1; 16]));
        change(&mut pair);
        compose(&pair, parts, Some(77), Trim::default(), &SECRET)
    }

    #[test]
    fn a_text_keeps_its_formatting_and_its_place_in_a_conversation() {
        let bold = Entity {
            offset: 0,
            length: 2,
            kind: EntityKind::Bold,
        };
        let text = Message {
            entities: vec![bold.clone()],
            ..message(5, "hi")
        };
        let outgoing = sent(|pair| pair.silent = true, &[text]).expect("sent");
        assert_eq!(
            (outgoing.chat, outgoing.reply_to, outgoing.silent),
            (DESTINATION, Some(77), true)
        );
        let OutgoingBody::Text {
            text,
            entities,
            preview,
            random_id,
        } = outgoing.body
        else {
            panic!("a text")
        };
        assert_eq!((text.as_str(), entities, preview), ("hi", vec![bold], false));
        assert_ne!(random_id, 0);
    }

    #[test]
    fn a_revision_keeps_the_preview_off_and_names_a_file_only_if_it_is_another() {
        let pair = pair(SessionId::from_bytes([1; 16]));
        let revised = |message: &Message, shown| revise(&pair, message, shown, Trim::default(), &SECRET);
        let text = revised(&message(5, "see https://e.org now"), None).expect("a form");
        assert!(!text.preview && text.media.is_none());
        let photo = media(5, MediaKind::Photo, "B");
        let file = file_of(&photo).expect("a file");
        assert_eq!(revised(&photo, Some(file)).expect("a form").media, None);
        let other = revised(&photo, Some(file + 1)).expect("a form").media;
        assert_eq!(other.expect("another file").file.id, file);
        let code = revised(&message(5, "x"), Some(file)).expect_err("refused").code;
        assert_eq!(code, Code::NotCopyable);
    }

    #[test]
    fn media_go_by_reference_and_albums_as_albums() {
        let one = sent(|_| {}, &[media(5, MediaKind::Sticker, "")]).expect("sent");
        assert!(matches!(one.body, OutgoingBody::Media(ref media) if media.origin == (SOURCE, 5)));
        let parts = [
            media(5, MediaKind::Photo, "first"),
            media(6, MediaKind::Video, ""),
        ];
        let OutgoingBody::Album(album) = sent(|_| {}, &parts).expect("sent").body else {
            panic!("an album")
        };
        assert_eq!(
            album.iter().map(|part| part.caption.as_str()).collect::<Vec<_>>(),
            ["first", ""]
        );
        assert_ne!(album[0].random_id, album[1].random_id);
    }

    #[test]
    fn forward_mode_names_the_source_and_takes_everything() {
        let poll = Message {
            media: Some(Media {
                kind: MediaKind::Poll,
                file: None,
                spoiler: false,
            }),
            ..message(5, "")
        };
        assert_eq!(
            sent(|_| {}, std::slice::from_ref(&poll))
                .expect_err("refused")
                .code,
            Code::NotCopyable
        );
        let outgoing = sent(|pair| pair.mode = Mode::Forward, &[poll]).expect("sent");
        assert_eq!(outgoing.reply_to, None);
        assert!(
            matches!(outgoing.body, OutgoingBody::Forward { from: SOURCE, ref parts } if parts[0].0 == 5)
        );
    }

    #[test]
    fn what_is_protected_or_empty_is_refused() {
        let protected = Message {
            protected: true,
            ..message(5, "x")
        };
        let code = |parts: &[Message]| sent(|_| {}, parts).expect_err("refused").code;
        assert_eq!(code(&[protected]), Code::ForwardsRestricted);
        assert_eq!(code(&[message(5, "")]), Code::MessageEmpty);
        assert_eq!(code(&[]), Code::MessageEmpty);
    }

    #[test]
    fn refused_formatting_is_left_out_step_by_step() {
        let entity = |kind| Entity {
            offset: 0,
            length: 1,
            kind,
        };
        let all = [
            entity(EntityKind::Bold),
            entity(EntityKind::TextMention { user: 5 }),
        ];
        let common = Formatting::Full.less().expect("less");
        assert_eq!(common.of(&all), all[..1]);
        let plain = common.less().expect("less");
        assert!(plain.of(&all).is_empty());
        assert_eq!(plain.less(), None);
    }
}
