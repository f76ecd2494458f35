//! A second line of a scene: a pair of its own, whose source or destination is not the scene's, with a ledger of
//! its own.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use trunkline::sandbox::ledger::{Evidence, Ledger, Line, Terms};
use trunkline::sandbox::view::MessageView;

use super::load::Author;
use super::scene::Scene;

/// See the head of the file.
pub struct Side {
    pub author: Author,
    pub source: i64,
    pub destination: i64,
    pub pair: String,
}

impl Side {
    /// What the author writes to the account itself is copied too: its updates are of the account's own sequence.
    pub async fn private(scene: &Scene) -> Self {
        let author = Author::new(scene.world.clone(), scene.author.user, scene.agent);
        Self::set(scene, author, scene.author.user).await
    }

    /// The source is copied to a second place as well.
    pub async fn beside(scene: &Scene) -> Self {
        Self::set(scene, scene.author.clone(), scene.source).await
    }

    async fn set(scene: &Scene, author: Author, source: i64) -> Self {
        let destination = scene.world.channel("Beside", scene.agent, &[]).await;
        let mut side = Self {
            author,
            source,
            destination,
            pair: String::new(),
        };
        side.join(scene).await;
        side
    }

    /// Makes the pair, for the first time or anew.
    pub async fn join(&mut self, scene: &Scene) {
        let pair = json!({
            "name": "beside",
            "source": {"session": scene.session, "chat": self.source},
            "destination": {"session": scene.session, "chat": self.destination},
        });
        let pair = scene.api.ask(Method::POST, "/api/pairs", Some(pair)).await;
        self.pair = pair["id"].as_str().expect("an id").to_owned();
    }

    /// What was copied, services left aside.
    pub async fn copies(&self, scene: &Scene) -> Vec<MessageView> {
        let mut copies = scene.world.messages(self.destination).await;
        copies.retain(|copy| copy.service.is_none());
        copies
    }

    /// Its ledger as of now.
    pub async fn ledger(&self, scene: &Scene) -> Ledger {
        let received = scene.received();
        let destination = self.copies(scene).await;
        let source = scene.world.messages_as(self.source, Some(scene.agent)).await;
        Ledger::draw(&Evidence {
            lines: &[Line {
                source: &source,
                destination: &destination,
                terms: &Terms::default(),
            }],
            received: &received,
            edits: self.author.edits(),
            waiting: scene.waiting().await,
            dead: scene.dead().await,
        })
    }

    /// Waits until everything has arrived, or for so long.
    pub async fn settle(&self, scene: &Scene, patience: Duration) -> Ledger {
        let begun = Instant::now();
        loop {
            let ledger = self.ledger(scene).await;
            if ledger.is_clean() || begun.elapsed() > patience {
                return ledger;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
