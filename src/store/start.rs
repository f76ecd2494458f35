//! The store's life: opened, working, closed; and opened anew by its supervisor if the committer ends.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::apply::Meta;
use super::committer::{Committer, Job};
use super::error::StoreError;
use super::open::{self, meta_key, sled_fault};
use super::read::{Live, guarded};
use super::row::{self, Fault, Packed};
use super::seal::{Seal, Sources};
use super::{Shared, Store, StoreConfig, catalog, export, quarantine};

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
    let (live, meta) = opened(&shared.config, jobs.clone())?;
    let oldest = Committer::first_event(&live, meta.seq)?;
    *shared.gauges() = quarantine::counted_lanes(&live)?;
    shared
        .number
        .store(meta.number, std::sync::atomic::Ordering::Release);
    shared.head.send_replace(meta.seq);
    let mut committer = Committer::new(shared.clone(), live.clone(), inbox, meta, oldest)?;
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
                let why = match &outcome {
                    Ok(()) => "it was closed".to_owned(),
                    Err(error) => error.to_string(),
                };
                shared.set_live(Err(why));
                let closed = let_go(committer);
                shared.at_work.store(false, Ordering::Release);
                // Nobody listens if the process is on its way out.
                drop(finish.send(outcome.and(closed)));
            }
        });
    match thread {
        Ok(thread) => Ok(Running {
            closing: Closing(jobs),
            done,
            thread,
        }),
        Err(error) => {
            shared.set_live(Err(error.to_string()));
            shared.at_work.store(false, Ordering::Release);
            Err(StoreError::unavailable(error))
        }
    }
}

/// Drops the database. Sled may hang there after a fault of its own, so this does not wait for ever.
fn let_go(committer: Committer) -> Result<(), StoreError> {
    let live = committer.into_live();
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

fn opened(config: &StoreConfig, jobs: mpsc::Sender<Job>) -> Result<(Arc<Live>, Meta), StoreError> {
    let folder = &config.folder;
    let lock = open::take_folder(folder)?;
    open::refuse_half_import(folder)?;
    export::clean(folder).map_err(StoreError::file("clean", folder))?;
    let tree = open::open_sled(config)?;
    let damaged = |error| match error {
        StoreError::DamagedPage { what } => StoreError::Damaged {
            folder: config.folder.clone(),
            what,
        },
        error => error,
    };
    let (meta, counted) = guarded(|| Ok((stored_meta(&tree)?, count(&tree)?))).map_err(damaged)?;
    open::refuse_loss(&config.folder, &meta, counted)?;
    let meta = Meta {
        rows: counted,
        ..meta
    };
    let quarantine = quarantine::keys(&tree)?;
    let seal = seal_of(config, &tree)?;
    let secret = installation_secret(&tree, &seal)?;
    let live = Live {
        tree,
        jobs,
        seal,
        secret: secret.0,
        quarantine,
        _lock: lock,
    };
    let rows = meta.rows + u64::from(secret.1);
    Ok((Arc::new(live), Meta { rows, ..meta }))
}

/// The seal. A key is made only where nothing was sealed yet: another one would not open what was.
fn seal_of(config: &StoreConfig, tree: &sled::Tree) -> Result<Seal, StoreError> {
    let fresh = !tree.contains_key(secret_key()).map_err(sled_fault)?;
    let key = Sources::of_process(config.seal_key_file.clone()).key(&config.folder, fresh)?;
    key.map(Seal::new).ok_or_else(|| StoreError::SealKey {
        what: "the data in this folder is sealed, and its key was not given: it belongs into the systemd credential \
               trunkline-seal, the file that store.seal_key_file names, TRUNKLINE_SEAL_KEY, or the file seal.key in the \
               data folder"
            .to_owned(),
    })
}

fn secret_key() -> Vec<u8> {
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
        Ok(Some(plain)) => {
            rmp_serde::from_slice(&plain).map_err(|_| damaged("the first row does not fit its type"))
        }
        Err(Fault::Version(version)) => Err(StoreError::UnknownVersion {
            table: catalog::META.name,
            version,
        }),
        _ => Err(damaged("its first row fails its checksum")),
    }
}

/// How many rows there are: by reading them all, which finds unreadable pages before anybody needs them.
fn count(tree: &sled::Tree) -> Result<u64, StoreError> {
    let mut rows = 0;
    for row in tree.iter() {
        row.map_err(sled_fault)?;
        rows += 1;
    }
    Ok(rows)
}

/// The installation's secret, and whether it was made just now.
fn installation_secret(tree: &sled::Tree, seal: &Seal) -> Result<([u8; 32], bool), StoreError> {
    let entry = catalog::INSTALLATION;
    let key = secret_key();
    if let Some(bytes) = tree.get(&key).map_err(sled_fault)? {
        let plain = row::open(&entry, &key, &bytes, Some(seal), |_| None);
        return match plain.map(|plain| plain.and_then(|plain| plain.try_into().ok())) {
            Ok(Some(secret)) => Ok((secret, false)),
            Err(Fault::Seal) => Err(StoreError::SealKey {
                what: "the seal key is not the one that the data in this folder was sealed with; give the former one"
                    .to_owned(),
            }),
            _ => Err(StoreError::BadRow { table: entry.name }),
        };
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(StoreError::unavailable)?;
    let mut batch = sled::Batch::default();
    Packed::new(secret.to_vec())
        .sealed(seal, entry.name, &key)
        .rows(key, |key, row| batch.insert(key, row));
    tree.apply_batch(batch).map_err(sled_fault)?;
    // Synced with the first commit: what is derived from it is never older than that.
    tree.flush().map_err(sled_fault)?;
    Ok((secret, true))
}

/// How long opening may take: a large database is read once as a whole.
pub const OPENING: Duration = Duration::from_secs(300);
/// How long closing may take.
pub const CLOSING: Duration = Duration::from_secs(30);

impl Store {
    /// Opens the database, calls `opened`, and commits until `stop`: what the store's supervised task does. If it ends
    /// by a fault, its supervisor calls it again, which opens the database anew; meanwhile everybody hears
    /// [`StoreError::Unavailable`]. (The store stands below the floor of supervision, so `app` makes the child.)
    pub async fn run(&self, stop: CancellationToken, opened: impl FnOnce()) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        let running = tokio::task::spawn_blocking(move || start_after_predecessor(&shared))
            .await
            .map_err(StoreError::unavailable)??;
        let closing = running.closing;
        opened();
        let mut done = running.done;
        let ended = tokio::select! {
            ended = &mut done => ended,
            () = stop.cancelled() => {
                closing.close();
                done.await
            }
        };
        let ended = ended.unwrap_or_else(|_| Err(StoreError::unavailable("the committer vanished")));
        if ended.is_ok() && !stop.is_cancelled() {
            return Err(StoreError::unavailable("it was closed"));
        }
        ended
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
        drop(running.done);
    }
}
