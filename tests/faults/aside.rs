//! What stands beside the trouble and must not notice it: another source and destination with a pair between
//! them, of the same account or of another one, and how late the copies come there.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::load::Author;
use super::scene::{PATIENCE, Scene, id};

/// See the head of the file.
pub struct Aside {
    /// Who talks there.
    pub author: Author,
    /// Its session.
    pub session: String,
    destination: i64,
}

impl Aside {
    /// Beside the scene's own chats, with the same account.
    pub async fn of_the_account(scene: &mut Scene) -> Self {
        let session = scene.session.clone();
        let (source, destination) = chats(scene, scene.agent).await;
        Self::join(scene, session, source, destination).await
    }

    /// Of another account, with a session of its own.
    pub async fn of_another_account(scene: &mut Scene, phone: &str) -> Self {
        let account = scene.world.user(phone, "Bystander").await;
        let (source, destination) = chats(scene, account).await;
        let session = scene.session_of(phone).await;
        Self::join(scene, session, source, destination).await
    }

    async fn join(scene: &mut Scene, session: String, source: i64, destination: i64) -> Self {
        let pair = json!({
            "name": "aside",
            "source": {"session": session, "chat": source},
            "destination": {"session": session, "chat": destination},
        });
        id(&scene.api.ask(Method::POST, "/api/pairs", Some(pair)).await);
        let aside = Self {
            author: Author::new(scene.world.clone(), scene.author.user, source),
            session,
            destination,
        };
        // It serves: from here on nothing excuses a late copy.
        aside.author.say(super::load::Talk::Plain).await;
        aside.delays(scene).await;
        aside
    }

    /// How long each copy came after its source, in milliseconds; waits until all are there.
    pub async fn delays(&self, scene: &Scene) -> Vec<i64> {
        let begun = Instant::now();
        loop {
            let said = self.said(scene, self.author.chat).await;
            let copied = self.said(scene, self.destination).await;
            if said.len() == copied.len() {
                // One lane: the copies are in the order of their sources.
                return said
                    .iter()
                    .zip(&copied)
                    .map(|(said, copied)| copied - said)
                    .collect();
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "beside the trouble copies are missing: {} of {}",
                copied.len(),
                said.len()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The slowest copy but the first ones, in milliseconds.
    pub async fn slowest(&self, scene: &Scene) -> i64 {
        let delays = self.delays(scene).await;
        delays.into_iter().skip(3).max().unwrap_or(0)
    }

    async fn said(&self, scene: &Scene, chat: i64) -> Vec<i64> {
        let all = scene.world.messages(chat).await;
        let said = all.iter().filter(|message| message.service.is_none());
        said.map(|message| message.stored_at).collect()
    }
}

async fn chats(scene: &Scene, account: i64) -> (i64, i64) {
    let user = scene.author.user;
    let source = scene.world.channel("Aside", user, &[account]).await;
    let destination = scene.world.channel("Copies", account, &[]).await;
    (source, destination)
}
