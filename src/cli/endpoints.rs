//! `trunkline endpoints`.

use clap::Subcommand;
use serde_json::json;

use super::client::{CliError, Client, Target, escape};
use super::show::{self, Column};

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("URL", "/url"),
    ("SHAPE", "/shape"),
    ("EVENTS", "/events"),
    ("STATE", "/state"),
    ("PENDING", "/pending"),
    ("LAST ERROR", "/last_error"),
];

/// List and steer webhook endpoints.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trunkline endpoints
  trunkline endpoints add https://example.org/hook --event message.new --event session.expired
  trunkline endpoints send-example ep_01jc...
  trunkline endpoints recover ep_01jc... --since 2026-01-31T00:00:00Z

The signing secret is shown by add and rotate-secret; show tells it too for an endpoint
that the configuration set up.")]
pub struct Endpoints {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All endpoints
    List,
    /// One endpoint
    Show {
        /// Its id
        id: String,
    },
    /// Make one; its secret is in the answer
    Add {
        /// Where to deliver
        #[arg(value_name = "URL")]
        receiver: String,
        /// Which events; may stand several times, all if left out
        #[arg(long = "event", value_name = "TYPE")]
        events: Vec<String>,
        /// Of which sessions; may stand several times, all if left out
        #[arg(long = "session", value_name = "ID")]
        sessions: Vec<String>,
    },
    /// Delete it
    Delete {
        /// Its id
        id: String,
    },
    /// A new secret; the old one signs too for a while
    RotateSecret {
        /// Its id
        id: String,
    },
    /// Deliver an example
    SendExample {
        /// Its id
        id: String,
    },
    /// Deliver again what failed
    Recover {
        /// Its id
        id: String,
        /// From this time on (RFC 3339)
        #[arg(long)]
        since: String,
    },
    /// Deliver again after it was disabled
    Enable {
        /// Its id
        id: String,
    },
    /// Deliver nothing for now
    Disable {
        /// Its id
        id: String,
    },
    /// Its latest deliveries
    Deliveries {
        /// Its id
        id: String,
    },
    /// Its numbers
    Stats {
        /// Its id
        id: String,
    },
}

impl Endpoints {
    pub(super) async fn run(self, client: Client, target: &Target) -> Result<(), CliError> {
        const BASE: &str = "/api/webhooks/endpoints";
        let path = |id: &str| format!("{BASE}/{}", escape(id));
        let (id, verb, body, said) = match self.what.unwrap_or(What::List) {
            What::List => return show::list(client.list(BASE).await?, COLUMNS, target.json),
            What::Show { id } => {
                let mut endpoint = client.get(&path(&id)).await?;
                // The secret of an endpoint from the configuration was never in an answer of create.
                if endpoint["configured"].is_string() {
                    let secret = client.get(&format!("{}/secret", path(&id))).await?;
                    endpoint["secret"] = secret["secret"].clone();
                }
                return show::one(&endpoint, target.json);
            }
            What::Add {
                receiver,
                events,
                sessions,
            } => {
                let mut body = json!({"url": receiver});
                if !events.is_empty() {
                    body["events"] = json!(events);
                }
                if !sessions.is_empty() {
                    body["sessions"] = json!(sessions);
                }
                return show::one(&client.post(BASE, &body).await?, target.json);
            }
            What::Delete { id } => {
                let answer = client.delete(&path(&id)).await?;
                return show::done(&format!("{id} is deleted"), &answer, target.json);
            }
            What::RotateSecret { id } => {
                let answer = client
                    .post(&format!("{}/rotate-secret", path(&id)), &json!({}))
                    .await?;
                return show::one(&answer, target.json);
            }
            What::Deliveries { id } => {
                let items = client.list(&format!("{}/deliveries", path(&id))).await?;
                let columns: &[Column] = &[
                    ("ID", "/id"),
                    ("TYPE", "/type"),
                    ("STATE", "/state"),
                    ("ATTEMPTS", "/attempts"),
                ];
                return show::list(items, columns, target.json);
            }
            What::Stats { id } => {
                return show::one(&client.get(&format!("{}/stats", path(&id))).await?, target.json);
            }
            What::SendExample { id } => (id, "send-example", json!({}), "gets an example"),
            What::Recover { id, since } => (id, "recover", json!({"since": since}), "gets again what failed"),
            What::Enable { id } => (id, "enable", json!({}), "is enabled"),
            What::Disable { id } => (id, "disable", json!({}), "is disabled"),
        };
        let answer = client.post(&format!("{}/{verb}", path(&id)), &body).await?;
        show::done(&format!("{id} {said}"), &answer, target.json)
    }
}
