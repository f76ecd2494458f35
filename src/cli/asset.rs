//! Sessions brought in and handed out, and the log of who did so: `trunkline sessions import|export`, `trunkline audit`.
//!
//! A session string is never an argument, which every user of the machine sees: it comes on standard input, and goes
//! to standard output or into a file for its owner only.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::client::{CliError, Client, Target, escape};
use super::show::{self, Column};

/// No session string is longer.
const LONGEST: u64 = 4096;

const FORMS: [&str; 3] = ["telethon", "pyrogram", "auth_key"];

/// Add one that another program logged in; its text comes on standard input
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// How the text is written; `auth_key` is dc:key, the key in hexadecimal digits or base64
    #[arg(long, value_parser = FORMS)]
    form: String,
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// The backend's agent it belongs to
    #[arg(long, value_name = "NUMBER")]
    agent: Option<i64>,
}

/// Its authorisation, for another program: whoever has it is the account
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// Its id
    id: String,
    /// How the text is written
    #[arg(long, value_parser = FORMS)]
    form: String,
    /// Write it into a new file that only its owner can read
    #[arg(long)]
    file: Option<PathBuf>,
}

/// Show who logged in, imported, exported or deleted what
#[derive(Debug, clap::Args)]
pub struct AuditLog {
    /// How many entries at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
}

impl Import {
    pub(super) async fn run(self, client: Client, target: &Target) -> Result<(), CliError> {
        let text = standard_input()?;
        let mut body = json!({"name": self.name, "agent_id": self.agent});
        body["import"] = json!({self.form: *text});
        let session = client.post("/api/sessions", &body).await?;
        show::one(&session, target.json)
    }
}

fn standard_input() -> Result<Zeroizing<String>, CliError> {
    let input = std::io::stdin();
    if input.is_terminal() {
        show::complain("the session's text, then Ctrl-D:");
    }
    let mut text = Zeroizing::new(String::new());
    let read = input.lock().take(LONGEST).read_to_string(&mut text);
    read.map_err(|cause| CliError::Io {
        what: "standard input".to_owned(),
        cause,
    })?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

impl Export {
    pub(super) async fn run(self, client: Client, target: &Target) -> Result<(), CliError> {
        // Made first: a text that could not be kept is not handed out.
        let file = self.file.as_ref().map(own_file).transpose()?;
        let path = format!("/api/sessions/{}/export", escape(&self.id));
        let answer = client.post(&path, &json!({"form": self.form})).await;
        let (Some(mut file), Some(path)) = (file, self.file) else {
            let answer = answer?;
            return match target.json {
                true => show::json(&answer),
                false => show::line(text_of(&answer)?),
            };
        };
        let told = |cause| CliError::Io {
            what: path.display().to_string(),
            cause,
        };
        let written = match &answer {
            Ok(answer) => writeln!(file, "{}", text_of(answer)?).and_then(|()| file.sync_all()),
            Err(_) => std::fs::remove_file(&path),
        };
        written.map_err(told)?;
        let said = format!("{} is written to {}", self.id, path.display());
        show::done(&said, &json!({"id": answer?["id"], "file": path}), target.json)
    }
}

fn text_of(answer: &Value) -> Result<&str, CliError> {
    let text = answer["session"].as_str();
    text.ok_or_else(|| CliError::Here("the daemon's answer has no session in it".to_owned()))
}

fn own_file(path: &PathBuf) -> Result<File, CliError> {
    let mut options = File::options();
    let options = options.write(true).create_new(true).mode(0o600);
    options.open(path).map_err(|cause| CliError::Io {
        what: path.display().to_string(),
        cause,
    })
}

impl AuditLog {
    pub(super) async fn run(self, client: Client, target: &Target) -> Result<(), CliError> {
        let mut page = client
            .get(&format!("/api/admin/audit?limit={}", self.limit))
            .await?;
        let Value::Array(mut items) = page["items"].take() else {
            return Err(CliError::Here("the daemon's answer is no list".to_owned()));
        };
        if !target.json {
            // A key is named by its id.
            for item in &mut items {
                if let Some(key) = item.pointer("/who/key").cloned() {
                    item["who"] = key;
                }
            }
        }
        let columns: &[Column] = &[
            ("WHEN", "/at"),
            ("WHO", "/who"),
            ("FROM", "/from"),
            ("WHAT", "/what"),
            ("SUBJECT", "/subject"),
            ("DETAILS", "/details"),
        ];
        show::list(items, columns, target.json)
    }
}
