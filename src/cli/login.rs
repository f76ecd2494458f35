//! `trunkline login`: the login process at a terminal.

use std::io::{BufRead, Write};

use serde_json::{Value, json};

use super::client::{CliError, Client, Target, escape};
use super::show;

/// How often a wrong code or password may be typed.
const TRIES: usize = 3;

/// Log a Telegram account in by code.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trunkline login --phone +989121234567 --name sales
  trunkline login --phone +989121234567 --session ses_01jc...   log an entry in again

Telegram sends the code to the account's other devices, or by SMS. It is asked for
here, and so is the account's password if it has one; with the standard input from
elsewhere they are its first lines.")]
pub struct Login {
    /// The account's phone number, with its country code
    #[arg(long)]
    phone: String,
    /// What to call the session
    #[arg(long, default_value = "main")]
    name: String,
    /// The entry to log in, instead of a new one
    #[arg(long, value_name = "ID", conflicts_with = "name")]
    session: Option<String>,
}

impl Login {
    pub(super) async fn run(self, client: Client, target: &Target) -> Result<(), CliError> {
        let made = self.session.is_none();
        let id = match self.session {
            Some(id) => id,
            None => {
                let session = client.post("/api/sessions", &json!({"name": self.name})).await?;
                text(&session, "id")?
            }
        };
        let done = go_through(&client, &id, &self.phone).await;
        match done {
            Ok(()) => show::one(&client.get(&path(&id)).await?, target.json),
            Err(error) => {
                // An entry that was made for this login and never got one would only be litter.
                if made && let Err(left) = client.delete(&path(&id)).await {
                    eprintln!("trunkline: the entry {id} stays behind: {left}");
                }
                Err(error)
            }
        }
    }
}

async fn go_through(client: &Client, id: &str, phone: &str) -> Result<(), CliError> {
    let login = format!("{}/login", path(id));
    let sent = client.post(&login, &json!({"phone": phone})).await?;
    if sent.get("step").and_then(Value::as_str) == Some("complete") {
        return Ok(());
    }
    let asked = ("code", "Code from Telegram: ".to_owned(), "PHONE_CODE_INVALID");
    let step = hand_in(client, &login, asked).await?;
    if step.get("step").and_then(Value::as_str) == Some("input_password") {
        let question = match step.get("hint").and_then(Value::as_str) {
            Some(hint) => format!("Password (hint: {hint}): "),
            None => "Password: ".to_owned(),
        };
        hand_in(client, &login, ("password", question, "PASSWORD_HASH_INVALID")).await?;
    }
    Ok(())
}

/// Asks for something and hands it in, a few times if it is wrong.
async fn hand_in(
    client: &Client,
    login: &str,
    (what, question, wrong): (&str, String, &str),
) -> Result<Value, CliError> {
    let mut left = TRIES;
    loop {
        left -= 1;
        let typed = ask(&question, what)?;
        let body = json!({ what: typed });
        match client.post(&format!("{login}/{what}"), &body).await {
            Err(error) if error.code() == Some(wrong) && left > 0 => eprintln!("{error}"),
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

/// Asks on standard error, so that standard output stays for the answer.
fn ask(question: &str, what: &str) -> Result<String, CliError> {
    let failed = |cause| CliError::Io {
        what: "the terminal".to_owned(),
        cause,
    };
    let mut terminal = std::io::stderr().lock();
    terminal
        .write_all(question.as_bytes())
        .and_then(|()| terminal.flush())
        .map_err(failed)?;
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    if read == 0 {
        return Err(CliError::Here(format!("no {what} was given")));
    }
    Ok(answer.trim().to_owned())
}
