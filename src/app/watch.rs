//! Watches the store's condition: reports trouble and restores as incidents, which are stored once it takes commits.
//!
//! It stands outside of what is stopped while the store is in trouble. It repairs nothing.

use std::time::Duration;

use crate::ops::Incidents;
use crate::runtime::{ChildSpec, TaskContext};
use crate::store::{Condition, Restored, Store, StoreError, Trouble};

/// How often is looked.
const PACE: Duration = Duration::from_secs(2);
/// The store took no commits for a while.
const TROUBLE: &str = "store_trouble";
/// The disk is slow.
const SLOW: &str = "store_slow";
/// Pages are damaged and there is nothing to restore them from.
const DAMAGED: &str = "store_damaged";
/// The folder of automatic exports takes nothing.
const EXPORTS: &str = "exports_hang";
/// The store was restored from an export.
const RESTORED: &str = "store_restored";
/// The subject of the others.
const STORE: &str = "store";

/// The child that watches.
pub(super) fn child(store: &Store, incidents: &Incidents) -> ChildSpec {
    let (store, incidents) = (store.clone(), incidents.clone());
    ChildSpec::task("watch", move |task: TaskContext| {
        let mut watch = Watch {
            store: store.clone(),
            incidents: incidents.clone(),
            past: None,
        };
        async move {
            let mut trouble = watch.store.trouble();
            let mut pace = tokio::time::interval(PACE);
            loop {
                task.alive();
                if let Err(error) = watch.look().await {
                    tracing::debug!(%error, "what the store met is reported once it takes commits");
                }
                tokio::select! {
                    () = task.stop.cancelled() => return Ok(()),
                    _ = pace.tick() => {}
                    // The handle keeps the other end.
                    _ = trouble.changed() => {}
                }
            }
        }
    })
}

struct Watch {
    store: Store,
    incidents: Incidents,
    /// Trouble that was seen and is not reported yet.
    past: Option<Trouble>,
}

impl Watch {
    async fn look(&mut self) -> Result<(), StoreError> {
        let condition = self.store.condition();
        match &condition {
            Condition::Trouble(trouble) => {
                self.past = Some(trouble.clone());
                return Ok(());
            }
            Condition::Closed => return Ok(()),
            Condition::Slow(took) => {
                let cause = format!("a sync of the disk took {} s", took.as_secs());
                self.report_once(SLOW, &cause, "look after the disk: every commit waits for it")
                    .await?;
            }
            Condition::Damaged(what) => {
                let action =
                    "make an export of what is left, and see the log: no export was there to restore from";
                self.report_once(DAMAGED, what, action).await?;
            }
            Condition::Well => self.incidents.settle(SLOW, STORE).await?,
        }
        match self.store.export_hangs() {
            Some(took) => {
                let cause = format!("the folder of exports has taken nothing for {} s", took.as_secs());
                let action =
                    "look after where store.export_folder leads: no export is made, and the last one ages";
                self.report_once(EXPORTS, &cause, action).await?;
            }
            None => self.incidents.settle(EXPORTS, STORE).await?,
        }
        if let Some(past) = &self.past {
            let cause = format!("no commits were taken ({}): {}", past.kind.as_str(), past.why);
            let action = "nothing now: it passed by itself; see that the disk has room and is sound";
            self.incidents.open(TROUBLE, STORE, &cause, action).await?;
            self.incidents.settle(TROUBLE, STORE).await?;
            self.past = None;
        }
        for restored in self.store.restores_untold()? {
            let action = "repeat what was changed since then (keys, pairs, endpoints); remove the damaged folder when \
                          nobody needs it any more";
            self.incidents
                .open(RESTORED, &restored.at.0.to_string(), &lost(&restored), action)
                .await?;
            self.store.restore_told(restored).await?;
        }
        Ok(())
    }

    /// One report an incident, however often is looked.
    async fn report_once(&self, kind: &str, cause: &str, action: &str) -> Result<(), StoreError> {
        if self.incidents.is_open(kind, STORE)? {
            return Ok(());
        }
        self.incidents.open(kind, STORE, cause, action).await.map(drop)
    }
}

fn lost(restored: &Restored) -> String {
    let count =
        |count: Option<u64>| count.map_or("an unknown number of".to_owned(), |count| count.to_string());
    let since = restored.stands_at.map_or("an unknown time".to_owned(), |at| {
        format!("{} (seconds since 1970)", at.as_secs())
    });
    format!(
        "the store was restored from an export that stands at {since}: at least {} commits with {} events are lost; {}; \
         what was there is kept in {}",
        count(restored.commits),
        count(restored.events),
        restored.why,
        restored.aside.as_deref().unwrap_or("no folder")
    )
}
