//! The routes of the control port: path and method to what is done.

use std::collections::BTreeMap;

use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Answer, Control, Failure, peers, people};
use crate::sandbox::acts::{NewChat, NewMessage, NewUser, Who};
use crate::sandbox::faults::Fault;
use crate::sandbox::world::entities::Entity;
use crate::sandbox::world::settings::Change;
use crate::sandbox::world::weather::Weather;
use crate::sandbox::world::{Switchboard, Switches};

/// What `GET /` says.
const HELP: &str = "\
The sandbox's control port. Chats are named by the Bot API's numbers.

GET    /world                               users and chats
POST   /users                               a user
PATCH  /users/{user}                        {\"first_name\", \"last_name\", \"picture\", \"hidden_forwards\"}
DELETE /users/{user}                        the account is deleted
PUT    /users/{user}/password               {\"password\", \"hint\", \"recovery\", \"login_email\", \"unknown\"}; DELETE takes it away
PUT    /users/{user}/home                   {\"dc\"}: the data centre where it lives
PUT    /users/{user}/archived               {\"chats\"}: in the archive; all others are in the main list
PUT    /users/{user}/pinned                 {\"chats\"}: pinned to the top of its list, in this order
PUT    /users/{user}/ban                    thrown out by Telegram; DELETE takes it back
PUT    /users/{user}/frozen                 it reads and does nothing else; DELETE takes it back
PUT    /users/{user}/limited                it may not write to strangers and in public groups; DELETE takes it back
GET    /users/{user}/logins                 where it is logged in
POST   /users/{user}/logins                 {\"token\"}: it accepts a QR code
DELETE /users/{user}/logins/{session}       a login ends; without a session all do
POST   /chats                               a chat
POST   /chats/{id}/members                  {\"users\": [..]} come in
DELETE /chats/{id}/members/{user}           a member leaves
PUT    /chats/{id}/members/{user}           {\"role\"}: admin, member, muted, left, banned
PUT    /chats/{id}/rights                   {\"forbidden\": [..], \"user\", \"until\"}: what members, or one, may not send
PUT    /chats/{id}/slow_mode                {\"seconds\"}: between two messages of a member
PUT    /chats/{id}/price                    {\"stars\"}: what a message costs; {id} may be a user
PUT    /chats/{id}/username                 {\"username\"}: a name or null; {id} may be a user
PUT    /chats/{id}/collectibles             {\"names\": [{\"name\", \"active\"}]}; {id} may be a user
PUT    /names/{name}                        {\"to\"}: the name goes to another user or chat
PUT    /chats/{id}/marks                    {\"verified\", \"scam\", \"restricted\" …}; {id} may be a user
PUT    /chats/{id}/picture                  {\"generate\"}: a made-up one
POST   /chats/{id}/migration                a basic group becomes a supergroup
PUT    /chats/{id}/hidden_history           {\"hidden\"}: newcomers do not see what was said before
PUT    /chats/{id}/forum                   {\"enabled\"}: its messages stand in topics
POST   /chats/{id}/topics                  a topic: {\"from\", \"title\"}
PATCH  /chats/{id}/topics/{topic}          {\"from\", \"title\", \"closed\", \"hidden\"}; DELETE takes it away
PUT    /chats/{id}/anonymous                {\"users\"}: who of those who run it writes in its name
PUT    /chats/{id}/protected                {\"protected\"}: nothing may be forwarded out of it
PUT    /chats/{id}/discussion               {\"group\"}: the supergroup where its posts are discussed, or null
POST   /chats/{id}/cleared                  {\"user\", \"max_id\", \"for_all\"}: its history, for one member alone or all sides
DELETE /chats/{id}                          the channel is deleted
GET    /chats/{id}/messages                 ?as=USER &since=N &limit=N &deleted=true
POST   /chats/{id}/messages                 a message, as a user
POST   /chats/{id}/burst                    many texts at once: {\"from\", \"text\", \"count\"}
PATCH  /chats/{id}/messages/{number}        an edit: {\"from\", \"text\", \"entities\"}
DELETE /chats/{id}/messages/{number}        a deletion for all: ?from=USER
POST   /chats/{id}/messages/{number}/hidden_edit   {\"from\", \"views\", \"forwards\", \"keyboard\"}: changes that are no edit
POST   /chats/{id}/messages/{number}/reactions     {\"from\", \"emoji\"}: a reaction, or none any more
GET    /codes/{phone}                       the login code, plain text
PUT    /codes/{phone}                       {\"refuse\"}: it gets none any more; {\"ways\", \"email_pattern\", \"future_tokens\"}: how; DELETE takes it back
GET    /settings   PATCH /settings          times that are otherwise than on Telegram
GET    /switches   PATCH /switches          which of Telegram's ways it has: {NAME: true | false}
GET    /limits                              what came inside flood waits, if there are limits
PUT    /limits                              {\"factor\"}: limits on speed, with a clock so many times faster; DELETE ends them
PUT    /weather                             {\"seed\"}: updates that are nobody's message, all the time; DELETE ends it
GET    /faults     POST /faults             trouble
DELETE /faults     DELETE /faults/{number}  no more trouble
GET    /requests                            what was called: ?account= &method= &limit=
GET    /connections                         how many there are, were refused, were cut off
GET    /config                              the section for a daemon's configuration
";

/// An edit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    from: Who,
    text: String,
    #[serde(default)]
    entities: Vec<Entity>,
}

/// Many texts at once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Burst {
    from: Who,
    text: String,
    count: u32,
}

/// Limits on speed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limited {
    #[serde(default = "one")]
    factor: u32,
}

fn one() -> u32 {
    1
}

/// Who comes in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    users: Vec<i64>,
}

/// The pairs behind the question mark.
struct Query(Vec<(String, String)>);

impl Query {
    fn read(text: Option<&str>, known: &[&str]) -> Result<Self, Failure> {
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(text.unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
        match pairs.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, _)) => Err(bad(format!("there is no parameter {key:?} here"))),
            None => Ok(Self(pairs)),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, Failure> {
        let parse = |text: &str| text.parse().map_err(|_| bad(format!("{key} must be a number")));
        self.text(key).map(parse).transpose()
    }
}

/// The request cannot be read.
pub fn bad(message: impl Into<String>) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
}

/// The body as a record.
pub fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))
}

/// A record as JSON.
pub fn json<T: Serialize>(value: &T) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(value)
        .map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", error.to_string()))
}

/// The switches as they stand, and how often each was reached.
fn switches(board: &Switchboard) -> serde_json::Value {
    let now = board.shown();
    let items = Switches::ROWS.iter().map(|row| {
        json!({
            "name": row.name,
            "on": row.is_on(&now),
            "reached": row.reached(board),
            "telegram": row.what,
            "source": row.source,
        })
    });
    json!({"items": items.collect::<Vec<_>>()})
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| bad(format!("{text:?} is not a number")))
}

/// There is nothing under this path.
pub fn no_route() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "NOT_FOUND", "GET / lists the routes")
}

/// Does what a request asks.
pub fn answer(
    control: &Control,
    method: &Method,
    path: &str,
    query: Option<&str>,
    bytes: &[u8],
) -> Result<Answer, Failure> {
    let world = &control.world;
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let asked = |known: &[&str]| Query::read(query, known);
    match (method.as_str(), segments.as_slice()) {
        ("GET", []) => Ok(Answer::Text(HELP.to_owned())),
        ("GET", ["config"]) => Ok(Answer::Text(control.section.clone())),
        ("GET", ["connections"]) => Ok(Answer::Json(json!({
            "server": world.connections(),
            "control": control.count.now(),
        }))),
        ("GET", ["world"]) => Ok(Answer::Json(json(&world.view())?)),
        (_, ["users", who, rest @ ..]) => people::of_user(world, method, who, rest, bytes),
        ("GET", ["weather"]) => Ok(Answer::Json(json(&world.weather_now())?)),
        ("PUT", ["weather"]) => {
            let weather = body::<Weather>(bytes)?;
            if weather.gusts < 0 {
                return Err(bad("gusts is not negative"));
            }
            world.set_weather(Some(weather));
            Ok(Answer::Json(json!({"ok": true})))
        }
        ("DELETE", ["weather"]) => {
            world.set_weather(None);
            Ok(Answer::Json(json!({"ok": true})))
        }
        ("GET", ["limits"]) => Ok(Answer::Json(world.limits())),
        ("PUT", ["limits"]) => {
            let wanted = body::<Limited>(bytes)?;
            if !(1..=3600).contains(&wanted.factor) {
                return Err(bad("factor is 1 to 3600"));
            }
            world.set_limits(Some(wanted.factor));
            Ok(Answer::Json(world.limits()))
        }
        ("DELETE", ["limits"]) => {
            world.set_limits(None);
            Ok(Answer::Json(world.limits()))
        }
        ("PUT", ["names", name]) => peers::hand_over(world, name, bytes),
        (_, ["codes", phone]) => people::codes(world, method, phone, bytes),
        ("GET", ["settings"]) => Ok(Answer::Json(json(&world.settings())?)),
        ("PATCH", ["settings"]) => {
            let change = body::<Change>(bytes)?;
            if let Some(name) = change.unsound() {
                return Err(bad(format!(
                    "{name}: a time is 0 to ten years, in milliseconds, and a size is not negative"
                )));
            }
            Ok(Answer::Json(json(&world.set(change))?))
        }
        ("GET", ["switches"]) => Ok(Answer::Json(switches(&world.switches()))),
        ("PATCH", ["switches"]) => {
            let turned = world.turn(&body::<BTreeMap<String, bool>>(bytes)?);
            Ok(Answer::Json(switches(
                &turned.map_err(|error| bad(error.to_string()))?,
            )))
        }
        ("POST", ["users"]) => {
            let id = world.add_user(body::<NewUser>(bytes)?)?;
            Ok(Answer::Created(json!({"id": id})))
        }
        ("POST", ["chats"]) => {
            let id = world.add_chat(body::<NewChat>(bytes)?)?;
            Ok(Answer::Created(json!({"id": id})))
        }
        ("POST", ["chats", chat, "members"]) => {
            world.join(number(chat)?, &body::<Members>(bytes)?.users)?;
            Ok(Answer::Json(json!({"ok": true})))
        }
        ("DELETE", ["chats", chat, "members", user]) => {
            world.leave(number(chat)?, number(user)?)?;
            Ok(Answer::Json(json!({"ok": true})))
        }
        ("GET", ["chats", chat, "messages"]) => {
            let asked = asked(&["as", "since", "limit", "deleted"])?;
            let since = asked.number("since")?.unwrap_or(0);
            let limit = asked.number("limit")?.unwrap_or(200).min(10_000);
            let deleted = asked.text("deleted") == Some("true");
            let items = world.messages(number(chat)?, asked.number("as")?, since, limit, deleted)?;
            let next = items
                .last()
                .filter(|_| items.len() == limit)
                .map(|message| message.id);
            Ok(Answer::Json(json!({"items": json(&items)?, "next": next})))
        }
        ("POST", ["chats", chat, "messages"]) => {
            let posted = world.post(number(chat)?, body::<NewMessage>(bytes)?)?;
            Ok(Answer::Created(json!({"items": json(&posted)?})))
        }
        ("POST", ["chats", chat, "burst"]) => {
            let burst = body::<Burst>(bytes)?;
            let (first, last) = world.burst(number(chat)?, &burst.from, &burst.text, burst.count)?;
            Ok(Answer::Created(json!({"first": first, "last": last})))
        }
        ("PATCH", ["chats", chat, "messages", id]) => {
            let edit = body::<Edit>(bytes)?;
            world.edit(number(chat)?, number(id)?, edit.from, &edit.text, edit.entities)?;
            Ok(Answer::Json(json!({"ok": true})))
        }
        ("DELETE", ["chats", chat, "messages", id]) => {
            let asked = asked(&["from"])?;
            let from = asked
                .text("from")
                .ok_or_else(|| bad("?from= must say who deletes"))?;
            let who = from.parse().map_or_else(|_| Who::Name(from.to_owned()), Who::Id);
            let count = world.delete(number(chat)?, number(id)?, who)?;
            Ok(Answer::Json(json!({"deleted": count})))
        }
        ("GET", ["faults"]) => Ok(Answer::Json(json!({"items": json(&world.faults())?}))),
        ("POST", ["faults"]) => Ok(Answer::Created(json(&world.fault(body::<Fault>(bytes)?)?)?)),
        ("DELETE", ["faults"]) => Ok(Answer::Json(json!({"removed": world.clear_faults(None)}))),
        ("DELETE", ["faults", id]) => match world.clear_faults(Some(number(id)?)) {
            0 => Err(Failure::new(
                StatusCode::NOT_FOUND,
                "NOT_FOUND",
                "there is no such fault",
            )),
            count => Ok(Answer::Json(json!({"removed": count}))),
        },
        ("GET", ["requests"]) => {
            let asked = asked(&["account", "method", "limit"])?;
            let limit = asked.number("limit")?.unwrap_or(200);
            let items = world.requests(asked.number("account")?, asked.text("method"), limit);
            Ok(Answer::Json(
                json!({"items": json(&items)?, "counts": json(&world.counts())?}),
            ))
        }
        (_, ["chats", chat, rest @ ..]) => {
            peers::of_chat(world, method, chat, rest, bytes).unwrap_or_else(|| Err(no_route()))
        }
        _ => Err(no_route()),
    }
}
