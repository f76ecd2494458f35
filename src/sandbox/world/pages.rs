//! Pages behind links: a text with a link shows the page's preview. What nobody asked for before is pending at first,
//! and a moment later it comes: an event for all who hold a message that waits for it. Not promised: pictures of
//! pages, or what really stands there; a host that ends with `.invalid` has no page.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::account::What;
use super::content::{Body, Media, Uid};
use super::entities::{Entity, Kind};
use super::place::Place;
use super::state::State;

/// A page that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Its number.
    pub id: i64,
    /// When it was asked for, in seconds.
    pub asked_at: i32,
    /// Whether it is there; not known while it is pending.
    pub found: Option<bool>,
    /// The messages that wait for it.
    pub shown: Vec<Uid>,
}

/// The first address in a text that a page may stand behind.
pub fn first_link(text: &str, entities: &[Entity]) -> Option<String> {
    let found = entities.iter().filter_map(|entity| match entity.kind {
        Kind::TextLink => entity.url.clone(),
        Kind::Url => part(text, entity),
        _ => None,
    });
    let mut links = found.filter_map(|url| match url.split_once("://") {
        Some(("http" | "https", _)) => Some(url),
        Some(_) => None,
        None => Some(format!("http://{url}")),
    });
    links.next()
}

/// The part of a text that a span covers.
fn part(text: &str, entity: &Entity) -> Option<String> {
    let units: Vec<u16> = text.encode_utf16().collect();
    let start = usize::try_from(entity.offset).ok()?;
    let length = usize::try_from(entity.length).ok()?;
    String::from_utf16(units.get(start..start.checked_add(length)?)?).ok()
}

/// The host that an address names.
pub fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#', ':']).next().unwrap_or(rest)
}

impl State {
    /// The preview that a text shows by itself.
    pub(super) fn preview(&self, text: &str, entities: &[Entity]) -> Option<Media> {
        let url = first_link(text, entities).filter(|_| self.switches.link_previews.decides())?;
        Some(Media::Page { url })
    }

    /// Asks for the page that a message shows, if nobody has before.
    pub(super) fn ask_for_page(&mut self, uid: Uid) {
        let media = self.contents.get(&uid).and_then(|content| content.media());
        let Some(Media::Page { url }) = media else { return };
        let url = url.clone();
        let count = i64::try_from(self.pages.len()).unwrap_or(i64::MAX);
        let (id, asked_at) = (self.derive(53, count, 0), self.date());
        let page = self.pages.entry(url.clone()).or_insert_with(|| {
            self.asked.push(url);
            let (found, shown) = (None, Vec::new());
            Page {
                id,
                asked_at,
                found,
                shown,
            }
        });
        if page.found.is_none() {
            page.shown.push(uid);
        }
    }

    /// A page is there, or it is known that there is none: who waits for it is told. In channels the message comes
    /// besides in its new form, as an edit that nobody made.
    pub fn page_comes(&mut self, url: &str) {
        let Some(page) = self.pages.get_mut(url).filter(|page| page.found.is_none()) else {
            return;
        };
        let found = !host(url).ends_with(".invalid");
        page.found = Some(found);
        let shown = std::mem::take(&mut page.shown);
        let what = || What::Page { url: url.to_owned() };
        let shows = |body: &Body| matches!(body, Body::Said { media: Some(Media::Page { url: shown }), .. } if shown == url);
        let (mut accounts, mut channels, mut edits) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for content in shown.iter().filter_map(|uid| self.contents.get(uid)) {
            if content.deleted_at.is_some() || !shows(&content.body) {
                continue;
            }
            for (holder, number) in &content.copies {
                match content.place {
                    Place::Channel(channel) => {
                        channels.insert(channel);
                        edits.push((channel, *number));
                    }
                    _ => {
                        accounts.insert(*holder);
                    }
                }
            }
        }
        for account in accounts {
            self.tell(account, 1, what());
        }
        for channel in channels {
            self.tell_channel(channel, 1, what());
        }
        for (channel, id) in edits.into_iter().filter(|_| found) {
            self.tell_channel(channel, 1, What::Edited { id });
        }
    }

    /// Asks again for the pages that were pending when the world was put away.
    pub fn ask_again(&mut self) {
        let pending = self.pages.iter().filter(|(_, page)| page.found.is_none());
        self.asked = pending.map(|(url, _)| url.clone()).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::super::entities::settle;
    use super::super::place::Peer;
    use super::super::posting::Draft;
    use super::*;

    #[test]
    fn the_first_link_counts_be_it_behind_words() {
        let link = |text: &str, given: Vec<Entity>| {
            let (text, entities) = settle(text, given, || true).expect("within bounds");
            first_link(&text, &entities)
        };
        let first = link("😀 https://a.example/x, http://b.example", vec![]);
        assert_eq!(first.as_deref(), Some("https://a.example/x"));
        let hidden = Entity {
            url: Some("https://c.example".into()),
            ..Entity::plain(Kind::TextLink, 0, 4)
        };
        assert_eq!(link("here", vec![hidden]).as_deref(), Some("https://c.example"));
        assert_eq!(link("ann@b.example", vec![]), None);
        assert_eq!(host("https://a.example:80/x"), "a.example");
    }

    #[test]
    fn a_page_comes_once_to_each_who_holds_a_message_that_waits() {
        let mut state = State::new(3);
        let ann = state.add_user(None, "15550001", "Ann", "").expect("made");
        let bob = state.add_user(None, "15550002", "Bob", "").expect("made");
        for text in ["https://a.example 1", "https://a.example 2"] {
            state
                .post(ann, Peer::User(bob), Draft::text(text))
                .expect("posted");
        }
        assert_eq!(state.asked, ["https://a.example"]);
        let before = (state.accounts[&ann].pts, state.accounts[&bob].pts);
        state.page_comes("https://a.example");
        state.page_comes("https://a.example");
        let after = (state.accounts[&ann].pts, state.accounts[&bob].pts);
        assert_eq!(after, (before.0 + 1, before.1 + 1));
    }
}
