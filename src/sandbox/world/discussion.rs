//! Channels whose posts are discussed in a supergroup: each post is forwarded there by itself, in the channel's name,
//! and follows its edits. Not promised: that the forward goes when its post is deleted.

use std::collections::BTreeMap;

use super::account::What;
use super::chat::Role;
use super::content::{Body, Content, Forward, Uid};
use super::place::{Peer, Place};
use super::posting::Draft;
use super::refusal::Refusal;
use super::state::{Passing, State};

/// Among so many of the last posts the parts of one album stand.
const ALBUM_WITHIN: usize = 1000;

impl State {
    /// Lets a channel's posts be discussed in this supergroup from now on, or nowhere.
    pub fn link(&mut self, by: i64, broadcast: i64, group: Option<i64>) -> Result<(), Refusal> {
        let channel = self.channel(broadcast)?;
        if !channel.broadcast {
            return Err(Refusal::bad("BROADCAST_ID_INVALID"));
        }
        if channel.role(by) != Some(Role::Creator) {
            return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
        }
        let before = channel.linked;
        if before == group {
            return Err(Refusal::bad("LINK_NOT_MODIFIED"));
        }
        if let Some(id) = group {
            let group = self.channel(id)?;
            if group.broadcast || group.linked.is_some() || group.forum {
                return Err(Refusal::bad("MEGAGROUP_ID_INVALID"));
            }
            if !group.role(by).is_some_and(Role::runs) {
                return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
            }
            if group.history_hidden {
                return Err(Refusal::bad("MEGAGROUP_PREHISTORY_HIDDEN"));
            }
        }
        for (id, linked) in [(before, None), (Some(broadcast), group), (group, Some(broadcast))] {
            let Some(id) = id else { continue };
            self.channel_mut(id)?.linked = linked;
            for member in self.audience(Place::Channel(id)) {
                self.mention(member, Passing::Channel { channel: id });
            }
        }
        Ok(())
    }

    /// Forwards what was posted in a channel into the supergroup where it is discussed.
    pub(super) fn discuss(&mut self, peer: Peer, posts: &[Uid]) -> Result<(), Refusal> {
        let Peer::Channel(id) = peer else { return Ok(()) };
        let Some(channel) = self.channels.get(&id).filter(|channel| channel.broadcast) else {
            return Ok(());
        };
        let Some(group) = channel
            .linked
            .filter(|_| self.switches.discussion_groups.decides())
        else {
            return Ok(());
        };
        let mut albums: BTreeMap<i64, i64> = BTreeMap::new();
        for uid in posts {
            let Some(post) = self.contents.get(uid) else {
                continue;
            };
            let Some(draft) = self.discussed(id, post) else {
                continue;
            };
            let (author, body, album) = (post.author, post.body.clone(), post.album);
            if let Some(album) = album.filter(|album| !albums.contains_key(album)) {
                let begun = self.begun_album(id, album);
                albums.insert(album, begun.unwrap_or_else(|| self.new_album()));
            }
            let album = album.and_then(|album| albums.get(&album).copied());
            let opened = self.place(author, Peer::Channel(group), Draft { album, ..draft }, body)?;
            if let Some(post) = self.contents.get_mut(uid) {
                post.discussion = Some(opened);
            }
        }
        Ok(())
    }

    /// The album that earlier parts of a channel's album have become where they are discussed.
    fn begun_album(&self, channel: i64, album: i64) -> Option<i64> {
        let held = self.channels.get(&channel)?.held.values().rev();
        let posts = held.take(ALBUM_WITHIN).filter_map(|uid| self.contents.get(uid));
        let mut parts = posts.filter(|post| post.album == Some(album));
        parts.find_map(|part| self.contents.get(&part.discussion?)?.album)
    }

    /// What a post becomes where it is discussed; `None` for what is nobody's words.
    fn discussed(&self, channel: i64, post: &Content) -> Option<Draft> {
        if matches!(post.body, Body::Service(_)) {
            return None;
        }
        let from = Peer::Channel(channel);
        let number = post.number_for(0)?;
        let origin = post.forward.clone().unwrap_or_else(|| self.origin(post));
        Some(Draft {
            forward: Some(Forward {
                saved_from: Some((from, number)),
                ..origin
            }),
            silent: post.silent,
            noforwards: post.noforwards,
            sender: Some(from),
            ..Draft::default()
        })
    }

    /// The message that begins a post's discussion says what the post says now.
    pub(super) fn edit_discussion(&mut self, post: Uid) {
        let Some(post) = self.contents.get(&post) else {
            return;
        };
        let (body, edited_at, opened) = (post.body.clone(), post.edited_at, post.discussion);
        let Some(opened) = opened.and_then(|uid| self.contents.get_mut(&uid)) else {
            return;
        };
        if opened.deleted_at.is_some() {
            return;
        }
        opened.body = body;
        opened.edited_at = edited_at;
        let (place, number, uid) = (opened.place, opened.number_for(0), opened.uid);
        self.ask_for_page(uid);
        if let (Place::Channel(group), Some(id)) = (place, number) {
            self.tell_channel(group, 1, What::Edited { id });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_album_is_one_where_it_is_discussed_too_be_it_posted_part_by_part() {
        let mut state = State::new(3);
        let ann = state.add_user(None, "", "Ann", "").expect("a user");
        let news = state
            .add_channel(None, ann, "News", true, &[])
            .expect("a channel");
        let talk = state.add_channel(None, ann, "Talk", false, &[]).expect("a group");
        state.link(ann, news, Some(talk)).expect("linked");
        for album in [Some(71), None, Some(71), Some(72)] {
            let part = Draft {
                album,
                ..Draft::text("a part")
            };
            state.post(ann, Peer::Channel(news), part).expect("posted");
        }
        let held = state.channels[&talk].held.values();
        let albums: Vec<_> = held.map(|uid| state.contents[uid].album).collect();
        assert_eq!(albums.len(), 4);
        assert!(albums[0].is_some() && albums[0] == albums[2] && albums[1].is_none());
        assert!(albums[3].is_some() && albums[3] != albums[0]);
    }
}
