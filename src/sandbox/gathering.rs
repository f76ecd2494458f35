//! What one login is to hear, gathered for a moment and put into one container.
//!
//! An update that has no state of its own (pts, qts) takes a number of its login; a container tells the first and the
//! last number in it, and one that holds none is not numbered: it may be read at any time. Pure: when a moment is over,
//! and who is sent what comes of it, others know.

use std::collections::{BTreeMap, HashMap};

use grammers_tl_types::{enums, types};

use super::render::brief::brief;
use super::rpc::KeyId;
use super::switch::Switch;

/// So many updates are enough for one container.
const ENOUGH: usize = 50;

/// The longest moment (milliseconds).
pub const MOMENT: u64 = 50;

/// What one event tells a login.
#[derive(Clone, Debug)]
pub struct Piece {
    updates: Vec<enums::Update>,
    users: Vec<enums::User>,
    chats: Vec<enums::Chat>,
}

/// Pieces in the order in which they came.
#[derive(Debug)]
pub struct Waiting {
    /// Who is logged in there.
    pub account: i64,
    pieces: Vec<Piece>,
}

/// What waits for each login.
#[derive(Debug, Default)]
pub struct Gathering {
    waiting: HashMap<KeyId, Waiting>,
    /// How many moments there were.
    moments: i64,
}

/// What to do after a piece was added.
#[derive(Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing: its moment has begun already.
    Wait,
    /// A moment begins, the one of that number.
    Begin(i64),
    /// It is full.
    Send,
}

impl Gathering {
    /// Adds to what waits for a login.
    pub fn add(&mut self, key: KeyId, account: i64, piece: Piece) -> Then {
        let known = self.waiting.get_mut(&key).filter(|it| it.account == account);
        let Some(waiting) = known else {
            let pieces = vec![piece];
            self.waiting.insert(key, Waiting { account, pieces });
            self.moments += 1;
            return Then::Begin(self.moments);
        };
        waiting.pieces.push(piece);
        let updates: usize = waiting.pieces.iter().map(|piece| piece.updates.len()).sum();
        match updates < ENOUGH {
            true => Then::Wait,
            false => Then::Send,
        }
    }

    /// What waits for a login; its moment is over.
    pub fn take(&mut self, key: KeyId) -> Option<Waiting> {
        self.waiting.remove(&key)
    }

    /// Whether something waits for a login.
    pub fn waits(&self, key: KeyId) -> bool {
        self.waiting.contains_key(&key)
    }

    /// The logins for which something waits.
    pub fn keys(&self) -> Vec<KeyId> {
        self.waiting.keys().copied().collect()
    }
}

impl Piece {
    /// What a container holds; nothing of what is told alone and at once.
    pub fn of(updates: &enums::Updates) -> Option<Self> {
        match updates {
            enums::Updates::Updates(it) => Some(Self {
                updates: it.updates.clone(),
                users: it.users.clone(),
                chats: it.chats.clone(),
            }),
            _ => None,
        }
    }

    /// How many numbers of a login it takes.
    pub fn numbers(&self) -> i32 {
        let numbered = self.updates.iter().filter(|update| is_numbered(update)).count();
        i32::try_from(numbered).unwrap_or(i32::MAX)
    }
}

impl Waiting {
    /// One piece alone.
    pub fn alone(account: i64, piece: Piece) -> Self {
        Self {
            account,
            pieces: vec![piece],
        }
    }

    /// How many numbers of a login it takes.
    pub fn numbers(&self) -> i32 {
        self.pieces.iter().map(Piece::numbers).sum()
    }

    /// All of it as one container, after number `seq` of its login, or without a number; a lone text may have its
    /// brief form.
    pub fn container(self, seq: Option<i32>, date: i32, briefly: &Switch) -> enums::Updates {
        let numbers = if seq.is_some() { self.numbers() } else { 0 };
        let seq = seq.unwrap_or(0);
        let (mut users, mut chats) = (BTreeMap::new(), BTreeMap::new());
        let mut updates = Vec::new();
        for piece in self.pieces {
            updates.extend(piece.updates);
            for user in piece.users {
                let known = users.get(&user.id());
                if known.is_none_or(is_reduced_user) || !is_reduced_user(&user) {
                    users.insert(user.id(), user);
                }
            }
            for chat in piece.chats {
                let known = chats.get(&chat.id());
                if known.is_none_or(is_reduced_chat) || !is_reduced_chat(&chat) {
                    chats.insert(chat.id(), chat);
                }
            }
        }
        if let [update] = updates.as_slice()
            && let Some(short) = brief(update)
            && briefly.decides()
        {
            return short;
        }
        let (users, chats) = (users.into_values().collect(), chats.into_values().collect());
        if numbers > 1 {
            return types::UpdatesCombined {
                updates,
                users,
                chats,
                date,
                seq_start: seq + 1,
                seq: seq + numbers,
            }
            .into();
        }
        types::Updates {
            updates,
            users,
            chats,
            date,
            seq: if numbers == 0 { 0 } else { seq + 1 },
        }
        .into()
    }
}

fn is_reduced_user(user: &enums::User) -> bool {
    matches!(user, enums::User::User(user) if user.min)
}

fn is_reduced_chat(chat: &enums::Chat) -> bool {
    matches!(chat, enums::Chat::Channel(channel) if channel.min)
}

/// Whether an update has its place among all that a login hears, and in no other sequence. What only passes has none.
fn is_numbered(update: &enums::Update) -> bool {
    use enums::Update as U;
    let placed = matches!(
        update,
        U::NewMessage(_)
            | U::EditMessage(_)
            | U::DeleteMessages(_)
            | U::ReadHistoryInbox(_)
            | U::ReadHistoryOutbox(_)
            | U::ReadMessagesContents(_)
            | U::WebPage(_)
            | U::FolderPeers(_)
            | U::PinnedMessages(_)
            | U::NewChannelMessage(_)
            | U::EditChannelMessage(_)
            | U::DeleteChannelMessages(_)
            | U::ReadChannelInbox(_)
            | U::PinnedChannelMessages(_)
            | U::ChannelWebPage(_)
            | U::ChannelTooLong(_)
            | U::NewEncryptedMessage(_)
    );
    let passing = matches!(
        update,
        U::UserTyping(_)
            | U::ChatUserTyping(_)
            | U::ChannelUserTyping(_)
            | U::EncryptedChatTyping(_)
            | U::UserStatus(_)
            | U::MessageId(_)
            | U::LoginToken
            | U::DcOptions(_)
            | U::Config
            | U::ServiceNotification(_)
            | U::LangPackTooLong(_)
            | U::LangPack(_)
    );
    !placed && !passing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::render::blank;

    fn piece(update: enums::Update, users: Vec<enums::User>) -> Piece {
        Piece {
            updates: vec![update],
            users,
            chats: Vec::new(),
        }
    }

    fn loose(chat_id: i64) -> enums::Update {
        types::UpdateChat { chat_id }.into()
    }

    fn placed(pts: i32) -> enums::Update {
        types::UpdateDeleteMessages {
            messages: vec![],
            pts,
            pts_count: 1,
        }
        .into()
    }

    fn gathered(pieces: Vec<Piece>) -> Waiting {
        Waiting { account: 1, pieces }
    }

    #[test]
    fn a_moment_begins_with_the_first_piece_and_ends_when_it_is_full() {
        let mut gathering = Gathering::default();
        let add = |gathering: &mut Gathering| gathering.add(KeyId(1), 7, piece(loose(1), vec![]));
        assert_eq!(add(&mut gathering), Then::Begin(1));
        for _ in 2..ENOUGH {
            assert_eq!(add(&mut gathering), Then::Wait);
        }
        assert_eq!(add(&mut gathering), Then::Send);
        assert!(gathering.take(KeyId(1)).is_some_and(|it| it.numbers() == 50));
        assert!(gathering.take(KeyId(1)).is_none());
        assert_eq!(add(&mut gathering), Then::Begin(2));
        let other = gathering.add(KeyId(1), 8, piece(loose(1), vec![]));
        assert_eq!(other, Then::Begin(3), "somebody else is logged in now");
    }

    #[test]
    fn only_what_has_no_state_takes_numbers() {
        let none = gathered(vec![piece(placed(5), vec![]), piece(placed(6), vec![])]);
        let enums::Updates::Updates(none) = none.container(Some(3), 9, &Switch::new(false)) else {
            panic!("not numbered")
        };
        assert_eq!((none.seq, none.updates.len()), (0, 2));
        let one = gathered(vec![piece(placed(5), vec![]), piece(loose(1), vec![])]);
        let enums::Updates::Updates(one) = one.container(Some(3), 9, &Switch::new(false)) else {
            panic!("one number")
        };
        assert_eq!(one.seq, 4);
        let two = gathered(vec![piece(loose(1), vec![]), piece(loose(2), vec![])]);
        let enums::Updates::Combined(two) = two.container(Some(3), 9, &Switch::new(false)) else {
            panic!("two numbers")
        };
        assert_eq!((two.seq_start, two.seq), (4, 5));
    }

    #[test]
    fn whoever_is_named_twice_is_told_once_and_in_full() {
        let full = enums::User::from(blank::user(7));
        let reduced: enums::User = types::User {
            min: true,
            ..blank::user(7)
        }
        .into();
        for users in [[full.clone(), reduced.clone()], [reduced, full]] {
            let pieces = users.map(|user| piece(loose(1), vec![user]));
            let enums::Updates::Combined(told) =
                gathered(pieces.into()).container(Some(0), 0, &Switch::new(false))
            else {
                panic!("two numbers")
            };
            assert!(matches!(told.users.as_slice(), [enums::User::User(user)] if !user.min));
        }
    }
}
