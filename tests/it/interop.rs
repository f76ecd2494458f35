//! Clients that others wrote, against the sandbox: they tell whether it speaks as Telegram does.
//!
//! They need python3 with the packages of `tests/interop/requirements.txt`, in `tests/interop/.venv` or
//! wherever `TRUNKLINE_PYTHON` points. Without them the stories are passed over, unless
//! `TRUNKLINE_REQUIRE_INTEROP=1` says that they must be told.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use trunkline::sandbox::rpc::Hub;
use trunkline::sandbox::telegram::Telegram;
use trunkline::sandbox::wire::{RsaKey, Wire, WireConfig};
use trunkline::sandbox::world::State;

const ALICE: &str = "+999661000001";
const BOB: &str = "+999662000002";

/// A python that has the package, if there is one.
fn python_with(package: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/.venv/bin/python");
    let named = std::env::var_os("TRUNKLINE_PYTHON").map(PathBuf::from);
    let found = named.into_iter().chain([own, "python3".into()]).find(|python| {
        let import = std::process::Command::new(python)
            .args(["-c", &format!("import {package}")])
            .output();
        import.is_ok_and(|it| it.status.success())
    });
    let required = std::env::var_os("TRUNKLINE_REQUIRE_INTEROP").is_some_and(|it| it == "1");
    assert!(
        found.is_some() || !required,
        "no python3 with {package}: see tests/interop/README.md"
    );
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telethon_finds_a_telegram_here() {
    let Some(python) = python_with("telethon") else {
        eprintln!("passed over: no python3 with telethon");
        return;
    };
    let rsa = RsaKey::generate().expect("a key");
    let rsa_public_key = rsa.public_pem().expect("its public half");
    let hub = Hub::new();
    let telegram = Telegram::new(State::new(rand::random()), hub.clone(), None);
    telegram.world(|world| {
        for (phone, name) in [(ALICE, "Alice"), (BOB, "Bob")] {
            world.add_user(None, phone, name, "").expect("a free number");
        }
    });
    let wire = Wire::start(WireConfig::new(rsa), hub, Arc::new(telegram.clone()))
        .await
        .expect("a free port");
    telegram.listens_at(wire.address());
    let setting = serde_json::json!({
        "host": "127.0.0.1", "port": wire.address().port(), "dc": 2,
        "rsa_public_key": rsa_public_key, "alice": ALICE, "bob": BOB,
    });

    let status = tokio::task::spawn_blocking(move || tell(&python, &setting.to_string()));
    let status = status.await.expect("python3 runs");
    assert!(status.success(), "the story did not hold: {status}");
    wire.stop().await;
}

/// Runs the story with its setting; it has time limits of its own.
fn tell(python: &Path, setting: &str) -> ExitStatus {
    let story = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/telethon_story.py");
    let mut child = Command::new(python)
        .arg(story)
        .stdin(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(setting.as_bytes()).expect("python3 reads");
    drop(input);
    child.wait().expect("python3 ends")
}
