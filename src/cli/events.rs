//! `trunkline events`: what happens, as it happens, over the daemon's WebSocket.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::client::{CliError, Client, Target, escape};
use super::show;

/// The pause before the connection is made anew.
const PAUSE: Duration = Duration::from_secs(1);

/// Print what happens as it happens, a line an event
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trunkline events --follow
  trunkline events --follow --events 'message.*,session.state' --session ses_01jc... --json
  trunkline events --since 0")]
pub struct Events {
    /// Go on when the connection ends, without missing or repeating anything; stop with Ctrl-C
    #[arg(long)]
    follow: bool,
    /// Event types with commas between them, such as message.*,status; all if not given
    #[arg(long, value_name = "NAMES")]
    events: Option<String>,
    /// Sessions with commas between them; all if not given
    #[arg(long, value_name = "IDS")]
    session: Option<String>,
    /// The cursor of the last line seen; 0 for all that is kept, only what is new if not given
    #[arg(long, value_name = "CURSOR")]
    since: Option<String>,
}

impl Events {
    pub(super) async fn run(mut self, client: Client, target: &Target) -> Result<(), CliError> {
        loop {
            let heard = self.listen(&client, target.json).await;
            let again = match &heard {
                Ok(()) => self.follow,
                // A daemon that is being restarted comes back; one that was never there is told of.
                Err(CliError::Unreachable { .. } | CliError::Refused { status: 503, .. }) => {
                    self.follow && self.since.is_some()
                }
                Err(_) => false,
            };
            if !again {
                return heard;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Where it listens.
    fn path(&self) -> String {
        let named = [
            ("events", &self.events),
            ("session", &self.session),
            ("since", &self.since),
        ];
        let query: Vec<_> = named
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", escape(value.as_ref()?))))
            .collect();
        format!("/ws?{}", query.join("&"))
    }

    /// Prints frames until the connection ends.
    async fn listen(&mut self, client: &Client, as_json: bool) -> Result<(), CliError> {
        let connection = client.upgrade(&self.path()).await?;
        let mut socket = WebSocketStream::from_raw_socket(connection, Role::Client, None).await;
        // An end without a word is an end; a daemon that lives asks for a sign of life now and then.
        let silent = |_| CliError::Unreachable {
            url: client.url().to_owned(),
            cause: format!("not a word in {} s", client.silence.as_secs()),
        };
        while let Some(Ok(message)) = tokio::time::timeout(client.silence, socket.next())
            .await
            .map_err(silent)?
        {
            let Message::Text(text) = message else { continue };
            let frame: Value = serde_json::from_str(&text)
                .map_err(|error| CliError::Here(format!("the daemon's frame can't be read: {error}")))?;
            if let Some(cursor) = frame.get("cursor").and_then(Value::as_str) {
                self.since = Some(cursor.to_owned());
            }
            match as_json {
                true => show::line(&text)?,
                false => show::line(&show::plain(&line(&frame)))?,
            }
        }
        Ok(())
    }
}

/// A frame in a line: its cursor, type and session, and what it says.
fn line(frame: &Value) -> String {
    let word = |name: &str| {
        let word = frame.get(name).and_then(Value::as_str);
        word.unwrap_or("-").to_owned()
    };
    let known = ["cursor", "type", "session", "id", "metadata"];
    let says = match (frame.get("data"), frame.as_object()) {
        (Some(data), _) => data.to_string(),
        (None, Some(fields)) => {
            let rest = fields.iter().filter(|(name, _)| !known.contains(&name.as_str()));
            let rest = rest.map(|(name, value)| (name.clone(), value.clone()));
            Value::Object(rest.collect()).to_string()
        }
        (None, None) => frame.to_string(),
    };
    format!(
        "{}  {}  {}  {says}",
        word("cursor"),
        word("type"),
        word("session")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_frame_is_a_line() {
        let message = json!({"type": "message.deleted", "id": "evt_1", "session": "ses_1", "metadata": null,
            "data": {"ids": [1]}, "cursor": "7"});
        assert_eq!(line(&message), "7  message.deleted  ses_1  {\"ids\":[1]}");
        let status = json!({"type": "status", "connected": true, "cursor": "7.1", "session": null});
        assert_eq!(line(&status), "7.1  status  -  {\"connected\":true}");
    }

    #[test]
    fn the_query_names_what_was_given() {
        let events = Events {
            follow: true,
            events: Some("message.*,status".to_owned()),
            session: None,
            since: Some("7.1".to_owned()),
        };
        assert_eq!(
            events.path(),
            "/ws?events=message.%2A%2Cstatus&since=7.1".replace("%2A", "*")
        );
    }
}
