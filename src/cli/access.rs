//! `trunkline key`.

use clap::Subcommand;
use serde_json::json;

use super::client::{CliError, Client, Target, escape};
use super::show::{self, Column};

/// Make, list and revoke API keys.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trunkline key
  trunkline key create --name crm --scope send
  trunkline key create --name panel --scope read --session ses_01jc...
  trunkline key rotate key_01jc... --overlap 3600
  trunkline key revoke key_01jc...

The text of a key is shown by create and rotate, and only there.")]
pub struct Key {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All keys
    List,
    /// Make one; its text is in the answer
    Create {
        /// What to call it
        #[arg(long)]
        name: String,
        /// What it may do; each scope includes those before it
        #[arg(long, value_parser = ["read", "send", "manage", "admin"])]
        scope: String,
        /// The only sessions it knows; may stand several times, all if left out
        #[arg(long = "session", value_name = "ID")]
        sessions: Vec<String>,
        /// When it ends (RFC 3339)
        #[arg(long)]
        expires_at: Option<String>,
    },
    /// A new text for a key
    Rotate {
        /// Its id
        id: String,
        /// For how many seconds the old text still works
        #[arg(long, default_value_t = 0)]
        overlap: u64,
    },
    /// End one
    Revoke {
        /// Its id
        id: String,
    },
}

impl Key {
    pub(super) async fn run(self, client: Client, target: &Target) -> Result<(), CliError> {
        match self.what.unwrap_or(What::List) {
            What::List => {
                let columns: &[Column] = &[
                    ("ID", "/id"),
                    ("NAME", "/name"),
                    ("SCOPES", "/scopes"),
                    ("SESSIONS", "/sessions"),
                    ("CREATED", "/created_at"),
                    ("EXPIRES", "/expires_at"),
                    ("LAST USED", "/last_used_at"),
                ];
                show::list(client.list("/api/keys").await?, columns, target.json)
            }
            What::Create {
                name,
                scope,
                sessions,
                expires_at,
            } => {
                let mut body = json!({"name": name, "scopes": [scope]});
                if !sessions.is_empty() {
                    body["sessions"] = json!(sessions);
                }
                if let Some(time) = expires_at {
                    body["expires_at"] = json!(time);
                }
                show::one(&client.post("/api/keys", &body).await?, target.json)
            }
            What::Rotate { id, overlap } => {
                let body = json!({"overlap_seconds": overlap});
                let answer = client
                    .post(&format!("/api/keys/{}/rotate", escape(&id)), &body)
                    .await?;
                show::one(&answer, target.json)
            }
            What::Revoke { id } => {
                let answer = client.delete(&format!("/api/keys/{}", escape(&id))).await?;
                show::done(&format!("{id} is revoked"), &answer, target.json)
            }
        }
    }
}
