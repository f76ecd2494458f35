//! The scene of every figure: a sandbox in a process of its own, whose world is made and watched over its
//! control port; and how long something may take.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::process::Process;

/// Whatever goes wrong ends the figure.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The binary that is measured.
pub const BINARY: &str = env!("CARGO_BIN_EXE_trunkline");

/// A sandbox process and its control port.
pub struct Scene {
    /// The sandbox.
    pub process: Process,
    /// The control port's URL.
    pub control: String,
    client: reqwest::Client,
    folder: tempfile::TempDir,
}

/// A message of a chat, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its text.
    pub text: String,
    /// When the sandbox stored it, in milliseconds.
    pub at: i64,
}

impl Scene {
    /// An empty world.
    pub async fn set() -> Result<Self, Failed> {
        Self::set_with(&[]).await
    }

    /// An empty world, with options of the sandbox.
    pub async fn set_with(options: &[&str]) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let seed = folder.path().join("seed.toml");
        std::fs::write(&seed, "")?;
        let mut command = Command::new(BINARY);
        command
            .args(["--data-dir".as_ref(), folder.path().as_os_str()])
            .args(["sandbox", "--port", "0", "--control-port", "0", "--seed"])
            .arg(&seed)
            .args(options)
            .stdout(Stdio::piped());
        let mut process = Process::start(&mut command)?;
        let output = process.child().stdout.take().ok_or("the sandbox has no output")?;
        let control = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Control").map(|rest| rest.trim().to_owned()));
        Ok(Self {
            process,
            control: control.ok_or("the sandbox did not start")?,
            client: reqwest::Client::builder()
                .timeout(Duration::from_secs(60))
                .build()?,
            folder,
        })
    }

    /// A folder that lives as long as the scene.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The section of a daemon's configuration.
    pub async fn config(&self) -> Result<String, Failed> {
        self.get("/config").await
    }

    /// A user; answers its number.
    pub async fn user(&self, phone: &str) -> Result<i64, Failed> {
        let made = self
            .post("/users", &json!({"phone": phone, "first_name": "Somebody"}))
            .await?;
        number(&made["id"])
    }

    /// A channel; answers its number.
    pub async fn channel(&self, title: &str, creator: i64, members: &[i64]) -> Result<i64, Failed> {
        let new = json!({"kind": "channel", "title": title, "creator": creator, "members": members});
        number(&self.post("/chats", &new).await?["id"])
    }

    /// Posts so many numbered texts at once; answers the number of the last.
    pub async fn burst(&self, chat: i64, from: i64, text: &str, count: usize) -> Result<i64, Failed> {
        let burst = json!({"from": from, "text": text, "count": count});
        number(&self.post(&format!("/chats/{chat}/burst"), &burst).await?["last"])
    }

    /// How often a method was called.
    pub async fn calls(&self, method: &str) -> Result<usize, Failed> {
        let answer: Value = serde_json::from_str(&self.get("/requests?limit=0").await?)?;
        let outcomes = answer["counts"][method].as_object();
        let count = outcomes.map_or(0, |outcomes| {
            outcomes.values().filter_map(Value::as_u64).sum::<u64>()
        });
        Ok(usize::try_from(count)?)
    }

    /// Every message of a chat, oldest first, without those that tell of the chat itself.
    pub async fn messages(&self, chat: i64) -> Result<Vec<Stored>, Failed> {
        let mut all = Vec::new();
        let mut since = 0;
        loop {
            let page = self
                .get(&format!("/chats/{chat}/messages?since={since}&limit=5000"))
                .await?;
            let page: Value = serde_json::from_str(&page)?;
            let items = page["items"].as_array().ok_or("no messages")?;
            let said = items.iter().filter(|item| item["service"].is_null());
            all.extend(said.map(|item| Stored {
                text: item["text"].as_str().unwrap_or_default().to_owned(),
                at: item["stored_at"].as_i64().unwrap_or_default(),
            }));
            match page["next"].as_i64() {
                Some(next) => since = next,
                None => return Ok(all),
            }
        }
    }

    async fn get(&self, path: &str) -> Result<String, Failed> {
        let asked = self.client.get(format!("{}{path}", self.control)).send().await?;
        Ok(asked.error_for_status()?.text().await?)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Failed> {
        self.ask(Method::POST, path, body).await
    }

    /// Has something done in the world.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failed> {
        let url = format!("{}{path}", self.control);
        let answer = self.client.request(method, url).json(body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            return Err(format!("the sandbox refused {path}: {text}").into());
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}

/// The phone number of the nth account; its login code is 11111.
pub fn phone(number: usize) -> String {
    format!("+999661{number:06}")
}

/// The login code of those numbers.
pub const CODE: &str = "11111";

/// Waits until something is so.
pub async fn until<F, Fut>(what: &str, patience: Duration, mut holds: F) -> Result<(), Failed>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<bool, Failed>>,
{
    let end = tokio::time::Instant::now() + patience;
    while !holds().await? {
        if tokio::time::Instant::now() > end {
            return Err(format!("not in time: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// A number of an answer.
pub fn number(value: &Value) -> Result<i64, Failed> {
    value.as_i64().ok_or_else(|| format!("no number: {value}").into())
}

/// The value below which so many hundredths of the values are.
pub fn quantile(values: &mut [i64], percent: usize) -> i64 {
    values.sort_unstable();
    let at = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(at).copied().unwrap_or(0)
}
