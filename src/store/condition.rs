//! How the store is: well, slow, in trouble that may pass, or damaged so that only a new beginning helps.
//!
//! Trouble of the disk is a state and no crash: reads go on from what is open, commits are refused, and once the disk
//! takes writes again the database is opened anew, since sled keeps an I/O error until then. It does not promise that
//! what is read meanwhile is durable: a commit that failed may show.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::error::StoreError;
use super::{Shared, Store};
use crate::base::Timestamp;

/// A sync that takes longer is told of.
pub const SLOW: Duration = Duration::from_secs(3);
/// How long the disk must have been quick for a slow one to be forgotten.
const QUICK_AGAIN: Duration = Duration::from_secs(120);
/// The first pause before the disk is tried again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// What held so long is well: the next trouble is a new one.
const WELL_AFTER: Duration = Duration::from_secs(300);

/// What keeps the store from taking commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// The disk, a quota or a limit leaves no room.
    DiskFull,
    /// The disk refuses for another reason.
    DiskFault,
    /// Pages of the database cannot be read, or rows are missing.
    Damaged,
}

impl TroubleKind {
    /// The name, as metrics and incidents show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DiskFull => "disk_full",
            Self::DiskFault => "disk_fault",
            Self::Damaged => "damaged",
        }
    }
}

/// Why the store takes no commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What kind of trouble it is.
    pub kind: TroubleKind,
    /// What the disk or the database said.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

impl Trouble {
    /// Whether an error says that there is no room.
    pub(super) fn is_of_room(error: &StoreError) -> bool {
        Self::of(error).is_some_and(|trouble| trouble.kind == TroubleKind::DiskFull)
    }

    /// The trouble that an error speaks of; none if it is a fault of the program.
    pub(super) fn of(error: &StoreError) -> Option<Self> {
        let kind = match error {
            StoreError::Disk { full: true, .. } => TroubleKind::DiskFull,
            StoreError::File { source, .. } if super::error::is_full(source) => TroubleKind::DiskFull,
            error if error.is_of_disk() => TroubleKind::DiskFault,
            error if error.is_damage() => TroubleKind::Damaged,
            _ => return None,
        };
        Some(Self {
            kind,
            why: crate::base::chain(error).to_string(),
            since: Timestamp::now(),
        })
    }
}

/// How the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It takes commits.
    Well,
    /// It takes commits, and the disk took this long for one of late.
    Slow(Duration),
    /// Pages of it cannot be read; it serves the rest.
    Damaged(String),
    /// It takes no commits, and reads go on.
    Trouble(Trouble),
    /// It is not open.
    Closed,
}

/// How long the disk takes: of the sync under way, and the longest of late.
pub(super) struct Syncs {
    epoch: Instant,
    /// When the sync under way began, in milliseconds since the epoch, and 1; 0 if there is none.
    began: AtomicU64,
    /// When the last slow one ended, likewise, and how long it took.
    slow: AtomicU64,
    took: AtomicU64,
}

impl Default for Syncs {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            began: AtomicU64::new(0),
            slow: AtomicU64::new(0),
            took: AtomicU64::new(0),
        }
    }
}

impl Syncs {
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn begin(&self) {
        self.began.store(self.now() + 1, Ordering::Release);
    }

    /// Whether it was slow.
    pub fn end(&self) -> bool {
        let took = self.under_way();
        self.began.store(0, Ordering::Release);
        let slow = took.is_some_and(|took| took >= SLOW);
        if let Some(took) = took.filter(|_| slow) {
            let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            self.took.store(millis, Ordering::Release);
            self.slow.store(self.now() + 1, Ordering::Release);
        }
        slow
    }

    /// How long the sync under way has taken; none if there is none.
    pub fn under_way(&self) -> Option<Duration> {
        match self.began.load(Ordering::Acquire) {
            0 => None,
            began => Some(Duration::from_millis(self.now().saturating_sub(began - 1))),
        }
    }

    /// How long a slow one takes, or took of late.
    fn slow(&self) -> Option<Duration> {
        let now = self.under_way().filter(|took| *took >= SLOW);
        let late = match self.slow.load(Ordering::Acquire) {
            0 => None,
            at => {
                let ago = Duration::from_millis(self.now().saturating_sub(at - 1));
                (ago < QUICK_AGAIN).then(|| Duration::from_millis(self.took.load(Ordering::Acquire)))
            }
        };
        now.or(late)
    }
}

/// The pauses before the disk is tried again: doubled while trouble returns.
pub(super) struct Pauses {
    next: Duration,
    well_since: Option<Instant>,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            next: PAUSES.0,
            well_since: None,
        }
    }
}

impl Pauses {
    pub fn opened(&mut self, now: Instant) {
        self.well_since = Some(now);
    }

    /// The pause before the next try, now that the store is in trouble.
    pub fn next(&mut self, now: Instant) -> Duration {
        if self
            .well_since
            .take()
            .is_some_and(|since| now.duration_since(since) >= WELL_AFTER)
        {
            self.next = PAUSES.0;
        }
        let pause = self.next;
        self.next = (pause * 2).min(PAUSES.1);
        pause
    }
}

impl Shared {
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.trouble.borrow().clone()
    }

    /// Remembers trouble; what it began with stays.
    pub(super) fn set_trouble(&self, trouble: Trouble) {
        metrics::counter!("trunkline_store_troubles_total", "kind" => trouble.kind.as_str()).increment(1);
        tracing::error!(
            kind = trouble.kind.as_str(),
            why = trouble.why,
            "the store takes no commits"
        );
        self.trouble.send_modify(|known| {
            let since = known.as_ref().map_or(trouble.since, |known| known.since);
            *known = Some(Trouble { since, ..trouble });
        });
    }

    /// Damage that a reader or a unit met.
    pub(super) fn note_damage(&self, what: &str) {
        metrics::counter!("trunkline_store_damaged_reads_total").increment(1);
        self.damage.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                tracing::error!(
                    what,
                    "a page of the database is damaged; what stood on it is not served"
                );
                *known = Some(what.to_owned());
            }
            first
        });
    }

    pub(super) fn end_trouble(&self) {
        if let Some(trouble) = self.trouble.send_replace(None) {
            let lasted_s = Timestamp::now().since(trouble.since).as_secs();
            tracing::warn!(
                kind = trouble.kind.as_str(),
                lasted_s,
                "the store takes commits again"
            );
        }
    }
}

impl Store {
    /// How it is.
    pub fn condition(&self) -> Condition {
        if let Some(trouble) = self.shared.trouble() {
            return Condition::Trouble(trouble);
        }
        if !self.is_open() {
            return Condition::Closed;
        }
        if let Some(what) = self.shared.damage.borrow().clone() {
            return Condition::Damaged(what);
        }
        match self.shared.syncs.slow() {
            Some(took) => Condition::Slow(took),
            None => Condition::Well,
        }
    }

    /// Waits until the database is found to be damaged and an export is there to restore it from, which only a new
    /// beginning does: what is in memory would not fit what is restored.
    pub async fn damaged(&self) -> String {
        let mut trouble = self.trouble();
        let damaged = |trouble: &Option<Trouble>| {
            trouble
                .as_ref()
                .is_some_and(|trouble| trouble.kind == TroubleKind::Damaged)
        };
        match trouble.wait_for(damaged).await {
            Ok(trouble) => trouble
                .as_ref()
                .map(|trouble| trouble.why.clone())
                .unwrap_or_default(),
            // The handle itself keeps the other end.
            Err(_) => std::future::pending().await,
        }
    }

    /// What keeps it from taking commits, and word of every change.
    pub fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.shared.trouble.subscribe()
    }

    /// How long the sync of the disk that is under way has taken.
    pub fn syncing(&self) -> Duration {
        self.shared.syncs.under_way().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_begin_anew_after_a_good_time() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        let mut taken: Vec<u64> = (0..7).map(|_| pauses.next(now).as_secs()).collect();
        assert_eq!(taken, [1, 2, 4, 8, 16, 30, 30]);
        pauses.opened(now);
        taken = vec![pauses.next(now + WELL_AFTER / 2).as_secs()];
        assert_eq!(taken, [30], "trouble that returns soon is the same");
        pauses.opened(now);
        assert_eq!(pauses.next(now + WELL_AFTER), PAUSES.0);
    }

    /// The supervisor of what works bears ten restarts a minute (app/tree.rs): returning trouble makes fewer.
    #[test]
    fn trouble_that_returns_at_once_uses_no_intensity_up() {
        let (mut pauses, begun) = (Pauses::default(), Instant::now());
        let (mut now, mut times) = (begun, Vec::new());
        while now < begun + Duration::from_secs(600) {
            times.push(now);
            pauses.opened(now);
            now += pauses.next(now);
        }
        for from in &times {
            let within = |at: &&Instant| **at >= *from && **at < *from + Duration::from_secs(60);
            assert!(times.iter().filter(within).count() <= 7);
        }
    }

    #[test]
    fn what_the_disk_says_is_told_apart() {
        let kind = |error: std::io::Error| Trouble::of(&StoreError::disk(&error)).map(|trouble| trouble.kind);
        assert_eq!(
            kind(std::io::Error::from_raw_os_error(28)),
            Some(TroubleKind::DiskFull)
        );
        assert_eq!(
            kind(std::io::Error::from_raw_os_error(5)),
            Some(TroubleKind::DiskFault)
        );
        assert!(Trouble::of(&StoreError::unavailable("it was closed")).is_none());
    }
}
