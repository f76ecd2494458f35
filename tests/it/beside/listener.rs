//! Clients of others as further logins of the account; each says what it hears, a line each.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{CODE, PHONE, Place};
use crate::interop::{node_modules, python_with};
use crate::stage::Stage;

/// A client that others wrote.
#[derive(Clone, Debug)]
pub enum Foreign {
    /// mtcute, in this folder of node's.
    Mtcute(PathBuf),
    /// Telethon, under this python.
    Telethon(PathBuf),
}

impl Foreign {
    /// mtcute, if it is there.
    pub fn mtcute() -> Option<Self> {
        node_modules("@mtcute/node").map(Self::Mtcute)
    }

    /// Telethon, if it is there.
    pub fn telethon() -> Option<Self> {
        python_with("telethon").map(Self::Telethon)
    }

    /// Its name, as the documentation has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mtcute(_) => "mtcute",
            Self::Telethon(_) => "Telethon",
        }
    }

    fn command(&self) -> Command {
        let stories = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
        match self {
            // Modules are looked for beside the script: it is linked to where they are.
            Self::Mtcute(modules) => {
                let link = modules.join("mtcute_listener.mjs");
                match std::os::unix::fs::symlink(stories.join("mtcute_listener.mjs"), &link) {
                    Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => panic!("{error}"),
                    _ => {}
                }
                let mut command = Command::new("node");
                command.arg("--preserve-symlinks-main").arg(link);
                command
            }
            Self::Telethon(python) => {
                let mut command = Command::new(python);
                command.arg(stories.join("telethon_listener.py"));
                command
            }
        }
    }
}

/// One of them at work.
pub struct Listener {
    /// Its name.
    pub name: &'static str,
    process: Child,
    input: Option<ChildStdin>,
    heard: Arc<Mutex<Vec<Value>>>,
}

impl Listener {
    /// Starts it as one more login.
    pub fn start(stage: &Stage, foreign: &Foreign) -> Self {
        let key = stage.files().0.with_file_name("public.pem");
        std::fs::write(&key, stage.public_key()).expect("written");
        let address = stage.address();
        let mut process = (foreign.command())
            .args([address.ip().to_string(), address.port().to_string()])
            .arg(&key)
            .args([PHONE, CODE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (output, into) = (process.stdout.take().expect("piped"), heard.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("an object a line");
                into.lock().expect("sound").push(line);
            }
        });
        Self {
            name: foreign.name(),
            input: process.stdin.take(),
            process,
            heard,
        }
    }

    /// Whether it listens.
    pub fn is_ready(&self) -> bool {
        self.heard().iter().any(|line| line["ready"] == true)
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
