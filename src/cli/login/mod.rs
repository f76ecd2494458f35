//! `trunkline login`: the login process at a terminal, by code or, for an agent, by QR.

mod agent;
mod terminal;

use serde_json::{Value, json};

use self::terminal::Question;
use super::client::{CliError, Client, Target, escape};
use super::show;

/// How often a wrong code or password may be typed.
const TRIES: usize = 3;

/// Log a Telegram account in, by code or QR.
#[derive(Debug, clap::Args)]
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
    #[arg(long, required_unless_present = "agent")]
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
        let id = match (self.agent, self.phone, self.session) {
            (Some(agent), phone, _) => agent::log_in(&client, agent, phone.as_deref(), self.replace).await?,
            (None, Some(phone), Some(id)) => {
                go_through(&client, &id, &phone).await?;
                id
            }
            (None, Some(phone), None) => log_in_anew(&client, &self.name, &phone).await?,
            (None, None, _) => return Err(CliError::Here("name a phone number or an agent".to_owned())),
        };
        show::one(&client.get(&path(&id)).await?, target.json)
    }
}

/// Makes an entry and logs it in.
async fn log_in_anew(client: &Client, name: &str, phone: &str) -> Result<String, CliError> {
    let session = client.post("/api/sessions", &json!({"name": name})).await?;
    let id = text(&session, "id")?;
    match go_through(client, &id, phone).await {
        Ok(()) => Ok(id),
        Err(error) => {
            // An entry that was made for this login and never got one would only be litter.
            if let Err(left) = client.delete(&path(&id)).await {
                eprintln!("trunkline: the entry {id} stays behind: {left}");
            }
            Err(error)
        }
    }
}

async fn go_through(client: &Client, id: &str, phone: &str) -> Result<(), CliError> {
    let login = format!("{}/login", path(id));
    let sent = client.post(&login, &json!({"phone": phone})).await?;
    if sent.get("step").and_then(Value::as_str) == Some("complete") {
        return Ok(());
    }
    let code = format!("{login}/code");
    let step = hand_in(client, &code, &json!({}), &Question::code()).await?;
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
        body[question.field] = Value::String(question.ask()?);
        match client.post(path, &body).await {
            Err(error) if error.code() == Some(question.wrong) && left > 0 => eprintln!("{error}"),
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
