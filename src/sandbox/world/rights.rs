//! Single rights: what members of a chat may not send, all of them or one, for a time; what a message costs there; and
//! accounts that Telegram has frozen or limited.
//!
//! Who runs a chat is bound by none of it. A role (`muted`, `banned`) is stronger than a right; it stands in `chat`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::chat::Role;
use super::content::Media;
use super::files::{Attribute, FileKind};
use super::place::{Peer, Place};
use super::refusal::Refusal;
use super::state::{Passing, State};

/// What can be forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Anything at all.
    Messages,
    /// Texts without media.
    Plain,
    /// Any media.
    Media,
    /// Pictures.
    Photos,
    /// Videos.
    Videos,
    /// Round videos.
    Roundvideos,
    /// Music.
    Audios,
    /// Voice messages.
    Voices,
    /// Other files.
    Docs,
    /// Stickers.
    Stickers,
    /// Animations.
    Gifs,
    /// Polls.
    Polls,
}

impl Right {
    /// Telegram's word for who does it all the same.
    pub fn word(self) -> &'static str {
        match self {
            Self::Messages => "CHAT_WRITE_FORBIDDEN",
            Self::Plain => "CHAT_SEND_PLAIN_FORBIDDEN",
            Self::Media => "CHAT_SEND_MEDIA_FORBIDDEN",
            Self::Photos => "CHAT_SEND_PHOTOS_FORBIDDEN",
            Self::Videos => "CHAT_SEND_VIDEOS_FORBIDDEN",
            Self::Roundvideos => "CHAT_SEND_ROUNDVIDEOS_FORBIDDEN",
            Self::Audios => "CHAT_SEND_AUDIOS_FORBIDDEN",
            Self::Voices => "CHAT_SEND_VOICES_FORBIDDEN",
            Self::Docs => "CHAT_SEND_DOCS_FORBIDDEN",
            Self::Stickers => "CHAT_SEND_STICKERS_FORBIDDEN",
            Self::Gifs => "CHAT_SEND_GIFS_FORBIDDEN",
            Self::Polls => "CHAT_SEND_POLL_FORBIDDEN",
        }
    }
}

impl Media {
    /// What it takes to send it; `kind` says what a file of the world is.
    fn right<'a>(&self, kind: impl FnOnce(i64) -> Option<&'a FileKind>) -> Right {
        match self {
            Self::File { file, .. } => kind(*file).map_or(Right::Docs, FileKind::right),
            Self::Poll { .. } => Right::Polls,
            Self::Geo { .. } | Self::Contact { .. } | Self::Page { .. } => Right::Plain,
        }
    }
}

impl FileKind {
    fn right(&self) -> Right {
        let Self::Document { attributes, .. } = self else {
            return Right::Photos;
        };
        let of = |attribute: &Attribute| match attribute {
            Attribute::Sticker { .. } => Some(Right::Stickers),
            Attribute::Animated => Some(Right::Gifs),
            Attribute::Video { round: true, .. } => Some(Right::Roundvideos),
            Attribute::Video { .. } => Some(Right::Videos),
            Attribute::Audio { voice: true, .. } => Some(Right::Voices),
            Attribute::Audio { .. } => Some(Right::Audios),
            _ => None,
        };
        // A sticker or an animation may be a video, too.
        attributes
            .iter()
            .filter_map(of)
            .min_by_key(|right| match right {
                Right::Stickers => 0,
                Right::Gifs => 1,
                _ => 2,
            })
            .unwrap_or(Right::Docs)
    }
}

/// What one member may not send, and until when; 0 for never again.
pub type Forbidden = BTreeMap<Right, i32>;

impl State {
    /// What it takes to send something.
    pub fn right_for(&self, media: Option<&Media>) -> Right {
        media.map_or(Right::Plain, |media| {
            media.right(|file| self.files.stored.get(&file).map(|stored| &stored.kind))
        })
    }

    /// What an account may not send to a peer at present.
    fn forbidden(&self, author: i64, peer: Peer) -> BTreeSet<Right> {
        let (all, member) = match peer {
            Peer::User(_) => (None, None),
            Peer::Group(id) => {
                let group = self.groups.get(&id);
                (
                    group.map(|group| &group.forbidden),
                    group.and_then(|group| group.members.get(&author)),
                )
            }
            Peer::Channel(id) => {
                let channel = self.channels.get(&id);
                (
                    channel.map(|channel| &channel.forbidden),
                    channel.and_then(|channel| channel.members.get(&author)),
                )
            }
        };
        if member.is_some_and(|member| member.role.runs()) {
            return BTreeSet::new();
        }
        let now = self.date();
        let own = member.into_iter().flat_map(|member| &member.forbidden);
        let own = own.filter(|(_, until)| **until == 0 || **until > now);
        let all = all.into_iter().flatten().copied();
        all.chain(own.map(|(right, _)| *right)).collect()
    }

    /// Checks that an account may send something of this kind there.
    pub fn may_send(&self, author: i64, peer: Peer, right: Right) -> Result<(), Refusal> {
        let forbidden = self.forbidden(author, peer);
        let is_media = right != Right::Plain;
        let wider = [(Right::Messages, true), (Right::Media, is_media)];
        let wider = wider.into_iter().filter(|(_, applies)| *applies);
        let mut asked = wider.map(|(right, _)| right).chain([right]);
        match asked.find(|right| forbidden.contains(right)) {
            Some(right) => Err(Refusal::forbidden(right.word())),
            None => Ok(()),
        }
    }

    /// Forbids all members of a group or supergroup these and nothing else, or one member until a time (0: for good).
    pub fn forbid(
        &mut self,
        peer: Peer,
        user: Option<i64>,
        rights: &BTreeSet<Right>,
        until: i32,
    ) -> Result<(), Refusal> {
        let (all, members) = match peer {
            Peer::User(_) => return Err(Refusal::bad("PEER_ID_INVALID")),
            Peer::Group(id) => {
                let group = self.group_mut(id)?;
                (&mut group.forbidden, &mut group.members)
            }
            Peer::Channel(id) => {
                let channel = self.channel_mut(id)?;
                (&mut channel.forbidden, &mut channel.members)
            }
        };
        match user {
            None => *all = rights.clone(),
            Some(user) => {
                let member = members
                    .get_mut(&user)
                    .ok_or(Refusal::bad("USER_NOT_PARTICIPANT"))?;
                member.forbidden = rights.iter().map(|right| (*right, until)).collect();
            }
        }
        for member in self.audience(Place::of(0, peer)) {
            let told = match peer {
                Peer::Channel(channel) => Passing::Channel { channel },
                Peer::Group(group) => Passing::Group { group },
                Peer::User(_) => continue,
            };
            self.mention(member, told);
        }
        Ok(())
    }

    /// Checks that who sends so many messages to a peer pays what they cost there; nobody has stars.
    pub fn pays(
        &self,
        author: i64,
        peer: Peer,
        messages: usize,
        allowed: Option<i64>,
    ) -> Result<(), Refusal> {
        let price = match peer {
            Peer::User(id) => self.accounts.get(&id).map(|account| {
                let free = id == author || account.contacts.contains(&author);
                if free { 0 } else { account.price }
            }),
            Peer::Channel(id) => self.channels.get(&id).map(|channel| {
                let runs = channel.role(author).is_some_and(Role::runs);
                if runs { 0 } else { channel.price }
            }),
            Peer::Group(_) => None,
        };
        let cost = price
            .unwrap_or_default()
            .saturating_mul(i64::try_from(messages).unwrap_or(i64::MAX));
        match allowed.unwrap_or_default() {
            _ if cost == 0 => Ok(()),
            allowed if allowed < cost => Err(Refusal::other(
                403,
                format!("ALLOW_PAYMENT_REQUIRED_{}", price.unwrap_or_default()),
            )),
            _ => Err(Refusal::bad("BALANCE_TOO_LOW")),
        }
    }

    /// How a frozen account's call is refused, if it is: it reads what it has, and does nothing else.
    pub fn frozen(&self, user: i64, method: &str, target: Option<Peer>) -> Option<Refusal> {
        if !self.accounts.get(&user).is_some_and(|account| account.frozen) {
            return None;
        }
        let verb = method.rsplit('.').next().unwrap_or(method);
        let reads = verb.starts_with("get") || READS.contains(&method);
        if !reads {
            return Some(Refusal::other(420, "FROZEN_METHOD_INVALID"));
        }
        let strange = matches!(target, Some(Peer::Channel(id)) if !self.channels.get(&id).is_some_and(|channel| channel.has(user)));
        (strange && STRANGE.contains(&method)).then_some(Refusal::bad("FROZEN_PARTICIPANT_MISSING"))
    }

    /// How a message of an account that Telegram limits is refused, if it is: strangers and public groups are closed to it.
    pub fn limited(&self, author: i64, peer: Peer) -> Result<(), Refusal> {
        if !self.accounts.get(&author).is_some_and(|account| account.limited) {
            return Ok(());
        }
        match peer {
            Peer::User(id) if id != author && !self.knows(author, id) => Err(Refusal::bad("PEER_FLOOD")),
            Peer::Channel(id) => {
                let public = self
                    .channels
                    .get(&id)
                    .is_some_and(|channel| !channel.broadcast && channel.username.is_some());
                match public {
                    true => Err(Refusal::bad("USER_BANNED_IN_CHANNEL")),
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Whether two accounts are no strangers: one is a contact of the other's, or has written to it.
    fn knows(&self, author: i64, other: i64) -> bool {
        let them = self.accounts.get(&other);
        them.is_some_and(|them| {
            them.contacts.contains(&author) || them.dialogs.contains_key(&Peer::User(author))
        })
    }
}

/// What a frozen account may call beside what gets something.
const READS: [&str; 6] = [
    "auth.logOut",
    "auth.bindTempAuthKey",
    "account.updateStatus",
    "messages.readHistory",
    "channels.readHistory",
    "contacts.resolveUsername",
];

/// Where a frozen account has to be in the chat.
const STRANGE: [&str; 4] = [
    "channels.getMessages",
    "messages.getHistory",
    "messages.getPeerDialogs",
    "updates.getChannelDifference",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::world::posting::Draft;

    const EACH: [Right; 11] = [
        Right::Plain,
        Right::Media,
        Right::Photos,
        Right::Videos,
        Right::Roundvideos,
        Right::Audios,
        Right::Voices,
        Right::Docs,
        Right::Stickers,
        Right::Gifs,
        Right::Polls,
    ];

    /// A supergroup of Alice's that Bob is in.
    fn group() -> (State, Peer) {
        let mut state = State::new(7);
        state.now = 1_700_000_000_000;
        for user in [1, 2] {
            let phone = format!("700{user}000");
            state.add_user(Some(user), &phone, "Ann", "").expect("a user");
        }
        let id = state.add_channel(None, 1, "Place", false, &[2]).expect("made");
        (state, Peer::Channel(id))
    }

    #[test]
    fn each_right_forbids_its_kind_alone_and_nobody_who_runs_the_chat() {
        let (mut state, peer) = group();
        for forbidden in EACH {
            let set = BTreeSet::from([forbidden]);
            state.forbid(peer, None, &set, 0).expect("set");
            for right in EACH {
                let all_media = forbidden == Right::Media && right != Right::Plain;
                let expected = match right == forbidden || all_media {
                    true => Err(Refusal::forbidden(forbidden.word())),
                    false => Ok(()),
                };
                assert_eq!(state.may_send(2, peer, right), expected, "{right:?}");
                assert_eq!(state.may_send(1, peer, right), Ok(()), "{right:?}");
            }
        }
        let all = BTreeSet::from([Right::Messages]);
        state.forbid(peer, None, &all, 0).expect("set");
        let refused = state.post(2, peer, Draft::text("hello"));
        assert_eq!(refused, Err(Refusal::forbidden("CHAT_WRITE_FORBIDDEN")));
    }

    #[test]
    fn what_one_member_may_not_ends_at_its_time() {
        let (mut state, peer) = group();
        let until = state.date() + 60;
        let set = BTreeSet::from([Right::Photos]);
        state.forbid(peer, Some(2), &set, until).expect("set");
        assert!(state.may_send(2, peer, Right::Photos).is_err());
        assert!(state.may_send(2, peer, Right::Videos).is_ok());
        state.now += 60_000;
        assert!(state.may_send(2, peer, Right::Photos).is_ok());
        let stranger = state.forbid(peer, Some(3), &set, 0);
        assert_eq!(stranger, Err(Refusal::bad("USER_NOT_PARTICIPANT")));
    }

    #[test]
    fn a_frozen_account_reads_what_it_has() {
        let (mut state, peer) = group();
        assert_eq!(state.frozen(2, "messages.sendMessage", None), None);
        state.account_mut(2).expect("there").frozen = true;
        let refused = Some(Refusal::other(420, "FROZEN_METHOD_INVALID"));
        assert_eq!(state.frozen(2, "messages.sendMessage", Some(peer)), refused);
        for method in ["updates.getDifference", "messages.getHistory", "auth.logOut"] {
            assert_eq!(state.frozen(2, method, Some(peer)), None, "{method}");
        }
        let elsewhere = state.frozen(2, "messages.getHistory", Some(Peer::Channel(99)));
        assert_eq!(elsewhere, Some(Refusal::bad("FROZEN_PARTICIPANT_MISSING")));
    }
}
