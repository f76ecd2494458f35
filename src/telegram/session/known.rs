//! Chats and users as a commit in the making knows them: what it changes comes before what is stored, and each is
//! written once, when the commit is complete.

use std::collections::HashMap;

use super::convert::Change;
use crate::base::SessionId;
use crate::model::{ChatId, ChatKind};
use crate::store::{Batch, Store, StoreError};
use crate::telegram::peers;
use crate::telegram::tables::{Peer, Peers, Seen};

/// See the head of the file.
pub(super) struct Known<'a> {
    store: &'a Store,
    session: SessionId,
    changed: HashMap<ChatId, Peer>,
}

impl<'a> Known<'a> {
    pub fn new(store: &'a Store, session: SessionId) -> Self {
        Self {
            store,
            session,
            changed: HashMap::new(),
        }
    }

    /// What is known of a chat or user.
    ///
    /// # Errors
    /// If the store cannot be read; so for all that follow.
    pub fn get(&self, chat: ChatId) -> Result<Option<Peer>, StoreError> {
        match self.changed.get(&chat) {
            Some(peer) => Ok(Some(peer.clone())),
            None => self.store.get::<Peers>(&(self.session, chat.0)),
        }
    }

    /// Takes what a container tells of somebody.
    pub fn take(&mut self, chat: ChatId, found: Peer) -> Result<(), StoreError> {
        let known = self.get(chat)?;
        let merged = peers::merge(known.clone().unwrap_or_default(), found);
        if known.as_ref() != Some(&merged) {
            self.changed.insert(chat, merged);
        }
        Ok(())
    }

    /// Keeps by which message somebody can be named of whom Telegram shows only a part.
    pub fn meet(&mut self, change: &Change, parts: &[(ChatId, Peer)]) -> Result<(), StoreError> {
        let (Change::New(message) | Change::Edited(message)) = change else {
            return Ok(());
        };
        let sender = message.sender.as_ref().map(|sender| ChatId(sender.id));
        let Some((user, part)) = parts.iter().find(|(user, _)| Some(*user) == sender) else {
            return Ok(());
        };
        let known = self.get(*user)?;
        if known.is_some_and(|known| known.hash.is_some() || known.seen.is_some()) {
            return Ok(());
        }
        let Some(hash) = self.get(message.chat)?.and_then(|chat| chat.hash) else {
            return Ok(());
        };
        let seen = Seen {
            chat: message.chat,
            hash,
            message: message.id,
        };
        let met = Peer {
            seen: Some(seen),
            ..part.clone()
        };
        self.changed.insert(*user, met);
        Ok(())
    }

    /// Somebody who is known wrote, or was written to: the chat stands among the dialogs from now on.
    pub fn converse(&mut self, chat: ChatId) -> Result<(), StoreError> {
        if let Some(known) = self.get(chat)?.filter(|known| !known.dialog) {
            self.changed.insert(
                chat,
                Peer {
                    dialog: true,
                    ..known
                },
            );
        }
        Ok(())
    }

    /// The account is in a chat no more; whether it was.
    pub fn leave(&mut self, chat: ChatId) -> Result<bool, StoreError> {
        let Some(known) = self.get(chat)?.filter(|known| known.member) else {
            return Ok(false);
        };
        let gone = Peer {
            member: false,
            left: true,
            dialog: false,
            ..known
        };
        self.changed.insert(chat, gone);
        Ok(true)
    }

    /// Whether a chat is protected is told by a message in it.
    pub fn protect(&mut self, chat: ChatId, protected: bool) -> Result<(), StoreError> {
        let known = self.get(chat)?.unwrap_or_default();
        if known.protected != protected {
            self.changed.insert(chat, Peer { protected, ..known });
        }
        Ok(())
    }

    /// A basic group became a supergroup; whether that is to be told, which it is once.
    pub fn migrate(&mut self, group: ChatId) -> Result<bool, StoreError> {
        let known = self.get(group)?.unwrap_or_default();
        if known.migrated {
            return Ok(false);
        }
        let moved = Peer {
            kind: Some(ChatKind::Group),
            member: false,
            dialog: false,
            migrated: true,
            ..known
        };
        self.changed.insert(group, moved);
        Ok(true)
    }

    /// Puts what changed into the commit.
    pub fn put(self, batch: &mut Batch) {
        for (chat, peer) in &self.changed {
            batch.put::<Peers>(&(self.session, chat.0), peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::convert::tests::message;
    use super::*;
    use crate::model::Sender;
    use crate::store::{OpenStore, StoreConfig};

    const USER: ChatId = ChatId(7);
    const GROUP: ChatId = ChatId(-5);

    fn open() -> (OpenStore, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(StoreConfig::in_folder(folder.path())).expect("opens");
        (store, folder)
    }

    async fn commit(store: &Store, known: Known<'_>) {
        let mut batch = Batch::new();
        known.put(&mut batch);
        store.commit(batch).await.expect("commits");
    }

    fn named(hash: i64, member: bool) -> Peer {
        Peer {
            hash: Some(hash),
            member,
            ..Peer::default()
        }
    }

    #[tokio::test]
    async fn who_is_named_in_full_stays_so_though_shown_in_part_in_the_same_commit() {
        let (store, _folder) = open();
        let session = SessionId::generate();
        let channel = ChatId::channel(3);
        let mut known = Known::new(&store, session);
        known.take(channel, named(1, true)).expect("taken");
        known.take(USER, named(2, false)).expect("taken");
        let (seven, eight) = (USER, ChatId(8));
        let parts = [(seven, Peer::default()), (eight, Peer::default())];
        for user in [seven, eight] {
            let mut said = message(1, "hello", None);
            said.chat = channel;
            said.sender = Some(Sender {
                id: user.0,
                ..Sender::default()
            });
            known.meet(&Change::New(said), &parts).expect("met");
        }
        commit(&store, known).await;
        let stored = |user: ChatId| {
            let peer = store.get::<Peers>(&(session, user.0)).expect("read");
            peer.map(|peer| (peer.hash, peer.seen.map(|seen| seen.hash)))
        };
        assert_eq!(stored(seven), Some((Some(2), None)));
        assert_eq!(
            stored(eight),
            Some((None, Some(1))),
            "by a chat of the same commit"
        );
    }

    #[tokio::test]
    async fn who_is_put_out_and_let_in_again_in_one_commit_is_in() {
        let (store, _folder) = open();
        let session = SessionId::generate();
        let channel = ChatId::channel(3);
        let mut known = Known::new(&store, session);
        known.take(channel, named(1, true)).expect("taken");
        commit(&store, known).await;
        let mut known = Known::new(&store, session);
        assert!(known.leave(channel).expect("left"));
        assert!(!known.leave(channel).expect("left"), "is told once");
        known.take(channel, named(1, true)).expect("taken");
        commit(&store, known).await;
        let mut known = Known::new(&store, session);
        assert!(known.leave(channel).expect("left"), "the next loss is told");
    }

    #[tokio::test]
    async fn that_a_group_moved_is_told_once_for_good() {
        let (store, _folder) = open();
        let session = SessionId::generate();
        let mut known = Known::new(&store, session);
        assert!(known.migrate(GROUP).expect("moved"));
        assert!(!known.migrate(GROUP).expect("moved"));
        let shown = Peer {
            title: Some("Few".to_owned()),
            ..Peer::default()
        };
        known.take(GROUP, shown).expect("taken");
        commit(&store, known).await;
        crate::telegram::forget::peers(&store, session)
            .await
            .expect("forgotten");
        let stored = store.get::<Peers>(&(session, GROUP.0)).expect("read");
        assert_eq!(stored.map(|peer| peer.title), Some(None), "without its name");
        assert!(!Known::new(&store, session).migrate(GROUP).expect("moved"));
    }
}
