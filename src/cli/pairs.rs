//! `trunkline pairs`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{CliError, Client, Target, escape};
use super::show::{self, Column};

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("FROM", "/source/chat"),
    ("TO", "/destination/chat"),
    ("MODE", "/mode"),
    ("STATE", "/state"),
    ("REASON", "/reason"),
];

/// List and steer forwarding pairs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trunkline pairs
  trunkline pairs add --name news --session ses_01jc... --from -1001234567890 --to -1009876543210
  trunkline pairs pause pair_01jc...")]
pub struct Pairs {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All pairs
    List,
    /// One pair
    Show {
        /// Its id
        id: String,
    },
    /// Make one
    Add(Add),
    /// Let it wait; what arrives is kept
    Pause {
        /// Its id
        id: String,
    },
    /// Let it go on
    Resume {
        /// Its id
        id: String,
    },
    /// Restart its worker
    Restart {
        /// Its id
        id: String,
    },
    /// Delete it
    Delete {
        /// Its id
        id: String,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    /// What to call it
    #[arg(long)]
    name: String,
    /// The session that reads and writes
    #[arg(long)]
    session: String,
    /// Another session that writes
    #[arg(long)]
    to_session: Option<String>,
    /// The source chat, as the Bot API numbers it
    #[arg(long, allow_negative_numbers = true)]
    from: i64,
    /// The destination chat
    #[arg(long, allow_negative_numbers = true)]
    to: i64,
    /// copy hides the source, forward shows it
    #[arg(long, default_value = "copy", value_parser = ["copy", "forward"])]
    mode: String,
    /// Send without a notification
    #[arg(long)]
    silent: bool,
}

impl Add {
    fn body(&self) -> Value {
        json!({
            "name": self.name,
            "source": {"session": self.session, "chat": self.from},
            "destination": {"session": self.to_session.as_ref().unwrap_or(&self.session), "chat": self.to},
            "mode": self.mode,
            "silent": self.silent,
        })
    }
}

impl Pairs {
    pub(super) async fn run(self, client: Client, target: &Target) -> Result<(), CliError> {
        let path = |id: &str| format!("/api/pairs/{}", escape(id));
        let (path, said) = match self.what.unwrap_or(What::List) {
            What::List => return show::list(client.list("/api/pairs").await?, COLUMNS, target.json),
            What::Show { id } => return show::one(&client.get(&path(&id)).await?, target.json),
            What::Add(add) => {
                let pair = client.post("/api/pairs", &add.body()).await?;
                return show::one(&pair, target.json);
            }
            What::Delete { id } => {
                let answer = client.delete(&path(&id)).await?;
                return show::done(&format!("{id} is deleted"), &answer, target.json);
            }
            What::Pause { id } => (format!("{}/pause", path(&id)), format!("{id} is paused")),
            What::Resume { id } => (format!("{}/resume", path(&id)), format!("{id} goes on")),
            What::Restart { id } => (
                format!("/api/admin/pairs/{}/restart", escape(&id)),
                format!("{id} is restarted"),
            ),
        };
        let answer = client.post(&path, &json!({})).await?;
        show::done(&said, &answer, target.json)
    }
}
