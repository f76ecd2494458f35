//! The daemon that is measured: the real binary, asked over its API.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::Process;
use crate::scene::{BINARY, CODE, Failed, Scene, phone, until};

/// The admin key of every daemon here.
const KEY: &str = "tl_figures_0123456789abcdef0123456789abcdef";

/// Logins at the same time.
const LOGINS: usize = 8;

/// A running daemon.
pub struct Daemon {
    /// The process.
    pub process: Process,
    api: String,
    metrics: String,
    client: reqwest::Client,
}

/// What a daemon is started with again and again: its configuration and data.
pub struct Home {
    binary: PathBuf,
    config: PathBuf,
    data: PathBuf,
    api: u16,
    metrics: u16,
}

impl Home {
    /// A new one for this scene; `more` is added to the configuration.
    pub async fn new(scene: &Scene, name: &str, more: &str) -> Result<Self, Failed> {
        let (api, metrics) = (free_port()?, free_port()?);
        let folder = scene.folder().join(name);
        std::fs::create_dir_all(&folder)?;
        let config = folder.join("trunkline.toml");
        let text = format!(
            "{}\n[http]\nlisten = \"127.0.0.1:{api}\"\nmetrics_listen = \"127.0.0.1:{metrics}\"\n\
             [log]\nlevel = \"error\"\n{more}",
            scene.config().await?
        );
        std::fs::write(&config, text)?;
        Ok(Self {
            binary: PathBuf::from(BINARY),
            config,
            data: folder.join("data"),
            api,
            metrics,
        })
    }

    /// The same for another build of the daemon.
    pub fn of(self, binary: &Path) -> Self {
        Self {
            binary: binary.to_owned(),
            ..self
        }
    }
}

impl Daemon {
    /// Starts it and waits until it serves.
    pub async fn start(home: &Home) -> Result<Self, Failed> {
        let mut command = Command::new(&home.binary);
        command
            .args(["--data-dir".as_ref(), home.data.as_os_str()])
            .args(["run".as_ref(), "--config".as_ref(), home.config.as_os_str()])
            .env("API_SECRET_KEY", KEY);
        let daemon = Self {
            process: Process::start(&mut command)?,
            api: format!("http://127.0.0.1:{}", home.api),
            metrics: format!("http://127.0.0.1:{}/metrics", home.metrics),
            client: reqwest::Client::builder()
                .timeout(Duration::from_secs(120))
                .build()?,
        };
        until("the daemon serves", Duration::from_secs(60), async || {
            let asked = daemon.client.get(format!("{}/health/ready", daemon.api)).send();
            Ok(asked.await.is_ok_and(|answer| answer.status().is_success()))
        })
        .await?;
        Ok(daemon)
    }

    /// A call of the API.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failed> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.api))
            .header("X-API-Key", KEY);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            return Err(format!("the daemon refused {path}: {text}").into());
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// A POST.
    pub async fn post(&self, path: &str, body: Value) -> Result<Value, Failed> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Logs the accounts of these numbers in; answers the sessions' ids, in order.
    pub async fn log_in(&self, numbers: std::ops::Range<usize>) -> Result<Vec<String>, Failed> {
        let logins = stream::iter(numbers).map(|number| self.log_one_in(number));
        logins.buffered(LOGINS).try_collect().await
    }

    async fn log_one_in(&self, account: usize) -> Result<String, Failed> {
        let added = self
            .post("/api/sessions", json!({"name": format!("account-{account}")}))
            .await?;
        let id = added["id"].as_str().ok_or("no session id")?.to_owned();
        let path = format!("/api/sessions/{id}/login");
        self.post(&path, json!({"phone": phone(account)})).await?;
        self.post(&format!("{path}/code"), json!({"code": CODE})).await?;
        Ok(id)
    }

    /// Waits until so many sessions are connected.
    pub async fn connected(&self, count: usize, patience: Duration) -> Result<(), Failed> {
        until("the sessions are connected", patience, async || {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(self.count_connected().await? == count)
        })
        .await
    }

    async fn count_connected(&self) -> Result<usize, Failed> {
        let (mut count, mut cursor) = (0, String::new());
        loop {
            let path = format!("/api/sessions?limit=200{cursor}");
            let page = self.call(Method::GET, &path, None).await?;
            let items = page["items"].as_array().ok_or("no sessions")?;
            count += items.iter().filter(|item| item["state"] == "connected").count();
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(count),
            }
        }
    }

    /// A metric's values, added up.
    pub async fn metric(&self, name: &str) -> Result<f64, Failed> {
        let text = self.client.get(&self.metrics).send().await?.text().await?;
        let values = text.lines().filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        Ok(values
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum())
    }

    /// A pair from one chat into another.
    pub async fn pair(&self, session: &str, source: i64, destination: i64) -> Result<String, Failed> {
        let pair = json!({
            "name": format!("{source} to {destination}"),
            "source": {"session": session, "chat": source},
            "destination": {"session": session, "chat": destination},
        });
        let made = self.post("/api/pairs", pair).await?;
        Ok(made["id"].as_str().ok_or("no pair id")?.to_owned())
    }

    /// Asks it to stop.
    pub async fn stop(self) {
        self.process.stop(Duration::from_secs(30)).await;
    }
}

fn free_port() -> Result<u16, Failed> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
