//! What the deliverer knows of its lane, and how it finds out that it missed something.
//!
//! The plan is complete if it knows every task of the lane; then the dispatcher's letters keep it so. If there
//! is more than it holds, it takes the tasks of each chat from the oldest on, and more when there is room.

use std::time::{Duration, Instant};

use serde::de::IgnoredAny;

use super::super::order::Entry;
use super::super::registry::Letter;
use super::Deliverer;
use crate::base::Timestamp;
use crate::runtime::TaskContext;
use crate::store::{LaneKind, StoreError, TaskKey};

/// How many unfinished deliveries are kept in mind; the rest waits in the store until there is room.
pub(super) const PLAN_LIMIT: usize = if cfg!(test) { 60 } else { 200_000 };

/// How many of one chat.
const CHAT_LIMIT: usize = if cfg!(test) { 15 } else { 5_000 };

/// How many tasks one look into the store takes.
const PAGE: usize = if cfg!(test) { 7 } else { 500 };

/// How long the store's count may differ from the plan's before the lane is read anew.
const DOUBT: Duration = Duration::from_millis(250);

/// How soon an incomplete plan looks for more.
const AGAIN: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 500 });

impl Deliverer {
    fn group(&self) -> [u8; 16] {
        self.seat.id.to_bytes()
    }

    /// Reads the lane: all of it, or as much as the plan holds, and of no chat so much that it would take the
    /// others' room.
    pub(super) async fn read_lane(&mut self, context: &TaskContext) -> Result<(), StoreError> {
        let (since, now) = (Instant::now(), Timestamp::now());
        let (mut after, mut all) = (None, true);
        let (mut chat, mut of_chat) = (None, 0);
        self.doubt = None;
        self.complete = false;
        while self.plan.len() < PLAN_LIMIT {
            let store = &self.service.store;
            let tasks = store.tasks::<IgnoredAny>(LaneKind::Webhook, Some(self.group()), after, PAGE)?;
            let last_page = tasks.len() < PAGE;
            let mut left_out = false;
            for task in tasks {
                after = Some(task.key);
                if chat.replace(task.key.lane) != Some(task.key.lane) {
                    of_chat = 0;
                }
                of_chat += 1;
                if of_chat > CHAT_LIMIT {
                    after = Some(TaskKey::end_of(task.key.lane));
                    left_out = true;
                    break;
                }
                self.meet(task.key, task.due, task.first_failed_at, now);
            }
            all &= !left_out;
            if last_page && !left_out {
                self.complete = all;
                break;
            }
            context.alive();
            tokio::task::yield_now().await;
        }
        // reading a long lane again and again must not become the main work
        self.read_at = Instant::now() + AGAIN.max(10 * since.elapsed());
        Ok(())
    }

    /// Puts a task into the plan, unless it is finished already.
    fn meet(&mut self, key: TaskKey, due: Timestamp, failing_since: Option<Timestamp>, now: Timestamp) {
        if !self.closing.contains(&key) {
            self.plan.insert(
                Entry {
                    key,
                    chat: key.lane.sub,
                    due,
                    failing_since,
                },
                now,
            );
        }
    }

    /// Takes up what the dispatcher tells.
    pub(super) async fn read_letters(&mut self, context: &TaskContext) -> Result<(), StoreError> {
        let letters = self.seat.inbox.take();
        let now = Timestamp::now();
        // an incomplete plan takes the lane in order when there is room, and nothing out of turn
        let room = self.complete && self.plan.len() + letters.letters.len() <= PLAN_LIMIT;
        self.complete &= room || letters.letters.is_empty();
        for letter in letters.letters {
            match letter {
                Letter::Came(key, due) if room => self.meet(key, due, None, now),
                Letter::Came(..) => {}
                Letter::Hasten(key) => {
                    if self.plan.hasten(key, now) {
                        self.asked_for.insert(key);
                    }
                }
            }
        }
        if letters.overflow {
            self.read_lane(context).await?;
        }
        Ok(())
    }

    /// Doubts the plan if the store counts more tasks than it knows.
    pub(super) fn compare(&mut self) {
        let depth = self
            .service
            .store
            .group_stats(LaneKind::Webhook, self.group())
            .depth;
        let known = self.plan.len() + self.closing.len();
        if !self.complete || usize::try_from(depth).unwrap_or(usize::MAX) <= known {
            self.doubt = None;
            return;
        }
        let wait = DOUBT * 2u32.saturating_pow(self.vain.min(6));
        self.doubt.get_or_insert_with(|| Instant::now() + wait);
    }
}
