//! Opening what a message carries: who has listened to a voice message or watched a round video is known to its author
//! and to one's other sessions, and has its place in the sequences of private chats and basic groups.

use std::collections::BTreeMap;

use super::account::What;
use super::content::{Content, Media};
use super::place::{Peer, Place};
use super::refusal::Refusal;
use super::state::{Passing, State};

impl State {
    /// Whether nobody but its author has opened what a message carries.
    pub fn is_unopened(&self, content: &Content) -> bool {
        let Some(Media::File { file, .. }) = content.media() else {
            return false;
        };
        let kind = self.files.stored.get(file).map_or("", |file| file.kind.word());
        let told = content.ttl_seconds.is_some() || matches!(kind, "voice" | "video_note");
        !content.opened && told
    }

    /// An account opens what messages of its private chats and basic groups carry. Answers how many it had not.
    pub fn open(&mut self, account: i64, ids: &[i32]) -> Result<i32, Refusal> {
        let (mut opened, mut by_author) = (Vec::new(), BTreeMap::<i64, Vec<i32>>::new());
        for id in ids {
            let Some(content) = self.held(account, *id) else {
                continue;
            };
            if content.author == account || !self.is_unopened(content) {
                continue;
            }
            let (uid, author) = (content.uid, content.author);
            if let Some(number) = content.number_for(author) {
                by_author.entry(author).or_default().push(number);
            }
            opened.push(*id);
            self.mark_opened(uid);
        }
        let count = i32::try_from(opened.len()).unwrap_or(i32::MAX);
        if count > 0 {
            self.tell_opened(account, opened);
        }
        for (author, ids) in by_author {
            self.tell_opened(author, ids);
        }
        Ok(count)
    }

    /// An account opens what messages of a channel carry.
    pub fn open_in_channel(&mut self, account: i64, channel: i64, ids: &[i32]) {
        let mut opened = Vec::new();
        for id in ids {
            let found = self.find(account, Peer::Channel(channel), *id);
            let Some(content) = found.filter(|content| self.is_unopened(content)) else {
                continue;
            };
            let uid = content.uid;
            debug_assert_eq!(content.place, Place::Channel(channel));
            self.mark_opened(uid);
            opened.push(*id);
        }
        if !opened.is_empty() && self.switches.contents_read.decides() {
            let ids = opened;
            self.mention(account, Passing::Opened { channel, ids });
        }
    }

    fn tell_opened(&mut self, account: i64, ids: Vec<i32>) {
        let count = i32::try_from(ids.len()).unwrap_or(i32::MAX);
        if self.switches.contents_read.decides() {
            self.tell(account, count, What::Opened { ids });
        }
    }

    fn mark_opened(&mut self, uid: super::content::Uid) {
        if let Some(content) = self.contents.get_mut(&uid) {
            content.opened = true;
        }
        self.burn(uid);
    }
}
