//! Trouble on command for the daemon of a scene: a small library, built from `preload.c` and preloaded, that makes
//! writes and syncs of the data folder fail or take long, those of a folder of exports hang, and puts the wall clock off;
//! with a platter that has of the database what a disk would have. And a witness beside it, who changes something over the
//! API all the time and knows what was acknowledged.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::client::Api;
use crate::scene::Scene;

const SOURCE: &str = include_str!("preload.c");

/// "No space left on device", "Input/output error".
pub const ENOSPC: i32 = 28;
pub const EIO: i32 = 5;

/// The orders of the library, which stand in a file that both sides have mapped or open.
pub struct Trouble {
    orders: File,
}

impl Trouble {
    /// Builds the library; every daemon that is started from now on has it.
    pub fn preload(scene: &mut Scene) -> Self {
        let folder = scene.folder().to_owned();
        let (source, library) = (folder.join("preload.c"), folder.join("preload.so"));
        std::fs::write(&source, SOURCE).expect("written");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status()
            .expect("there is a C compiler");
        assert!(built.success(), "the library is built");
        let path = folder.join("orders");
        let orders = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .expect("a file");
        orders.set_len(32).expect("room for all orders");
        let text = |path: &Path| path.display().to_string();
        scene.environment = vec![
            ("LD_PRELOAD".to_owned(), text(&library)),
            ("TROUBLE_ORDERS".to_owned(), text(&path)),
            ("TROUBLE_FOLDER".to_owned(), text(&scene.data())),
            ("TROUBLE_EXPORTS".to_owned(), text(&exports(scene))),
        ];
        Self { orders }
    }

    /// The same, for the daemon that runs: it is started anew.
    pub async fn begin(scene: &mut Scene) -> Self {
        let trouble = Self::preload(scene);
        scene.kill();
        scene.start();
        scene.ready().await;
        scene.connected().await;
        trouble
    }

    fn order(&self, at: u64, bytes: &[u8]) {
        self.orders.write_all_at(bytes, at).expect("an order is written");
    }

    /// Every write into the data folder fails with this error; 0: none does.
    pub fn writes_fail(&self, error: i32) {
        self.order(0, &error.to_ne_bytes());
    }

    /// Every sync of the data folder fails with this error; 0: none does.
    pub fn syncs_fail(&self, error: i32) {
        self.order(4, &error.to_ne_bytes());
    }

    /// Every sync of a whole file of the data folder fails with this error, as where the disk's own memory is lost.
    pub fn flushes_fail(&self, error: i32) {
        self.order(28, &error.to_ne_bytes());
    }

    /// Every sync of the data folder takes so long.
    pub fn syncs_take(&self, span: Duration) {
        let millis = i32::try_from(span.as_millis()).expect("some seconds");
        self.order(8, &millis.to_ne_bytes());
    }

    /// The wall clock is so many milliseconds ahead.
    pub fn clock_off(&self, millis: i64) {
        self.order(16, &millis.to_ne_bytes());
    }

    /// Every write and sync in the folder of [`exports`] hangs.
    pub fn exports_hang(&self, hang: bool) {
        self.order(24, &i32::from(hang).to_ne_bytes());
    }

    /// How often it did what was ordered.
    pub fn acted(&self) -> i32 {
        let mut bytes = [0; 4];
        self.orders.read_exact_at(&mut bytes, 12).expect("it is read");
        i32::from_ne_bytes(bytes)
    }
}

/// A folder for exports beside the data, for a class that sets it.
pub fn exports(scene: &Scene) -> PathBuf {
    scene.folder().join("exports")
}

/// What a disk would have of the database of a daemon with the library; see the head of `preload.c`.
pub struct Platter {
    database: PathBuf,
    platter: PathBuf,
    dirty: PathBuf,
}

impl Platter {
    /// Takes what is there for what is on the disk. No daemon may run.
    pub fn lay(scene: &mut Scene) -> Self {
        assert!(scene.daemon.is_none(), "its database would be written meanwhile");
        let platter = Self {
            database: scene.data().join("sled/db"),
            platter: scene.folder().join("platter"),
            dirty: scene.folder().join("dirty"),
        };
        std::fs::copy(&platter.database, &platter.platter).expect("copied");
        platter.wash();
        let text = |path: &Path| path.display().to_string();
        scene.environment.extend([
            ("TROUBLE_PLATTER".to_owned(), text(&platter.platter)),
            ("TROUBLE_DIRTY".to_owned(), text(&platter.dirty)),
        ]);
        platter
    }

    fn wash(&self) {
        std::fs::write(&self.dirty, vec![0; 1 << 18]).expect("written");
    }

    /// Cuts the power: the database is what the platter has. No daemon may run.
    pub fn power_cut(&self) {
        std::fs::copy(&self.platter, &self.database).expect("copied");
        self.wash();
    }
}

/// Somebody who gives the session one name after the other, and knows the last that was acknowledged.
pub struct Witness {
    acknowledged: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    stop: CancellationToken,
    work: tokio::task::JoinHandle<()>,
}

impl Witness {
    pub fn start(scene: &Scene) -> Self {
        let (acknowledged, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let stop = CancellationToken::new();
        let path = format!("/api/sessions/{}", scene.session);
        let work = {
            let (api, stop) = (scene.api.clone(), stop.clone());
            let (acknowledged, refused) = (acknowledged.clone(), refused.clone());
            tokio::spawn(async move {
                for number in 1u64.. {
                    let name = json!({"name": number.to_string()});
                    match api.try_ask(Method::PATCH, &path, Some(name)).await {
                        Some((200, _)) => acknowledged.store(number, Ordering::Release),
                        Some(_) => drop(refused.fetch_add(1, Ordering::AcqRel)),
                        None => {}
                    }
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(Duration::from_millis(25)) => {}
                    }
                }
            })
        };
        Self {
            acknowledged,
            refused,
            stop,
            work,
        }
    }

    /// How many changes were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Acquire)
    }

    /// How far it is: the last acknowledged change.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Kills the daemon, starts it again, and wants to see what was acknowledged.
    pub async fn verify(self, scene: &mut Scene) {
        self.verify_after(scene, || {}).await;
    }

    /// The same, if something happens while no daemon runs.
    pub async fn verify_after(self, scene: &mut Scene, happens: impl FnOnce()) {
        self.stop.cancel();
        self.work.await.expect("a witness does not panic");
        let known = self.acknowledged.load(Ordering::Acquire);
        scene.kill();
        happens();
        scene.start();
        scene.ready().await;
        let path = format!("/api/sessions/{}", scene.session);
        let session = scene.api.ask(Method::GET, &path, None).await;
        let name = session["name"].as_str().unwrap_or_default();
        let stored: u64 = name.parse().unwrap_or(0);
        assert!(known > 0, "nothing was ever acknowledged");
        assert!(stored >= known, "{known} was acknowledged, {stored} is stored");
    }
}

/// The status that `/health` gives of the store: `ok`, `degraded` or `failing`. A store that cannot even read who asks
/// is failing too, and its answer says so.
pub async fn health(api: &Api) -> String {
    health_of(api, "store").await
}

/// The same of another part.
pub async fn health_of(api: &Api, part: &str) -> String {
    let answer = api.try_ask(Method::GET, "/health", None).await;
    let body = answer.map(|(_, body)| body).unwrap_or_default();
    if body["code"] == "STORE_UNAVAILABLE" {
        return "failing".to_owned();
    }
    body["checks"][part]["status"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// The incidents there ever were of a kind.
pub async fn incidents(api: &Api, kind: &str) -> Vec<Value> {
    let path = "/api/admin/incidents?state=all&limit=200";
    let answer = api.try_ask(Method::GET, path, None).await;
    let items = answer.and_then(|(_, page)| page["items"].as_array().cloned());
    let of_kind = items.into_iter().flatten().filter(|one| one["kind"] == kind);
    of_kind.collect()
}
