//! What surrounds the process: signals, sockets, descriptors, variables, folders. None of it may end the daemon in a way
//! that nobody expects, and none may keep it from ending.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const BINARY: &str = env!("CARGO_BIN_EXE_trunkline");

/// A folder with a configuration that needs no server, and the state below it.
struct Place(TempDir);

impl Place {
    fn new(more: &str) -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\nmetrics_listen = \"127.0.0.1:0\"\n[daemon]\ndrain = \"2s\"\n{more}\n"
        );
        std::fs::write(place.config(), text).expect("written");
        place
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("trunkline.toml")
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// The daemon, through a shell that prepares what surrounds it.
    fn through(&self, prepared: &str) -> Command {
        let mut command = Command::new("sh");
        let script = prepared.replace("RUN", "exec \"$0\" run --config \"$1\" --data-dir \"$2\"");
        command.args(["-c", &script, BINARY]);
        command.arg(self.config()).arg(self.data());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// It serves when its first key is there.
    fn serves(&self) {
        let key = self.data().join("admin.key");
        until("it serves", || key.exists());
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(daemon: &Child, name: &str) {
    let done = Command::new("kill")
        .args(["-s", name, &daemon.id().to_string()])
        .status();
    assert!(done.expect("kill is there").success());
}

/// How it ended; it is killed if it does not end.
fn ended(mut daemon: Child) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = daemon.try_wait().expect("known") {
            return status;
        }
        if began.elapsed() > PATIENCE {
            daemon.kill().expect("killed");
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn signals_end_it_in_order_or_mean_nothing() {
    for end in ["TERM", "INT", "HUP"] {
        let place = Place::new("");
        let daemon = place.through("RUN").spawn().expect("started");
        place.serves();
        for nothing in ["USR1", "USR2", "ALRM", "PIPE"] {
            signal(&daemon, nothing);
        }
        std::thread::sleep(Duration::from_millis(100));
        signal(&daemon, end);
        assert_eq!(ended(daemon).code(), Some(0), "{end}");
    }
}

#[test]
fn a_daemon_that_shall_outlive_its_terminal_does() {
    let place = Place::new("");
    let mut daemon = place.through("trap '' HUP; RUN").spawn().expect("started");
    place.serves();
    signal(&daemon, "HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(daemon.try_wait().expect("known"), None);
    signal(&daemon, "TERM");
    assert_eq!(ended(daemon).code(), Some(0));
}

/// A seal key that comes out of a pipe nobody writes to: the start goes on for as long as one likes.
#[test]
fn a_start_that_takes_long_shows_life_and_hears_signals() {
    let place = Place::new("[store]\nseal_key_file = \"KEY\"");
    let pipe = place.0.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .expect("mkfifo is there")
            .success()
    );
    let text = std::fs::read_to_string(place.config()).expect("read");
    std::fs::write(
        place.config(),
        text.replace("KEY", pipe.to_str().expect("a path")),
    )
    .expect("written");
    let name = format!("trunkline-life-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let systemd = UnixDatagram::bind_addr(&address).expect("bound");
    systemd.set_read_timeout(Some(PATIENCE)).expect("set");
    let hears = |wanted: &str| {
        let began = Instant::now();
        loop {
            let mut word = [0; 64];
            let length = systemd.recv(&mut word).expect("a word");
            let word = String::from_utf8_lossy(&word[..length]).into_owned();
            if word == wanted {
                return;
            }
            assert!(word != "READY=1" && began.elapsed() < PATIENCE, "{word}");
        }
    };
    let daemon = place
        .through("RUN")
        .env("NOTIFY_SOCKET", format!("@{name}"))
        .env("WATCHDOG_USEC", "400000")
        .spawn()
        .expect("started");
    hears("EXTEND_TIMEOUT_USEC=60000000");
    hears("WATCHDOG=1");
    signal(&daemon, "TERM");
    hears("STOPPING=1");
    let began = Instant::now();
    assert_eq!(ended(daemon).code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn closed_and_full_descriptors_are_borne() {
    for prepared in ["RUN <&- >&- 2>&-", "RUN >/dev/full 2>/dev/full", "RUN </dev/full"] {
        let place = Place::new("");
        let daemon = place.through(prepared).spawn().expect("started");
        place.serves();
        signal(&daemon, "TERM");
        assert_eq!(ended(daemon).code(), Some(0), "{prepared}");
    }
}

/// Somebody who shows the log and does not read on any more, such as a pager: the pipe is full.
#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let place = Place::new("");
    let pipe = place.0.path().join("pipe");
    let prepared = format!(
        "mkfifo {0} && exec 3<>{0} && head -c 65536 /dev/zero >&3 && RUN 2>&3",
        pipe.display()
    );
    let daemon = place.through(&prepared).spawn().expect("started");
    place.serves();
    signal(&daemon, "TERM");
    assert_eq!(ended(daemon).code(), Some(0));
}

#[test]
fn commands_whose_words_cannot_be_written_exit_as_they_should() {
    let place = Place::new("[nowhere]\na = 1");
    let run = |arguments: &[&str], outputs: &str| {
        let script = format!("exec \"$0\" \"$@\" {outputs}");
        let status = Command::new("sh")
            .args(["-c", &script, BINARY])
            .args(arguments)
            .status();
        status.expect("runs").code()
    };
    let config = place.config();
    let config = config.to_str().expect("a path");
    let data = place.0.path().to_str().expect("a path");
    for (arguments, wanted) in [
        (&["check-config", "--print-default"][..], 1),
        (&["sandbox", "--print-config", "--data-dir", data], 1),
        (&["openapi"], 1),
        (&["check-config", "--config", config], 78),
        (&["run", "--config", config], 78),
        (
            &[
                "sessions",
                "list",
                "--url",
                "http://127.0.0.1:1",
                "--data-dir",
                data,
            ],
            4,
        ),
    ] {
        for outputs in [">/dev/full", ">/dev/full 2>/dev/full", ">&- 2>&-"] {
            // A closed output is a black hole: what is written there is written.
            let closed = outputs.starts_with(">&-") && wanted == 1;
            let wanted = if closed { 0 } else { wanted };
            assert_eq!(run(arguments, outputs), Some(wanted), "{arguments:?} {outputs}");
        }
    }
}

#[test]
fn variables_of_any_bytes_and_keys_that_are_none_are_told_of() {
    let place = Place::new("");
    let run = |prepared: &str, command: &str| {
        let script = format!("{prepared} exec \"$0\" {command} --config \"$1\"");
        let output = Command::new("sh")
            .args(["-c", &script, BINARY])
            .arg(place.config())
            .output();
        output.expect("runs")
    };
    let bytes = "export {}=\"$(printf 'a\\243')\";";
    let others = run(&bytes.replace("{}", "BAD"), "check-config");
    assert_eq!(others.status.code(), Some(0), "{}", said(&others));
    let short = "export API_SECRET_KEY=short;".to_owned();
    let ours = ["API_SECRET_KEY", "TRUNKLINE__LOG__LEVEL"].map(|name| bytes.replace("{}", name));
    for prepared in ours.into_iter().chain([short]) {
        for command in ["check-config", "run"] {
            let refused = run(&prepared, command);
            assert_eq!(refused.status.code(), Some(78), "{prepared} {command}");
            let name = prepared.split(['=', ' ']).nth(1).expect("a name");
            assert!(said(&refused).contains(name), "{}", said(&refused));
        }
    }
}

/// Numbers that the check lets pass are numbers with which the daemon starts, however large.
#[tokio::test(flavor = "multi_thread")]
async fn no_number_that_passes_the_check_ends_the_start() {
    let (mut section, mut tried) = (String::new(), 0);
    for line in trunkline::config::DEFAULT.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
            section = name.to_owned();
        }
        let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let large = match value {
            number if number.parse::<u64>().is_ok() => ["9223372036854775807", "4294967295"],
            span if span.ends_with("s\"") || span.ends_with("h\"") => ["\"876000h\"", "\"1ms\""],
            _ => continue,
        };
        for value in large {
            let text = format!("[{section}]\n{key} = {value}\n");
            // What is set twice is not TOML: the listeners go into tables of their own.
            let Ok(mut config) = trunkline::config::Config::from_text(&text) else {
                continue;
            };
            tried += 1;
            let place = tempfile::tempdir().expect("a folder");
            config.store.folder = place.path().join("data");
            config.http.listen.set_port(0);
            config.http.metrics_listen = None;
            let started = tokio::spawn(trunkline::app::Daemon::start(config)).await;
            let daemon = started.unwrap_or_else(|error| panic!("{text}: {error}"));
            let daemon = daemon.unwrap_or_else(|error| panic!("{text}: {}", trunkline::base::chain(&error)));
            daemon.stop(Duration::from_secs(5)).await;
        }
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn a_data_folder_is_found_or_asked_for_and_is_for_its_owner_alone() {
    let place = Place::new("");
    let (first, second) = (place.0.path().join("one"), place.0.path().join("two"));
    std::fs::create_dir(&first).expect("made");
    std::fs::set_permissions(&first, std::fs::Permissions::from_mode(0o755)).expect("set");
    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o7777;
    let run = |state: Option<String>| {
        let mut command = Command::new(BINARY);
        command
            .args(["run", "--config"])
            .arg(place.config())
            .current_dir(place.0.path());
        command
            .env_clear()
            .envs(state.map(|state| ("STATE_DIRECTORY", state)));
        command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started")
    };
    let both = format!("{}:{}", first.display(), second.display());
    let daemon = run(Some(both));
    until("it serves", || first.join("admin.key").exists());
    assert!(!second.exists());
    assert_eq!(mode(&first), 0o700, "narrowed");
    signal(&daemon, "TERM");
    assert_eq!(ended(daemon).code(), Some(0));

    let homeless = run(None).wait_with_output().expect("ended");
    assert_eq!(homeless.status.code(), Some(78), "{}", said(&homeless));
    assert!(said(&homeless).contains("--data-dir"), "{}", said(&homeless));
    assert!(!place.0.path().join("trunkline").exists());
}
