//! The login of an agent's account over the agents' routes: by QR until it is scanned, or by code.

use std::time::Duration;

use serde_json::{Value, json};

use super::terminal::{Question, Screen};
use super::{Begun, hand_in, text};
use crate::cli::client::{CliError, Client, escape};

/// How often the login is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Logs an agent in; answers the session.
pub(super) async fn log_in(
    client: &Client,
    agent: i64,
    phone: Option<&str>,
    replace: bool,
    begun: &Begun,
) -> Result<String, CliError> {
    let mut whose = json!({"agent_id": agent, "replace": replace});
    match phone {
        Some(phone) => {
            whose["phone"] = json!(phone);
            by_code(client, &whose, begun).await
        }
        None => by_qr(client, &whose, begun).await,
    }
}

async fn by_code(client: &Client, whose: &Value, begun: &Begun) -> Result<String, CliError> {
    let sent = client.post("/api/telegram/request-code", whose).await?;
    let session = text(&sent, "session_id")?;
    begun.login(&session);
    let of_it = json!({"session_id": session});
    // Where no code was wanted, the answer is that of one that was taken.
    let verified = match sent.get("code_type") {
        Some(_) => {
            let question = Question::code(&sent);
            hand_in(client, "/api/telegram/verify-code", &of_it, &question).await?
        }
        None => sent,
    };
    if verified["requires_password"] == true {
        password(client, &session, &verified).await?;
    }
    Ok(session)
}

/// Shows the QR, and each one that follows it, until somebody has scanned it or the login is over.
async fn by_qr(client: &Client, whose: &Value, begun: &Begun) -> Result<String, CliError> {
    let shown = client.post("/api/telegram/request-qr", whose).await?;
    let session = text(&shown, "session_id")?;
    begun.login(&session);
    let (name, mut screen) = (escape(&session), Screen::default());
    screen.show(&text(&shown, "login_url")?)?;
    loop {
        tokio::time::sleep(LOOK).await;
        let status = client.get(&format!("/api/telegram/status/{name}")).await?;
        match status["login_step"].as_str() {
            Some("display_qr") => match client.get(&format!("/api/telegram/qr/{name}")).await {
                Ok(shown) => screen.show(&text(&shown, "login_url")?)?,
                // Between two looks it was scanned, or there is none for a moment.
                Err(error) if matches!(error.code(), Some("LOGIN_STEP" | "SESSION_UNAVAILABLE")) => {}
                Err(error) => return Err(error),
            },
            Some("input_password") => {
                password(client, &session, &status).await?;
                return Ok(session);
            }
            Some(_) | None if status["connected"] == true => return Ok(session),
            // It is logged in, and about to be connected.
            Some(_) | None => {}
        }
    }
}

async fn password(client: &Client, session: &str, step: &Value) -> Result<(), CliError> {
    let of_it = json!({"session_id": session});
    let question = Question::password(step);
    hand_in(client, "/api/telegram/verify-password", &of_it, &question).await?;
    Ok(())
}
