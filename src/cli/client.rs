//! The command line's side of the API: where the daemon is, with which key, and what went wrong.
//!
//! The key comes from the environment or from the 0600 file in the data folder, never from an
//! argument: arguments are seen by every user of the machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response, Upgraded};
use serde_json::Value;

use super::data;
use crate::access::FIRST_KEY_FILE;
use crate::base::Secret;

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(10);

/// Where the daemon is and how its answers are shown.
#[derive(Clone, Debug, clap::Args)]
pub struct Target {
    /// Address of the daemon's API
    #[arg(
        long,
        env = "TRUNKLINE_URL",
        default_value = "http://127.0.0.1:8000",
        value_parser = address,
        global = true
    )]
    pub url: String,
    /// The data folder: where the daemon keeps its state, and a command finds the first key
    #[arg(long, value_name = "FOLDER", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Print JSON, for scripts
    #[arg(long, global = true)]
    pub json: bool,
    /// Seconds without a word from the daemon after which a command gives up
    #[arg(
        long,
        value_name = "SECONDS",
        env = "TRUNKLINE_TIMEOUT",
        default_value_t = 150,
        value_parser = clap::value_parser!(u64).range(1..=86_400),
        global = true
    )]
    pub timeout: u64,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// There is no key to use.
    #[error("no API key: set TRUNKLINE_API_KEY, or make {} readable; if no key is known any more, stop the daemon and make one \
         with `trunkline key first`", .0.display())]
    NoKey(PathBuf),
    /// Nobody listens there.
    #[error("no daemon answers at {url}: is `trunkline run` up? ({cause})")]
    Unreachable {
        /// Where it was sought.
        url: String,
        /// What the network said.
        cause: String,
    },
    /// The daemon refused.
    #[error("{text} [{code}, request {request}]")]
    Refused {
        /// The status of the answer.
        status: u16,
        /// The stable code.
        code: String,
        /// The text.
        text: String,
        /// The request's name in the daemon's log.
        request: String,
    },
    /// Something on this side.
    #[error("{0}")]
    Here(String),
    /// A file or the terminal.
    #[error("{what}: {cause}")]
    Io {
        /// What was done with what.
        what: String,
        /// What the system said.
        cause: std::io::Error,
    },
}

impl CliError {
    /// What the process exits with: 3 no daemon, 4 the key was refused, 1 anything else.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Unreachable { .. } => 3,
            Self::NoKey(_) => 4,
            Self::Refused {
                status: 401 | 403, ..
            } => 4,
            _ => 1,
        })
    }

    /// The stable code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

/// A connection to the daemon's API.
pub struct Client {
    /// How long the daemon may be silent.
    pub(super) silence: Duration,
    http: reqwest::Client,
    url: String,
    key: Secret,
}

impl Client {
    /// A client for a target; nothing is sent yet.
    pub fn new(target: &Target) -> Result<Self, CliError> {
        let silence = Duration::from_secs(target.timeout);
        let http = reqwest::Client::builder()
            .user_agent(concat!("trunkline/", env!("CARGO_PKG_VERSION")))
            // The key is for the daemon alone: a proxy of the environment would read it, and whoever answers in the
            // daemon's place could send it on.
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT.min(silence))
            .read_timeout(silence)
            .build()
            .map_err(|error| CliError::Here(format!("no HTTP client: {error}")))?;
        Ok(Self {
            silence,
            http,
            url: target.url.trim_end_matches('/').to_owned(),
            key: find_key(target)?,
        })
    }

    /// Where the daemon is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks for something.
    pub async fn get(&self, path: &str) -> Result<Value, CliError> {
        read(self.send(Method::GET, path, None).await?).await
    }

    /// Asks for something to be done.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        read(self.send(Method::POST, path, Some(body)).await?).await
    }

    /// Asks for something to be deleted.
    pub async fn delete(&self, path: &str) -> Result<Value, CliError> {
        read(self.send(Method::DELETE, path, None).await?).await
    }

    /// All items of a list, page by page; `path` may carry a query.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>, CliError> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut page = self.get(&format!("{path}{joint}limit=200{cursor}")).await?;
            if let Some(Value::Array(part)) = page.get_mut("items").map(Value::take) {
                items.extend(part);
            }
            match page.get("next").and_then(Value::as_str) {
                Some(next) => cursor = format!("&cursor={}", escape(next)),
                None => return Ok(items),
            }
        }
    }

    /// Asks for a WebSocket, and hands back the connection that it is spoken over.
    pub async fn upgrade(&self, path: &str) -> Result<Upgraded, CliError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| CliError::Here(format!("no randomness: {error}")))?;
        let request = self
            .request(Method::GET, path)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", STANDARD.encode(nonce));
        let response = self.carry_out(request).await?;
        let upgraded = response.upgrade().await;
        upgraded.map_err(|error| CliError::Here(format!("no WebSocket: {}", innermost(&error))))
    }

    /// Sends a request and hands back the answer if it is a success.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response, CliError> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.carry_out(request).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.url))
            .header("x-api-key", self.key.expose())
    }

    async fn carry_out(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = request.send().await.map_err(|error| CliError::Unreachable {
            url: self.url.clone(),
            cause: innermost(&error),
        })?;
        let status = response.status().as_u16();
        if response.status().is_success() || status == 101 {
            return Ok(response);
        }
        let body: Value = response.json().await.unwrap_or_default();
        let field = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        Err(CliError::Refused {
            status,
            code: field("code").unwrap_or_else(|| format!("HTTP {status}")),
            text: field("message").unwrap_or_else(|| "the answer is not from a trunkline daemon".to_owned()),
            request: field("request_id").unwrap_or_else(|| "unnamed".to_owned()),
        })
    }
}

/// An address as the daemon has one.
fn address(text: &str) -> Result<String, String> {
    let fits =
        url::Url::parse(text).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    match fits {
        true => Ok(text.to_owned()),
        false => Err("an address is like http://127.0.0.1:8000".to_owned()),
    }
}

async fn read(response: Response) -> Result<Value, CliError> {
    response.json().await.map_err(|error| {
        CliError::Here(format!(
            "the daemon's answer can't be read: {}",
            innermost(&error)
        ))
    })
}

/// Percent-encodes what stands in a path or query.
pub fn escape(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

fn find_key(target: &Target) -> Result<Secret, CliError> {
    if let Some(key) = std::env::var_os("TRUNKLINE_API_KEY").filter(|key| !key.is_empty()) {
        let key = key.into_string().ok();
        let key = key.filter(|key| key.bytes().all(|byte| byte.is_ascii_graphic()));
        let none = || CliError::Here("TRUNKLINE_API_KEY is no key".to_owned());
        return key.map(Secret::new).ok_or_else(none);
    }
    let folder = data::folder(target.data_dir.as_deref());
    let path = folder.unwrap_or_default().join(FIRST_KEY_FILE);
    let text = std::fs::read_to_string(&path).map_err(|_| CliError::NoKey(path))?;
    Ok(Secret::new(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_how_and_where() {
        for right in [
            "http://127.0.0.1:8000",
            "https://trunkline.example/",
            "http://[::1]:8000",
        ] {
            assert_eq!(address(right).as_deref(), Ok(right));
        }
        for wrong in ["", "127.0.0.1:8000", "localhost:8000", "ftp://x", "http://"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_part_is_escaped_whole() {
        assert_eq!(escape("a b/c?d+e"), "a%20b%2Fc%3Fd%2Be");
    }
}
