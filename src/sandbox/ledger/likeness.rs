//! Whether copies show what their sources show: matched one to one, then compared. Pure.
//!
//! It knows neither what still waits nor whose fault a difference is.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::sandbox::view::MessageView;

/// A message: its chat, its number there.
pub type Name = (i64, i32);

/// A source, and where it is copied to.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// Every message ever stored in the source.
    pub source: &'a [MessageView],
    /// Every message ever stored in the destination.
    pub destination: &'a [MessageView],
    /// What is not asked of it.
    pub terms: &'a Terms,
}

/// What cannot be asked of a line, for the account could not see it.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Messages that the account could not read when they were posted: they may have a copy, and need none.
    pub unread: HashSet<Name>,
    /// Messages that changed while the account could not read them: a copy may show them as they were.
    pub unseen: HashSet<Name>,
    /// When Telegram told the account that it had missed too much here.
    pub jumps: Vec<Jump>,
}

/// A difference was too long; moments in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Jump {
    /// The account had heard of everything up to here.
    pub blind: i64,
    /// It was told by then.
    pub until: i64,
}

impl Terms {
    /// Whether Telegram may never have told the last change of a message: it fell into what was left out, of which the
    /// history tells new messages only.
    fn untold(&self, message: &MessageView) -> bool {
        let changed = message.deleted_at.or(message.edited_at);
        let within = |at: i64| (self.jumps.iter()).any(|jump| (jump.blind..=jump.until).contains(&at));
        changed.is_some_and(within)
    }
}

impl<'a> Line<'a> {
    fn said(messages: &'a [MessageView]) -> impl Iterator<Item = &'a MessageView> {
        messages.iter().filter(|message| message.service.is_none())
    }

    /// The messages that the account could read when they were posted.
    pub(super) fn owed(&self) -> impl Iterator<Item = &'a MessageView> {
        let terms = self.terms;
        Self::said(self.source).filter(|message| !terms.unread.contains(&name(message)))
    }
}

/// Each message of the source with its copy, if it has one; and the copies that are nobody's, or second ones.
pub(super) struct Matched<'a> {
    pub(super) pairs: Vec<(&'a MessageView, Option<&'a MessageView>)>,
    pub(super) rest: Vec<&'a MessageView>,
    terms: &'a Terms,
}

impl<'a> Matched<'a> {
    /// Messages of the same words are matched in their order.
    pub(super) fn of(line: &Line<'a>) -> Self {
        let mut copies: HashMap<&str, VecDeque<&MessageView>> = HashMap::new();
        for copy in Line::said(line.destination) {
            copies.entry(number(&copy.text)).or_default().push_back(copy);
        }
        let mut take = |message: &MessageView| copies.get_mut(number(&message.text))?.pop_front();
        let pairs = Line::said(line.source)
            .map(|message| (message, take(message)))
            .collect();
        let rest = copies.into_values().flatten().collect();
        Self {
            pairs,
            rest,
            terms: line.terms,
        }
    }

    fn is_unread(&self, message: &MessageView) -> bool {
        self.terms.unread.contains(&name(message))
    }

    /// How many messages the account could not read when they were posted.
    pub(super) fn unread(&self) -> usize {
        (self.pairs.iter())
            .filter(|(message, _)| self.is_unread(message))
            .count()
    }

    /// How many messages were deleted.
    pub(super) fn deletions(&self) -> usize {
        (self.pairs.iter())
            .filter(|(message, _)| message.deleted_at.is_some())
            .count()
    }

    /// Copies of what was never said in the source.
    pub(super) fn strayed(&self) -> Vec<&'a MessageView> {
        let known: HashSet<&str> = (self.pairs.iter())
            .map(|(message, _)| number(&message.text))
            .collect();
        let stray = |copy: &&&MessageView| !known.contains(number(&copy.text));
        self.rest.iter().filter(stray).copied().collect()
    }

    /// Messages of the source that were passed over, deleted or not, while a later one had its copy before they went;
    /// and how many went before their turn.
    pub(super) fn passed_over(&self) -> (Vec<&'a MessageView>, usize) {
        let (mut missing, mut cancelled) = (Vec::new(), 0);
        let mut later: Option<i64> = None;
        for (message, copy) in self.pairs.iter().rev() {
            match (copy, message.deleted_at) {
                (Some(copy), _) => {
                    later = Some(later.map_or(copy.stored_at, |known| known.min(copy.stored_at)));
                }
                (None, _) if self.is_unread(message) => {}
                (None, Some(deleted)) if later.is_none_or(|stored| stored >= deleted) => cancelled += 1,
                (None, _) => missing.push(*message),
            }
        }
        (missing, cancelled)
    }

    /// Copies that stand before the copy of an earlier message; and, besides, those that stand elsewhere since the account
    /// could not read their sources at first. A supergroup is another chat than the group that it was: each has an order
    /// of its own.
    pub(super) fn disordered(&self) -> (Vec<&'a MessageView>, usize) {
        let copied: Vec<(&MessageView, &MessageView)> = (self.pairs.iter())
            .filter_map(|(message, copy)| Some((*message, (*copy)?)))
            .collect();
        let strict: Vec<_> = (copied.iter().copied())
            .filter(|(message, _)| !self.is_unread(message))
            .collect();
        let falls = |copied: &[(&'a MessageView, &MessageView)]| -> Vec<&'a MessageView> {
            let one_chat = |pair: &&[(&MessageView, &MessageView)]| pair[0].0.chat == pair[1].0.chat;
            let falls = copied
                .windows(2)
                .filter(one_chat)
                .filter(|pair| pair[0].1.id > pair[1].1.id);
            falls.map(|pair| pair[0].0).collect()
        };
        let disordered = falls(&strict);
        let displaced = falls(&copied).len().saturating_sub(disordered.len());
        (disordered, displaced)
    }

    /// Messages whose copy does not show what they show; and how many more there are since Telegram left the change out.
    pub(super) fn unlike(&self) -> (Vec<&'a MessageView>, usize) {
        let known: HashMap<Name, (&MessageView, &MessageView)> = self
            .pairs
            .iter()
            .filter_map(|(message, copy)| Some((name(message), (*message, (*copy)?))))
            .collect();
        let hidden =
            |message: &MessageView| self.is_unread(message) || self.terms.unseen.contains(&name(message));
        let split = self.split_albums();
        let differs = |message: &MessageView, copy: &MessageView| {
            let split = || (message.album.as_deref()).is_some_and(|album| split.contains(album));
            match (message.deleted_at.is_some(), copy.deleted_at.is_some()) {
                (true, true) => Differs::Nothing,
                (true, false) => Differs::Change,
                (false, true) => Differs::More,
                (false, false) if !same_reply(message, copy, &known) || split() => Differs::More,
                (false, false) if !same_content(message, copy) => Differs::Change,
                (false, false) => Differs::Nothing,
            }
        };
        let (mut unlike, mut untold) = (Vec::new(), 0);
        for (message, copy) in &self.pairs {
            let Some(copy) = copy.filter(|_| !hidden(message)) else {
                continue;
            };
            match differs(message, copy) {
                Differs::Nothing => {}
                Differs::Change if self.terms.untold(message) => untold += 1,
                Differs::Change | Differs::More => unlike.push(*message),
            }
        }
        (unlike, untold)
    }

    /// The source's albums whose standing parts are not exactly one album in the destination.
    fn split_albums(&self) -> HashSet<&'a str> {
        let mut albums: HashMap<&str, Vec<Option<&str>>> = HashMap::new();
        for (message, copy) in &self.pairs {
            if let (Some(album), Some(copy)) = (&message.album, copy)
                && message.deleted_at.is_none()
            {
                albums.entry(album).or_default().push(copy.album.as_deref());
            }
        }
        let mut owner: HashMap<&str, &str> = HashMap::new();
        let mut split = HashSet::new();
        for (album, copies) in albums {
            // What is left of an album, alone, is none.
            let whole =
                copies.len() == 1 || copies[0].is_some() && copies.iter().all(|other| *other == copies[0]);
            let shared = copies[0].and_then(|copy| owner.insert(copy, album));
            if !whole {
                split.insert(album);
            }
            if let Some(other) = shared {
                split.extend([album, other]);
            }
        }
        split
    }
}

/// How a copy differs from what it should be.
enum Differs {
    Nothing,
    /// In what changes: text, media, or that its source was deleted.
    Change,
    /// In what was so from the beginning: what it answers, its album, that it stands.
    More,
}

fn name(message: &MessageView) -> Name {
    (message.chat, message.id)
}

/// The number that the script gives each message, at the end of its text.
fn number(text: &str) -> &str {
    text.rsplit_once('№').map_or(text, |(_, number)| number)
}

fn same_content(message: &MessageView, copy: &MessageView) -> bool {
    let file = |message: &MessageView| {
        let media = message.media.as_ref()?;
        Some((media.kind.clone(), media.size, media.sha256.clone()))
    };
    message.text == copy.text && message.entities == copy.entities && file(message) == file(copy)
}

/// Whether a copy answers the copy of what its message answers. A forwarded message answers nothing; what answers a
/// message that went before the copy stood, or was copied later only, need not, and of one that was never copied must not.
fn same_reply(
    message: &MessageView,
    copy: &MessageView,
    known: &HashMap<Name, (&MessageView, &MessageView)>,
) -> bool {
    if copy.forward.is_some() && message.forward.is_none() {
        return copy.reply_to.is_none();
    }
    match message
        .reply_to
        .and_then(|target| known.get(&(message.chat, target)))
    {
        Some((target, answered)) => {
            let went = |message: &MessageView| message.deleted_at.is_some_and(|at| at <= copy.stored_at);
            let gone = went(target) || went(answered) || answered.id > copy.id;
            copy.reply_to == Some(answered.id) || (gone && copy.reply_to.is_none())
        }
        None => copy.reply_to.is_none(),
    }
}
