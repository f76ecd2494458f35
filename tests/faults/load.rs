//! The load: an author who talks in the source at a steady rate, with albums, edits and deletions among
//! the texts. Each message ends with its number, by which the ledger knows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::client::World;

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// Texts only.
    Plain,
    /// Albums, edits and deletions too.
    Mixed,
}

/// Who talks, where, and how much was said so far.
#[derive(Clone)]
pub struct Author {
    pub world: World,
    pub user: i64,
    pub chat: i64,
    said: Arc<AtomicUsize>,
    edits: Arc<AtomicUsize>,
}

impl Author {
    pub fn new(world: World, user: i64, chat: i64) -> Self {
        Self {
            world,
            user,
            chat,
            said: Arc::default(),
            edits: Arc::default(),
        }
    }

    /// Edits so far.
    pub fn edits(&self) -> usize {
        self.edits.load(Ordering::Relaxed)
    }

    /// Things said so far; an album is one.
    pub fn said(&self) -> usize {
        self.said.load(Ordering::Relaxed)
    }

    /// Says the next thing.
    pub async fn say(&self, talk: Talk) {
        let number = self.said.fetch_add(1, Ordering::Relaxed);
        let (chat, user) = (self.chat, self.user);
        if talk == Talk::Mixed && number % 50 == 25 {
            let part = |part: u32| json!({"text": format!("part {part} №{number}.{part}"), "photo": {"generate": part, "width": 16, "height": 16}});
            let album: Vec<_> = (0..3).map(part).collect();
            self.world.post(chat, json!({"from": user, "album": album})).await;
            return;
        }
        let text = format!("message №{number}");
        let posted = self.world.post(chat, json!({"from": user, "text": text})).await;
        if talk == Talk::Plain {
            return;
        }
        let id = posted[0];
        if number % 20 == 7 {
            self.edits.fetch_add(1, Ordering::Relaxed);
            self.world
                .edit(chat, id, user, &format!("(corrected) {text}"))
                .await;
        } else if number % 40 == 13 {
            self.world.delete(chat, id, user).await;
        }
    }

    /// Talks at a rate (a second) until it is stopped. What the clock missed is made up for.
    pub fn talk(&self, talk: Talk, rate: f64) -> Load {
        let stop = CancellationToken::new();
        let (author, stopped) = (self.clone(), stop.clone());
        let talking = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
            while !stopped.is_cancelled() {
                pace.tick().await;
                author.say(talk).await;
            }
        });
        Load { stop, talking }
    }
}

/// A running load.
pub struct Load {
    stop: CancellationToken,
    talking: tokio::task::JoinHandle<()>,
}

impl Load {
    /// Ends it; when this returns nothing more is said.
    pub async fn stop(self) {
        self.stop.cancel();
        self.talking.await.expect("the author does not panic");
    }
}
