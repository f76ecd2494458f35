//! Scenes of trouble: differences that fail, pushes that cannot be read, channels that are closed.

use std::time::Duration;

use serde_json::json;
use trunkline::sandbox::world::chat::Role;

use super::{MANY, NEWS, Play};

impl Play {
    /// Ann is put out of two channels, one of them public, and hears of it by the record of a later push.
    pub(super) async fn put_out(&mut self) {
        for (title, name) in [("Shut", None), ("Open to all", Some("open_to_all"))] {
            let chat = self.new_channel(title);
            self.known(chat).await;
            self.world.set_username(chat, name).expect("free");
            self.fault(json!({"kind": "gap", "account": self.ann, "times": 0}));
            self.world
                .set_role(chat, self.ann, Role::Banned)
                .expect("put out");
            self.world.clear_faults(None);
            self.fault(json!({"kind": "push_too_long", "account": self.ann, "chat": chat}));
            let lost = format!("ChatId({chat})");
            let mut waited = 0;
            while !(self.turns.iter()).any(|turn| turn.starts_with("ChatLost") && turn.contains(&lost)) {
                waited += 1;
                assert!(waited < 2000, "{title}: the loss is not told");
                tokio::time::sleep(Duration::from_millis(10)).await;
                self.hear();
            }
        }
    }

    /// What was missed has to be asked for, several times.
    pub(super) async fn failing_differences(&mut self) {
        for round in 0..5 {
            let since = self.next();
            for chat in [NEWS, MANY] {
                self.deafen(chat);
                self.post(chat, &format!("missed {round}"));
            }
            self.world.clear_faults(None);
            for chat in [NEWS, MANY] {
                self.post(chat, &format!("told {round}"));
            }
            let said = self.look_round(since);
            self.heard(round, &said).await;
        }
    }

    /// So many pushes that some come in an older layer.
    pub(super) async fn unreadable(&mut self) {
        for number in 0..20 {
            self.post(MANY, &format!("readable {number}?"));
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }
}
