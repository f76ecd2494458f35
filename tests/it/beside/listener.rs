//! mtcute as one more login of the account; it says what it hears, a line each.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{CODE, PHONE, Place};
use crate::stage::Stage;

/// The other client.
pub struct Listener {
    process: Child,
    input: Option<ChildStdin>,
    heard: Arc<Mutex<Vec<Value>>>,
}

impl Listener {
    /// Starts it as one more login; `ready` says when it listens.
    pub fn start(stage: &Stage, modules: &Path) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let link = modules.join("mtcute_listener.mjs");
        match std::os::unix::fs::symlink(root.join("tests/interop/mtcute_listener.mjs"), &link) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => panic!("{error}"),
            _ => {}
        }
        let key = stage.files().0.with_file_name("public.pem");
        std::fs::write(&key, stage.public_key()).expect("written");
        let address = stage.address();
        let mut process = Command::new("node")
            .arg("--preserve-symlinks-main")
            .arg(&link)
            .args([address.ip().to_string(), address.port().to_string()])
            .arg(&key)
            .args([PHONE, CODE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (output, into) = (process.stdout.take().expect("piped"), heard.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("an object a line");
                into.lock().expect("sound").push(line);
            }
        });
        Self {
            input: process.stdin.take(),
            process,
            heard,
        }
    }

    /// All that it said.
    pub fn heard(&self) -> Vec<Value> {
        self.heard.lock().expect("sound").clone()
    }

    /// How often it told of each message as new.
    pub fn told_new(&self) -> HashMap<Place, u32> {
        let mut new = HashMap::new();
        for line in self.heard().iter().filter(|line| line["kind"] == "new") {
            if let Some(place) = place(line) {
                *new.entry(place).or_default() += 1;
            }
        }
        new
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.input.take());
        self.process.kill().ok();
        self.process.wait().expect("ended");
    }
}

/// Which message a line is about.
pub fn place(line: &Value) -> Option<Place> {
    let id = i32::try_from(line["id"].as_i64()?).ok()?;
    Some((line["chat"].as_i64()?, id))
}
