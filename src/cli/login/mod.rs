//! `trunkline login`: the login process at a terminal, by code or, for an agent, by QR.
//!
//! What is given up, by Ctrl-C or after too many wrong answers, is cancelled at the daemon. A kill leaves it to the
//! daemon, where a login ends by itself once its time is over.

mod agent;
mod terminal;

use std::cell::RefCell;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use self::terminal::Question;
use super::client::{CliError, Client, Target, escape};
use super::show;

/// How often a wrong code or password may be typed.
const TRIES: usize = 3;

/// How long the daemon has to take a login back that is given up here.
const PATIENCE: Duration = Duration::from_secs(5);

/// Log a Telegram account in, by code or QR.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true, args = ["phone", "agent"])]
#[command(after_help = "\
Examples:
  trunkline login --agent 5                              show a QR to scan
  trunkline login --agent 5 --phone +989121234567        by code
  trunkline login --phone +989121234567 --name sales
  trunkline login --phone +989121234567 --session ses_01jc...   log an entry in again

The QR is scanned in a Telegram app: Settings, Devices, Link Desktop Device. A code
is sent to the account's other devices, or by SMS. It is asked for here, and so is the
account's password if it has one; with the standard input from elsewhere they are its
first lines, and the QR is told as the link that it stands for.")]
pub struct Login {
    /// The account's phone number, with its country code
    #[arg(long)]
    phone: Option<String>,
    /// What to call the session
    #[arg(long, default_value = "main")]
    name: String,
    /// The entry to log in, instead of a new one
    #[arg(long, value_name = "ID", conflicts_with = "name")]
    session: Option<String>,
    /// The backend's agent whose account it is; without --phone by QR
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["name", "session"], allow_negative_numbers = true)]
    agent: Option<i64>,
    /// Log out and delete the session that the agent has, once this login has succeeded
    #[arg(long, requires = "agent")]
    replace: bool,
}

impl Login {
    pub(super) async fn run(self, client: Client, target: &Target) -> Result<(), CliError> {
        let begun = Begun::default();
        let ended = tokio::select! {
            ended = self.go_through(&client, &begun) => ended,
            why = interrupted() => Err(why),
        };
        match ended {
            Ok(id) => show::one(&client.get(&path(&id)).await?, target.json),
            Err(error) => {
                begun.undo(&client).await;
                Err(error)
            }
        }
    }

    async fn go_through(&self, client: &Client, begun: &Begun) -> Result<String, CliError> {
        match (self.agent, &self.phone, &self.session) {
            (Some(agent), phone, _) => {
                agent::log_in(client, agent, phone.as_deref(), self.replace, begun).await
            }
            (None, Some(phone), Some(id)) => {
                by_code(client, id, phone, begun).await?;
                Ok(id.clone())
            }
            (None, Some(phone), None) => {
                let session = client.post("/api/sessions", &json!({"name": self.name})).await?;
                let id = text(&session, "id")?;
                begun.entry(&id);
                by_code(client, &id, phone, begun).await?;
                Ok(id)
            }
            (None, None, _) => Err(CliError::Here("name a phone number or an agent".to_owned())),
        }
    }
}

/// What a login that is not finished leaves behind at the daemon.
#[derive(Default)]
struct Begun(RefCell<Option<Litter>>);

#[derive(Clone)]
enum Litter {
    /// A login under way, of the session with this id.
    Login(String),
    /// An entry that was made for this login.
    Entry(String),
}

impl Begun {
    fn entry(&self, id: &str) {
        *self.0.borrow_mut() = Some(Litter::Entry(id.to_owned()));
    }

    /// A login has begun; if the entry was made for it, that goes with it.
    fn login(&self, id: &str) {
        self.0
            .borrow_mut()
            .get_or_insert_with(|| Litter::Login(id.to_owned()));
    }

    /// Takes it away again, so that nobody comes upon a login that nobody goes on with.
    async fn undo(&self, client: &Client) {
        let Some(litter) = self.0.take() else { return };
        let work = async {
            match &litter {
                Litter::Entry(id) => client.delete(&path(id)).await.map(drop),
                Litter::Login(id) => {
                    let cancel = format!("{}/login/cancel", path(id));
                    match client.post(&cancel, &json!({})).await {
                        // It has ended by itself.
                        Err(CliError::Refused {
                            status: 404 | 409 | 410,
                            ..
                        }) => Ok(()),
                        done => done.map(drop),
                    }
                }
            }
        };
        let (Litter::Entry(id) | Litter::Login(id)) = &litter;
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(())) => {}
            Ok(Err(left)) => show::complain(&format!("the login of {id} stays behind: {left}")),
            Err(_) => show::complain(&format!(
                "the login of {id} stays behind: the daemon does not answer"
            )),
        }
    }
}

/// Waits until somebody ends the command.
async fn interrupted() -> CliError {
    let hear = |kind| {
        signal(kind).map_err(|cause| CliError::Io {
            what: "signals".to_owned(),
            cause,
        })
    };
    let heard = (
        hear(SignalKind::interrupt()),
        hear(SignalKind::terminate()),
        hear(SignalKind::hangup()),
    );
    match heard {
        (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            CliError::Here("interrupted; the login is cancelled".to_owned())
        }
        (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => error,
    }
}

async fn by_code(client: &Client, id: &str, phone: &str, begun: &Begun) -> Result<(), CliError> {
    let login = format!("{}/login", path(id));
    let sent = client.post(&login, &json!({"phone": phone})).await?;
    if sent.get("step").and_then(Value::as_str) == Some("complete") {
        return Ok(());
    }
    begun.login(id);
    let code = format!("{login}/code");
    let step = match sent.get("step").and_then(Value::as_str) {
        // No code was wanted.
        Some("input_password") => sent,
        _ => hand_in(client, &code, &json!({}), &Question::code(&sent)).await?,
    };
    if step.get("step").and_then(Value::as_str) == Some("input_password") {
        let password = format!("{login}/password");
        hand_in(client, &password, &json!({}), &Question::password(&step)).await?;
    }
    Ok(())
}

/// Asks for something and hands it in beside what else the body holds, a few times if it is wrong.
async fn hand_in(client: &Client, path: &str, body: &Value, question: &Question) -> Result<Value, CliError> {
    let mut left = TRIES;
    loop {
        left -= 1;
        let mut body = body.clone();
        body[question.field] = Value::String(question.ask().await?);
        match client.post(path, &body).await {
            Err(error) if error.code() == Some(question.wrong) && left > 0 => {
                show::complain(&error.to_string());
            }
            answer => return answer,
        }
    }
}

fn path(id: &str) -> String {
    format!("/api/sessions/{}", escape(id))
}

fn text(value: &Value, field: &str) -> Result<String, CliError> {
    value
        .get(field)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| CliError::Here(format!("the daemon's answer has no {field}")))
}
