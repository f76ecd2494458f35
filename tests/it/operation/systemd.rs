//! What the real binary tells systemd over its socket: ready, alive again and again, stopping.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(30);

/// systemd's end of the socket.
struct Manager(UnixDatagram);

impl Manager {
    /// The next word; none if there is none in time.
    fn hears(&self, within: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(within)).expect("a time-out");
        let mut word = [0; 256];
        let length = self.0.recv(&mut word).ok()?;
        Some(String::from_utf8_lossy(&word[..length]).trim().to_owned())
    }

    /// Waits for a word and lets others pass.
    fn waits_for(&self, wanted: &str) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.hears(PATIENCE).is_some_and(|word| word == wanted) {
                return;
            }
        }
        panic!("{wanted} was not told");
    }
}

fn signal(daemon: &Child, name: &str) {
    let done = Command::new("kill")
        .args(["-s", name, &daemon.id().to_string()])
        .status();
    assert!(done.expect("kill is there").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_ready_life_and_the_end() {
    let stage = Stage::new().await;
    let (config, data) = stage.files();
    let path = data.with_file_name("notify");
    let manager = Manager(UnixDatagram::bind(&path).expect("bound"));
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .arg("run")
        .arg("--config")
        .arg(config)
        .arg("--data-dir")
        .arg(data)
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let told = tokio::task::spawn_blocking(move || {
        // A start that takes its time asks for more of it.
        manager.waits_for("READY=1");
        for _ in 0..10 {
            assert_eq!(manager.hears(PATIENCE).as_deref(), Some("WATCHDOG=1"));
        }
        // A process that stands still feeds no watchdog: what is in the socket is drained, then it is silent.
        signal(&daemon, "STOP");
        let began = Instant::now();
        while manager.hears(Duration::from_secs(1)).is_some() {
            assert!(began.elapsed() < PATIENCE, "a stopped process is fed for");
        }
        signal(&daemon, "CONT");
        manager.waits_for("WATCHDOG=1");
        signal(&daemon, "TERM");
        manager.waits_for("STOPPING=1");
        assert!(daemon.wait().expect("it ended").success());
        assert_eq!(
            manager.hears(Duration::from_millis(1)),
            None,
            "nothing after the end"
        );
    });
    told.await.expect("the story ends well");
}
