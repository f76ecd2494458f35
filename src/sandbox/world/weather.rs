//! The stream that a real account hears all day and that is nobody's message: status, counters, drafts, settings,
//! stories, calls. By a seed, so that a run can be had again; every kind comes in every round, and each in its place in
//! the sequence if it has one.

use serde::{Deserialize, Serialize};

use super::account::{What, keep};
use super::place::Peer;
use super::state::{Passing, State};

macro_rules! kinds {
    ($($name:ident),* $(,)?) => {
        /// A kind of update, called as in the schema.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Kind {
            $(#[doc = concat!("`update", stringify!($name), "`")] $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

kinds! {
    // In the account's sequence, or with a state of its own (qts).
    ReadMessagesContents, WebPage, FolderPeers, NewEncryptedMessage,
    // In a channel's sequence, or beside it with its state.
    ChannelWebPage, ReadChannelInbox,
    // Channels.
    Channel, ChannelMessageViews, ChannelMessageForwards, ChannelReadMessagesContents, ChannelAvailableMessages,
    ReadChannelDiscussionInbox, ReadChannelDiscussionOutbox, ChannelViewForumAsMessages, PinnedForumTopic,
    PinnedForumTopics, MessageExtendedMedia, GroupCall, ChannelUserTyping,
    // Chats.
    Chat, ChatDefaultBannedRights, PendingJoinRequests, PeerSettings, PeerBlocked, PeerHistoryTtl, PeerWallpaper,
    // People.
    User, UserName, UserPhone, UserEmojiStatus, UserStatus, UserTyping,
    // The account.
    Encryption, DraftMessage, DialogPinned, PinnedDialogs, DialogUnreadMark, DialogFilter, DialogFilters,
    NotifySettings, NewScheduledMessage, DeleteScheduledMessages, ServiceNotification, Privacy, StarsBalance,
    RecentReactions, SavedGifs, StickerSets, StickerSetsOrder,
    // The server.
    Config, DcOptions, LangPack, LangPackTooLong,
    // Stories.
    Story, ReadStories, StoriesStealthMode, SentStoryReaction,
}

/// The stream while it goes on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weather {
    /// What it is drawn from.
    pub seed: i64,
    /// How many gusts have been.
    #[serde(default)]
    pub gusts: i64,
}

/// A message of a secret chat, as far as a server knows one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// The state after it.
    pub qts: i32,
    /// When, in seconds.
    pub date: i32,
    /// What its sender named it.
    pub random_id: i64,
}

impl State {
    /// The next gust of the stream that goes on by itself.
    pub fn next_gust(&mut self) {
        if let Some(weather) = &mut self.weather {
            let Weather { seed, gusts } = *weather;
            weather.gusts = gusts.saturating_add(1);
            self.gust(seed, gusts);
        }
    }

    /// Sends one kind of update to every account that is logged in somewhere: the `number`th by this seed.
    pub fn gust(&mut self, seed: i64, number: i64) {
        let kind = self.kind_of(seed, number);
        let mut accounts: Vec<i64> = (self.accounts.values())
            .filter(|account| !account.keys.is_empty() && !account.is_gone())
            .map(|account| account.id)
            .collect();
        accounts.sort_unstable();
        for account in accounts {
            let drawn = self.derive(81, seed, number ^ account);
            self.blow(account, kind, drawn);
        }
    }

    /// The kind that is due: in every round all of them, each round in another order.
    fn kind_of(&self, seed: i64, number: i64) -> Kind {
        let all = i64::try_from(Kind::ALL.len()).unwrap_or(1);
        let (round, place) = (number.div_euclid(all), number.rem_euclid(all));
        let mut order: Vec<Kind> = Kind::ALL.to_vec();
        order.sort_by_key(|kind| self.derive(82 + *kind as u64 * 8, seed, round));
        let place = usize::try_from(place).unwrap_or(0);
        order.get(place).copied().unwrap_or(Kind::UserStatus)
    }

    fn blow(&mut self, account: i64, kind: Kind, drawn: i64) {
        let noise = What::Noise { kind, drawn };
        match kind {
            Kind::ReadMessagesContents | Kind::WebPage | Kind::FolderPeers => {
                self.tell(account, 1, noise);
            }
            Kind::NewEncryptedMessage => self.tell_secret(account, drawn),
            Kind::ChannelWebPage => {
                if let Some(channel) = self.some_channel(account, drawn) {
                    self.tell_channel(channel, 1, noise);
                }
            }
            Kind::ReadChannelInbox => {
                if let Some(channel) = self.some_channel(account, drawn) {
                    let member = self
                        .channels
                        .get(&channel)
                        .and_then(|it| it.members.get(&account));
                    let max_id = member.map_or(0, |member| member.read_in);
                    self.mention(account, Passing::ChannelRead { channel, max_id });
                }
            }
            Kind::Channel => {
                if let Some(channel) = self.some_channel(account, drawn) {
                    self.mention(account, Passing::Channel { channel });
                }
            }
            _ => self.mention(account, Passing::Weather { kind, drawn }),
        }
    }

    fn tell_secret(&mut self, account: i64, random_id: i64) {
        let date = self.date();
        if let Some(account) = self.accounts.get_mut(&account) {
            account.qts += 1;
            let secret = Secret {
                qts: account.qts,
                date,
                random_id,
            };
            keep(&mut account.secrets, secret);
        }
        let kind = Kind::NewEncryptedMessage;
        self.mention(
            account,
            Passing::Weather {
                kind,
                drawn: random_id,
            },
        );
    }

    /// One of the channels that an account is in.
    pub fn some_channel(&self, account: i64, drawn: i64) -> Option<i64> {
        let channels: Vec<i64> = self.accounts.get(&account)?.channels.iter().copied().collect();
        pick(&channels, drawn)
    }

    /// One of the people and groups that an account has a chat with; itself if there is none.
    pub fn some_dialog(&self, account: i64, drawn: i64) -> Peer {
        let known = self.accounts.get(&account);
        let peers: Vec<Peer> = known.map_or_else(Vec::new, |known| known.dialogs.keys().copied().collect());
        pick(&peers, drawn).unwrap_or(Peer::User(account))
    }

    /// One of the people that an account has a chat with; itself if there is none.
    pub fn some_user(&self, account: i64, drawn: i64) -> i64 {
        let known = self.accounts.get(&account);
        let dialogs = known.into_iter().flat_map(|known| known.dialogs.keys());
        let users: Vec<i64> = dialogs
            .filter_map(|peer| match peer {
                Peer::User(user) => Some(*user),
                _ => None,
            })
            .collect();
        pick(&users, drawn).unwrap_or(account)
    }

    /// The messages of secret chats after a state; none for a client that has no such state.
    pub fn secrets_after(&self, account: i64, qts: i32) -> impl Iterator<Item = &Secret> {
        let known = self.accounts.get(&account).filter(|_| qts >= 0);
        known.into_iter().flat_map(move |account| {
            let secrets = &account.secrets;
            secrets.range(secrets.partition_point(|secret| secret.qts <= qts)..)
        })
    }
}

fn pick<T: Copy>(from: &[T], drawn: i64) -> Option<T> {
    let count = i64::try_from(from.len()).ok().filter(|count| *count > 0)?;
    let at = usize::try_from(drawn.rem_euclid(count)).ok()?;
    from.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_in_every_round_and_a_seed_gives_the_same_again() {
        let state = State::new(5);
        let all = i64::try_from(Kind::ALL.len()).expect("few");
        let round = |seed, number: i64| -> Vec<Kind> {
            let numbers = number * all..(number + 1) * all;
            numbers.map(|number| state.kind_of(seed, number)).collect()
        };
        for number in 0..3 {
            let kinds = round(9, number);
            assert!(Kind::ALL.iter().all(|kind| kinds.contains(kind)));
            assert_eq!(kinds, round(9, number));
        }
        assert_ne!(round(9, 0), round(9, 1));
        assert_ne!(round(9, 0), round(10, 0));
    }

    #[test]
    fn secrets_have_a_state_of_their_own() {
        let mut state = State::new(5);
        let ann = state.add_user(None, "", "Ann", "").expect("a user");
        let pts = state.accounts[&ann].pts;
        for random_id in 1..=3 {
            state.blow(ann, Kind::NewEncryptedMessage, random_id);
        }
        assert_eq!((state.accounts[&ann].pts, state.accounts[&ann].qts), (pts, 3));
        let missed: Vec<i32> = state.secrets_after(ann, 1).map(|it| it.qts).collect();
        assert_eq!(missed, [2, 3]);
        assert_eq!(state.secrets_after(ann, -1).count(), 0);
        assert_eq!(state.secrets_after(ann, 3).count(), 0);
    }
}
