//! `trunkline key`.

use std::collections::BTreeSet;

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{CliError, Client, Target, escape};
use super::show::{self, Column};
use super::store::Offline;
use super::{on_this_thread, over_api};
use crate::access::{Access, NewKey, Scope};
use crate::base::{Owner, chain};
use crate::ops::audit::Initiator;
use crate::store::Store;

/// Make, list and revoke API keys.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trunkline key
  trunkline key create --name crm --scope send
  trunkline key create --name panel --scope read --session ses_01jc...
  trunkline key rotate key_01jc... --overlap 3600
  trunkline key revoke key_01jc...
  trunkline key first               with the daemon stopped, when no key is known

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
    Create(Create),
    /// A new text for a key
    Rotate {
        /// Its id
        id: String,
        /// For how many seconds the old text still works
        #[arg(long, default_value_t = 0)]
        overlap: u64,
    },
    /// Make an admin key in the data folder itself; the daemon must be stopped
    First(Offline),
    /// End one
    Revoke {
        /// Its id
        id: String,
    },
}

/// Make one; its text is in the answer
#[derive(Debug, clap::Args)]
struct Create {
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
}

impl Create {
    fn body(&self) -> Value {
        let mut body = json!({"name": self.name, "scopes": [self.scope]});
        if !self.sessions.is_empty() {
            body["sessions"] = json!(self.sessions);
        }
        if let Some(time) = &self.expires_at {
            body["expires_at"] = json!(time);
        }
        body
    }
}

impl Key {
    pub(super) fn run(self, target: &Target) -> Result<(), CliError> {
        match self.what.unwrap_or(What::List) {
            What::First(offline) => first(&offline, target),
            What::List => over_api(target, |client| list(client, target)),
            What::Create(create) => {
                let body = create.body();
                over_api(target, |client| {
                    shown(client, "/api/keys".to_owned(), body, target)
                })
            }
            What::Rotate { id, overlap } => {
                let path = format!("/api/keys/{}/rotate", escape(&id));
                let body = json!({"overlap_seconds": overlap});
                over_api(target, |client| shown(client, path, body, target))
            }
            What::Revoke { id } => over_api(target, |client| revoke(client, id, target)),
        }
    }
}

/// An admin key for whoever owns the data folder: the way in when no key is known.
fn first(offline: &Offline, target: &Target) -> Result<(), CliError> {
    let here = |error: &dyn std::error::Error| CliError::Here(chain(error));
    let open = Store::open(offline.config(target)?).map_err(|error| here(&error))?;
    let new = NewKey {
        name: "command line".to_owned(),
        scopes: BTreeSet::from([Scope::Admin]),
        sessions: None,
        expires_at: None,
        owner: Owner::admin(),
    };
    let made = on_this_thread(Access::new(open.store()).create(new, Initiator::daemon()))?;
    let (key, text) = made.map_err(|error| here(&error))?;
    show::one(&json!({"id": key.id, "key": text.expose()}), target.json)
}

async fn list(client: Client, target: &Target) -> Result<(), CliError> {
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

async fn shown(client: Client, path: String, body: Value, target: &Target) -> Result<(), CliError> {
    show::one(&client.post(&path, &body).await?, target.json)
}

async fn revoke(client: Client, id: String, target: &Target) -> Result<(), CliError> {
    let answer = client.delete(&format!("/api/keys/{}", escape(&id))).await?;
    show::done(&format!("{id} is revoked"), &answer, target.json)
}
