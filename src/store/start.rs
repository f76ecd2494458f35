//! The store's life: opened, working, closed; opened anew when the disk takes writes again, or by its supervisor if the
//! committer ends by a fault of its own.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::apply::Meta;
use super::committer::{Committer, Job, Unit};
use super::condition::{Pauses, Trouble, TroubleKind};
use super::decode::decode;
use super::error::StoreError;
use super::held::Held;
use super::ledger::Counted;
use super::open::{self, meta_key, sled_fault, sled_folder};
use super::read::{Live, guarded};
use super::recent::Recent;
use super::rotation::{self, Rotation};
use super::row::{self, Fault, Packed};
use super::seal::{Seal, Sources};
use super::{
    Shared, Store, StoreConfig, catalog, digest, export, exports, ledger, probe, quarantine, restore, rewrite,
};

/// How long a reader may hold on to a database that is being closed.
const LETTING_GO: Duration = Duration::from_secs(15);

/// A committer at work.
pub(super) struct Running {
    closing: Closing,
    done: oneshot::Receiver<Result<(), StoreError>>,
    thread: JoinHandle<()>,
}

/// Opens the database and starts its committer.
pub(super) fn start(shared: &Arc<Shared>) -> Result<Running, StoreError> {
    let (jobs, inbox) = mpsc::channel();
    let (live, meta, events) = opened_or_restored(shared, &jobs)?;
    if let Some(rotation) = &live.rotation {
        rotation.tell();
        if let Some(batch) = rotation.farewell() {
            let (ops, since) = (batch.into_ops(&live.seal)?, Instant::now());
            // The first job, and nobody waits for it. The inbox is held by this function.
            let (reply, _) = oneshot::channel();
            drop(jobs.send(Job::Commit(Unit { ops, since, reply })));
        }
    }
    let oldest = Committer::event_from(&live, 0, meta.seq)?;
    *shared.gauges() = quarantine::counted_lanes(&live)?;
    shared
        .number
        .store(meta.number, std::sync::atomic::Ordering::Release);
    shared.head.send_replace(meta.seq);
    let mut committer = Committer::new(shared.clone(), live.clone(), inbox, meta, (oldest, events))?;
    committer.write_ledger()?;
    let (finish, done) = oneshot::channel();
    let shared = shared.clone();
    shared.set_live(Ok(live));
    shared.at_work.store(true, Ordering::Release);
    let thread = std::thread::Builder::new()
        .name("trunkline-store".to_owned())
        .spawn({
            let shared = shared.clone();
            move || {
                let outcome = catch_unwind(AssertUnwindSafe(|| committer.run()))
                    .unwrap_or_else(|_| Err(StoreError::unavailable("the committer panicked")));
                if outcome.is_err() {
                    committer.mark_unsynced();
                }
                drop(committer);
                // In trouble, what is open goes on to be read.
                let closed = match outcome.as_ref().err().and_then(Trouble::of) {
                    Some(trouble) => {
                        shared.set_trouble(trouble);
                        Ok(())
                    }
                    None if shared.trouble().is_some() => Ok(()),
                    None => close(&shared, &ending(&outcome)),
                };
                // Nobody listens if the process is on its way out.
                drop(finish.send(outcome.and(closed)));
            }
        });
    match thread {
        Ok(thread) => {
            shared.was_open.store(true, Ordering::Release);
            Ok(Running {
                closing: Closing(jobs),
                done,
                thread,
            })
        }
        Err(error) => {
            close(&shared, &error.to_string())?;
            Err(StoreError::unavailable(error))
        }
    }
}

fn ending(outcome: &Result<(), StoreError>) -> String {
    match outcome {
        Ok(()) => "it was closed".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Closes what is open; from now on everybody hears why.
fn close(shared: &Shared, why: &str) -> Result<(), StoreError> {
    let closed = match shared.take_live(why) {
        Some(live) => let_go(live),
        None => Ok(()),
    };
    shared.at_work.store(false, Ordering::Release);
    closed
}

/// Drops the database. Sled may hang there after a fault of its own, so this does not wait for ever.
fn let_go(live: Arc<Live>) -> Result<(), StoreError> {
    let weak = Arc::downgrade(&live);
    let (gone, is_gone) = mpsc::channel::<()>();
    let dropping = std::thread::Builder::new()
        .name("trunkline-store-close".to_owned())
        .spawn(move || {
            drop(live);
            drop(gone);
        });
    if let Err(error) = dropping {
        return Err(StoreError::unavailable(error));
    }
    let deadline = Instant::now() + LETTING_GO;
    // The channel ends when the drop has.
    let dropped = is_gone.recv_timeout(LETTING_GO) != Err(mpsc::RecvTimeoutError::Timeout);
    while weak.strong_count() > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    if dropped && weak.strong_count() == 0 {
        return Ok(());
    }
    Err(StoreError::unavailable("the database could not be closed"))
}

/// A damaged database is restored from the last export where nothing of this process stands on it yet.
fn opened_or_restored(shared: &Shared, jobs: &mpsc::Sender<Job>) -> Result<Opened, StoreError> {
    let refused = shared.trouble().is_some();
    match opened(&shared.config, jobs.clone(), refused) {
        Err(damage) if damage.is_damage() && !shared.was_open.load(Ordering::Acquire) => {
            if restore::automatic(&shared.config, &damage)? {
                opened(&shared.config, jobs.clone(), false)
            } else {
                Err(damage)
            }
        }
        outcome => outcome,
    }
}

/// The open database, what it remembers of itself, and how many events it has.
type Opened = (Arc<Live>, Meta, u64);

/// Opens the database. If the disk has `refused` something since it was opened last, it is written anew first.
fn opened(config: &StoreConfig, jobs: mpsc::Sender<Job>, refused: bool) -> Result<Opened, StoreError> {
    let folder = &config.folder;
    let lock = open::take_folder(folder)?;
    open::refuse_half_import(folder)?;
    restore::finish(folder)?;
    export::clean(folder).map_err(StoreError::file("clean", folder))?;
    if refused || ledger::is_marked(folder).map_err(StoreError::file("read the ledger in", folder))? {
        write_anew(folder)?;
    }
    exports::Tag::make(folder)?;
    let tree = open::open_sled(config)?;
    let damaged = |error| match error {
        StoreError::DamagedPage { what } => StoreError::Damaged {
            folder: config.folder.clone(),
            what,
        },
        error => error,
    };
    let (meta, counted) = guarded(|| Ok((stored_meta(&tree)?, count(&tree)?))).map_err(damaged)?;
    open::refuse_loss(config, &meta, &counted)?;
    let quarantine = quarantine::keys(&tree)?;
    let (seal, rotation) = seal_of(config, &tree).map_err(damaged)?;
    let secret = installation_secret(folder, &tree, &seal)?;
    let restored_at = restore::last(&tree)?;
    let live = Live {
        tree,
        jobs,
        seal,
        secret: secret.0,
        rotation,
        restored_at,
        quarantine,
        recent: Recent::default(),
        held: Held::default(),
        _lock: lock,
    };
    let meta = Meta {
        rows: counted.rows + u64::from(secret.1.is_some()),
        sum: Some(counted.sum.wrapping_add(secret.1.unwrap_or(0))),
        ..meta
    };
    Ok((Arc::new(live), meta, counted.events))
}

/// Gives the disk again what it may not have kept.
fn write_anew(folder: &Path) -> Result<(), StoreError> {
    let begun = Instant::now();
    let bytes = rewrite::over_itself(&sled_folder(folder)).map_err(|error| StoreError::disk(&error))?;
    ledger::unmark(folder).map_err(StoreError::file("write the ledger in", folder))?;
    tracing::warn!(
        bytes,
        took_ms = begun.elapsed().as_millis(),
        "the disk had refused something, so the database was written over itself"
    );
    Ok(())
}

/// The seal. A key is made only where nothing was sealed yet: another one would not open what was.
fn seal_of(config: &StoreConfig, tree: &sled::Tree) -> Result<(Seal, Option<Rotation>), StoreError> {
    let fresh = !tree.contains_key(secret_key()).map_err(sled_fault)?;
    let key = Sources::of_process(config.seal_key_file.clone()).key(&config.folder, fresh)?;
    let key = key.ok_or_else(|| StoreError::SealKey {
        what: "the data in this folder is sealed, and its key was not given: it belongs into the systemd credential \
               trunkline-seal, the file that store.seal_key_file names, TRUNKLINE_SEAL_KEY, or the file seal.key in the \
               data folder"
            .to_owned(),
    })?;
    rotation::seal(tree, key)
}

pub(super) fn secret_key() -> Vec<u8> {
    [&[catalog::INSTALLATION.prefix], b"secret".as_slice()].concat()
}

pub(super) fn stored_meta(tree: &sled::Tree) -> Result<Meta, StoreError> {
    let key = meta_key();
    let Some(bytes) = tree.get(&key).map_err(sled_fault)? else {
        return Ok(Meta::default());
    };
    let damaged = |what: &str| StoreError::DamagedPage {
        what: what.to_owned(),
    };
    match row::open(&catalog::META, &key, &bytes, None, |_| None) {
        Ok(Some(plain)) => decode(&plain).map_err(|_| damaged("the first row does not fit its type")),
        Err(Fault::Version(version)) => Err(StoreError::UnknownVersion {
            table: catalog::META.name,
            version,
        }),
        _ => Err(damaged("its first row fails its checksum")),
    }
}

/// What all rows come to: reading them all finds unreadable pages before anybody needs them.
pub(super) fn count(tree: &sled::Tree) -> Result<Counted, StoreError> {
    let mut counted = Counted::default();
    for row in tree.iter() {
        let (key, row) = row.map_err(sled_fault)?;
        counted.add(&key, &row);
    }
    Ok(counted)
}

/// The installation's secret, and what its row adds to the sum if it was made just now.
fn installation_secret(
    folder: &Path,
    tree: &sled::Tree,
    seal: &Seal,
) -> Result<([u8; 32], Option<u64>), StoreError> {
    let entry = catalog::INSTALLATION;
    let key = secret_key();
    if let Some(bytes) = tree.get(&key).map_err(sled_fault)? {
        let plain = row::open(&entry, &key, &bytes, Some(seal), |_| None);
        return match plain.map(|plain| plain.and_then(|plain| plain.try_into().ok())) {
            Ok(Some(secret)) => Ok((secret, None)),
            Err(Fault::Seal) => Err(StoreError::SealKey {
                what: "the seal key is not the one that the data in this folder was sealed with; give the former one"
                    .to_owned(),
            }),
            _ => Err(StoreError::Damaged {
                folder: folder.to_owned(),
                what: "the row of the installation's secret".to_owned(),
            }),
        };
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(StoreError::unavailable)?;
    let (mut batch, mut sum) = (sled::Batch::default(), 0);
    Packed::new(secret.to_vec())
        .sealed(seal, entry.name, &key)
        .rows(key, |key, row| {
            sum = digest::of_row(&key, &row);
            batch.insert(key, row);
        });
    tree.apply_batch(batch).map_err(sled_fault)?;
    // Synced with the first commit: what is derived from it is never older than that.
    tree.flush().map_err(sled_fault)?;
    Ok((secret, Some(sum)))
}

/// How long opening may take: a large database is read once as a whole.
pub const OPENING: Duration = Duration::from_secs(300);
/// How long closing may take.
pub const CLOSING: Duration = Duration::from_secs(30);

impl Store {
    /// Opens the database, calls `opened`, and commits until `stop`: what the store's supervised task does. Trouble of
    /// the disk is borne here: reads go on, commits hear [`StoreError::Unavailable`], and when the disk takes writes
    /// again the database is opened anew. If it ends by another fault, its supervisor calls it again. (The store stands
    /// below the floor of supervision, so `app` makes the child.)
    pub async fn run(&self, stop: CancellationToken, opened: impl FnOnce()) -> Result<(), StoreError> {
        let mut opened = Some(opened);
        let mut pauses = Pauses::default();
        loop {
            let was_open = self.shared.was_open.load(Ordering::Acquire);
            let error = match self.begin().await {
                Ok(running) => {
                    pauses.opened(Instant::now());
                    if let Some(opened) = opened.take() {
                        opened();
                    }
                    match self.serve(running, &stop).await {
                        Ok(()) => return Ok(()),
                        Err(error) => error,
                    }
                }
                // A full disk is waited out from the start; whatever else it refuses then may be a wrong setting.
                Err(error) if was_open || Trouble::is_of_room(&error) => error,
                Err(error) => return Err(error),
            };
            // Damage is borne only where a new beginning of all that runs can restore what is lost.
            if error.is_damage() {
                if !self.can_restore().await {
                    return Err(error);
                }
                self.borne(&error);
                stop.cancelled().await;
            }
            if self.borne(&error).is_none() {
                return Err(error);
            }
            if !self.until_room(&stop, &mut pauses).await {
                return self.off_the_loop(|shared| close(shared, "it was closed")).await;
            }
        }
    }

    async fn off_the_loop<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Shared>) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let shared = self.shared.clone();
        let done = tokio::task::spawn_blocking(move || work(&shared));
        done.await.map_err(StoreError::unavailable)?
    }

    async fn begin(&self) -> Result<Running, StoreError> {
        let running = self.off_the_loop(start_after_predecessor).await?;
        self.shared.end_trouble();
        Ok(running)
    }

    async fn serve(&self, running: Running, stop: &CancellationToken) -> Result<(), StoreError> {
        let closing = running.closing;
        let mut done = running.done;
        let mut damage = self.shared.damage.subscribe();
        let ended = loop {
            tokio::select! {
                ended = &mut done => break ended,
                () = stop.cancelled() => {
                    closing.close();
                    break done.await;
                }
                _ = damage.changed() => {
                    let Some(what) = damage.borrow_and_update().clone() else { continue };
                    if self.can_restore().await {
                        let damage = StoreError::DamagedPage { what };
                        self.borne(&damage);
                        return Err(damage);
                    }
                    tracing::error!("there is no export to restore from; the rest is served");
                }
            }
        };
        let ended = ended.unwrap_or_else(|_| Err(StoreError::unavailable("the committer vanished")));
        if ended.is_ok() && !stop.is_cancelled() {
            return Err(StoreError::unavailable("it was closed"));
        }
        ended
    }

    async fn can_restore(&self) -> bool {
        let found = self
            .off_the_loop(|shared| Ok(restore::newest(&shared.config).is_some()))
            .await;
        found.unwrap_or(false)
    }

    /// Takes an error as trouble, if it is: that is borne.
    fn borne(&self, error: &StoreError) -> Option<TroubleKind> {
        let trouble = Trouble::of(error)?;
        let kind = trouble.kind;
        if self.shared.trouble().is_none_or(|known| known.kind != kind) {
            self.shared.set_trouble(trouble);
        }
        Some(kind)
    }

    /// Waits until the disk takes writes; false if it shall stop.
    async fn until_room(&self, stop: &CancellationToken, pauses: &mut Pauses) -> bool {
        loop {
            let pause = pauses.next(Instant::now());
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(pause) => {}
            }
            match self
                .off_the_loop(|shared| probe::write(&shared.config.folder))
                .await
            {
                Ok(()) => return true,
                Err(error) => tracing::warn!(%error, "the disk does not take writes yet"),
            }
        }
    }
}

/// Closes the database when it is dropped, so also if the task is dropped in the middle.
struct Closing(mpsc::Sender<Job>);

impl Closing {
    fn close(&self) {
        // If it cannot be told, it has ended already.
        drop(self.0.send(Job::Close));
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.close();
    }
}

/// A child that was dropped in the middle may still be closing the folder.
fn start_after_predecessor(shared: &Arc<Shared>) -> Result<Running, StoreError> {
    if shared.trouble().is_some() {
        close(shared, "it is opened anew")?;
    }
    let deadline = Instant::now() + LETTING_GO;
    loop {
        match start(shared) {
            Err(StoreError::Locked { .. })
                if shared.at_work.load(Ordering::Acquire) && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            outcome => return outcome,
        }
    }
}

/// A store that is open until this is dropped: for tests, and for commands that work while the daemon is stopped.
pub struct OpenStore {
    store: Store,
    running: Option<Running>,
}

impl Store {
    /// Opens a store outside the tree, on the calling thread.
    pub fn open(config: StoreConfig) -> Result<OpenStore, StoreError> {
        let store = Self::new(config);
        let running = Some(start(&store.shared)?);
        Ok(OpenStore { store, running })
    }
}

impl OpenStore {
    /// A handle to it.
    pub fn store(&self) -> Store {
        self.store.clone()
    }
}

impl Deref for OpenStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Drop for OpenStore {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        drop(running.closing);
        if running.thread.join().is_err() {
            tracing::error!("the committer's thread panicked");
        }
        if let Err(error) = close(&self.store.shared, "it was closed") {
            tracing::error!(%error, "the database was not closed");
        }
        drop(running.done);
    }
}
