//! `trunkline sessions`.

use clap::Subcommand;
use serde_json::json;

use super::asset;
use super::client::{CliError, Client, Target, escape};
use super::show::{self, Column};

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("USERNAME", "/username"),
    ("STATE", "/state"),
    ("WANTED", "/wanted"),
    ("SINCE", "/since"),
    ("RESTARTS", "/restarts"),
];

/// List and steer sessions.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trunkline sessions                       all sessions
  trunkline sessions show ses_01jc...      one of them
  trunkline sessions release ses_01jc...   out of quarantine
  trunkline sessions import --form telethon < session.txt
  trunkline sessions export ses_01jc... --form telethon --file session.txt
  trunkline sessions --json | jq -r '.[] | select(.connected | not) | .id'")]
pub struct Sessions {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All sessions
    List,
    /// One session
    Show {
        /// Its id
        id: String,
    },
    /// Let it run
    Start {
        /// Its id
        id: String,
    },
    /// Let it rest; it stays logged in
    Stop {
        /// Its id
        id: String,
    },
    /// Stop and start it
    Restart {
        /// Its id
        id: String,
    },
    /// Log it out at Telegram and keep the entry
    Logout {
        /// Its id
        id: String,
    },
    /// Log it out at Telegram and delete it
    Delete {
        /// Its id
        id: String,
    },
    /// Let it out of quarantine
    Release {
        /// Its id
        id: String,
    },
    /// The chats it knows
    Chats {
        /// Its id
        id: String,
        /// Only those whose title or username contains this
        #[arg(long)]
        query: Option<String>,
    },
    /// What is left of its budgets, and what holds it back
    Limits {
        /// Its id
        id: String,
    },
    /// Add one that another program logged in; its text comes on standard input
    Import(asset::Import),
    /// Its authorisation, for another program: whoever has it is the account
    Export(asset::Export),
    /// Send a text
    Send {
        /// Its id
        id: String,
        /// The chat, as the Bot API numbers it
        #[arg(long, allow_negative_numbers = true)]
        chat: i64,
        /// The text
        text: String,
    },
}

impl Sessions {
    pub(super) async fn run(self, client: Client, target: &Target) -> Result<(), CliError> {
        let path = |id: &str| format!("/api/sessions/{}", escape(id));
        let (id, verb, said) = match self.what.unwrap_or(What::List) {
            What::List => return show::list(client.list("/api/sessions").await?, COLUMNS, target.json),
            What::Show { id } => return show::one(&client.get(&path(&id)).await?, target.json),
            What::Chats { id, query } => {
                let query = query
                    .map(|text| format!("?query={}", escape(&text)))
                    .unwrap_or_default();
                let chats = client.list(&format!("{}/chats{query}", path(&id))).await?;
                let columns: &[Column] = &[
                    ("ID", "/id"),
                    ("KIND", "/kind"),
                    ("TITLE", "/title"),
                    ("USERNAME", "/username"),
                ];
                return show::list(chats, columns, target.json);
            }
            What::Limits { id } => {
                let limits = client.get(&format!("{}/limits", path(&id))).await?;
                return show::one(&limits, target.json);
            }
            What::Import(import) => return import.run(client, target).await,
            What::Export(export) => return export.run(client, target).await,
            What::Send { id, chat, text } => {
                let body = json!({"chat": chat, "text": text});
                let answer = client.post(&format!("{}/messages", path(&id)), &body).await?;
                return show::one(&answer, target.json);
            }
            What::Delete { id } => {
                let answer = client.delete(&path(&id)).await?;
                return show::done(&format!("{id} is logged out and deleted"), &answer, target.json);
            }
            What::Release { id } => {
                let answer = client
                    .post(
                        &format!("/api/admin/sessions/{}/release", escape(&id)),
                        &json!({}),
                    )
                    .await?;
                return show::done(&format!("{id} is released"), &answer, target.json);
            }
            What::Start { id } => (id, "start", "shall run"),
            What::Stop { id } => (id, "stop", "shall rest"),
            What::Restart { id } => (id, "restart", "is restarted"),
            What::Logout { id } => (id, "logout", "is logged out"),
        };
        let answer = client.post(&format!("{}/{verb}", path(&id)), &json!({})).await?;
        show::done(&format!("{id} {said}"), &answer, target.json)
    }
}
