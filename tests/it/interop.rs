//! Clients that others wrote, against the sandbox: they tell whether it speaks as Telegram does.
//!
//! They need python3 with the packages of `tests/interop/requirements.txt`, and node with those of its
//! `package.json`: `tests/run` puts them into `target/interop`; `TRUNKLINE_INTEROP_PYTHON` names another python.
//! Without them the stories are passed over, unless `TRUNKLINE_REQUIRE_INTEROP=1` says that they must be told.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A sandbox of two data centres.
const TWO_CENTRES: [&str; 2] = ["--second-port", "0"];

/// Without the one way of Telegram that none of them bears in stories about channels ("Clients and switches" in
/// docs/sandbox.md).
const NOT_QUIET: [&str; 2] = ["--switch", "quiet_channels=off"];

/// Without that, and without the one that Telethon does not bear besides.
const FOR_TELETHON: [&str; 4] = ["--switch", "quiet_channels=off", "--switch", "albums_apart=off"];

/// Two data centres without that, and without the one that mtcute does not bear.
const FOR_MTCUTE: [&str; 6] = [
    "--second-port",
    "0",
    "--switch",
    "min_peers=off",
    "--switch",
    "quiet_channels=off",
];

/// The real binary's sandbox; killed when the story is over.
struct Sandbox {
    process: Child,
    control: String,
    // Held open: it has more to say, and ends if nobody could hear it.
    _output: BufReader<ChildStdout>,
    _data: tempfile::TempDir,
}

impl Sandbox {
    fn start(more: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let mut process = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(["sandbox", "--port", "0", "--control-port", "0"])
            .args(more)
            .arg("--data")
            .arg(data.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        let mut line = String::new();
        let control = loop {
            line.clear();
            output.read_line(&mut line).expect("text");
            assert!(
                !line.is_empty(),
                "it ended before it told where its control port is"
            );
            if let Some(control) = line.strip_prefix("Control") {
                break control.trim().to_owned();
            }
        };
        Self {
            process,
            control,
            _output: output,
            _data: data,
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.process.kill().expect("still running");
        self.process.wait().expect("ended");
    }
}

/// A python that has the package, if there is one.
pub fn python_with(package: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interop/venv/bin/python");
    let named = std::env::var_os("TRUNKLINE_INTEROP_PYTHON").map(PathBuf::from);
    let found = named.into_iter().chain([own, "python3".into()]).find(|python| {
        let import = Command::new(python)
            .args(["-c", &format!("import {package}")])
            .output();
        import.is_ok_and(|it| it.status.success())
    });
    found_or_passed_over(found, &format!("python3 with {package}"))
}

/// What is there; if it is missing and must be there, that is a failure.
pub fn found_or_passed_over<T>(found: Option<T>, what: &str) -> Option<T> {
    let required = std::env::var_os("TRUNKLINE_REQUIRE_INTEROP").is_some_and(|it| it == "1");
    assert!(
        found.is_some() || !required,
        "no {what}: see tests/interop/README.md"
    );
    if found.is_none() {
        eprintln!("passed over: no {what}");
    }
    found
}

/// Has the story told that stands in `tests/interop`, against a sandbox of its own.
fn tell(package: &str, story: &str, arguments: &[&str]) {
    tell_with(package, story, &NOT_QUIET, arguments);
}

/// The same against a sandbox that is started with more arguments.
fn tell_with(package: &str, story: &str, more: &[&str], arguments: &[&str]) {
    let Some(python) = python_with(package) else {
        return;
    };
    let sandbox = Sandbox::start(more);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    let status = Command::new(python)
        .arg(folder.join(story))
        .arg(&sandbox.control)
        .args(arguments)
        .status()
        .expect("python3 runs");
    assert!(status.success(), "the story did not hold: {status}");
}

/// Has Telethon's story told.
fn tell_telethon(arguments: &[&str]) {
    tell_with("telethon", "telethon_story.py", &FOR_TELETHON, arguments);
}

/// The folder with node's modules, if this package is among them and node runs.
pub fn node_modules(package: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interop/node");
    let there = folder.join("node_modules").join(package).is_dir();
    let runs = Command::new("node").arg("--version").output().is_ok();
    found_or_passed_over((there && runs).then_some(folder), &format!("node with {package}"))
}

/// Has mtcute's story told. Modules are looked for beside the story: it is linked to where they are.
fn tell_mtcute(arguments: &[&str]) {
    let Some(modules) = node_modules("@mtcute/node") else {
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let link = modules.join("mtcute_story.mjs");
    match std::os::unix::fs::symlink(root.join("tests/interop/mtcute_story.mjs"), &link) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => panic!("{error}"),
        _ => {}
    }
    let sandbox = Sandbox::start(&FOR_MTCUTE);
    let status = Command::new("node")
        .arg("--preserve-symlinks-main")
        .arg(&link)
        .arg(&sandbox.control)
        .args(arguments)
        .status()
        .expect("node runs");
    assert!(status.success(), "the story did not hold: {status}");
}

#[test]
fn telethon_gets_in_by_every_door() {
    tell_with("telethon", "telethon_doors.py", &TWO_CENTRES, &[]);
}

#[test]
fn kurigram_gets_in_by_every_door() {
    tell_with("pyrogram", "kurigram_doors.py", &TWO_CENTRES, &[]);
}

#[test]
fn telethon_finds_a_telegram_here() {
    tell_telethon(&["full", "abridged"]);
}

#[test]
fn telethon_finds_one_over_intermediate_and_obfuscated_abridged() {
    let transports = ["intermediate", "abridged-obfuscated", "briefly"];
    tell_telethon(&transports);
}

#[test]
fn telethon_finds_one_over_what_is_padded_and_obfuscated() {
    let transports = ["padded-obfuscated", "intermediate-obfuscated", "briefly"];
    tell_telethon(&transports);
}

#[test]
fn kurigram_finds_a_telegram_over_abridged_and_padded() {
    tell("pyrogram", "kurigram_story.py", &["abridged", "padded"]);
}

#[test]
fn mtcute_finds_a_telegram_that_speaks_an_older_layer() {
    tell_mtcute(&[]);
}

#[test]
fn mtcute_finds_one_under_temporary_keys() {
    tell_mtcute(&["temporary"]);
}
