//! The routes of the control port about one user: how it is logged in, its profile, its end: `/users/{user}/…` and `/codes/{phone}`.

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::routes::{bad, body, json as record, no_route};
use super::{Answer, Failure};
use crate::sandbox::acts::Who;
use crate::sandbox::handle::World;
use crate::sandbox::world::password::Password;
use crate::sandbox::world::ways::Plan;

/// A new password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    password: String,
    #[serde(default)]
    hint: String,
    #[serde(default)]
    recovery: bool,
    login_email: Option<String>,
    #[serde(default)]
    unknown: bool,
}

/// Where an account lives.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Home {
    dc: i32,
}

/// Which chats stand on top of an account's list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pinned {
    chats: Vec<i64>,
}

/// What a QR code says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scanned {
    token: String,
}

/// How a number's codes are sent, or refused.
#[derive(Deserialize)]
#[serde(untagged)]
enum Codes {
    Refused(Refused),
    Planned(Plan),
}

/// How codes are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    refuse: String,
}

fn done() -> Answer {
    Answer::Json(json!({"ok": true}))
}

/// A user as a path names it: by number, username, or phone number with a plus sign.
fn who(text: &str) -> Who {
    let text = text.replace("%2B", "+");
    match text.starts_with('+') {
        true => Who::Name(text),
        false => text.parse().map_or(Who::Name(text), Who::Id),
    }
}

/// What is done to one user.
pub fn of_user(
    world: &World,
    method: &Method,
    user: &str,
    rest: &[&str],
    bytes: &[u8],
) -> Result<Answer, Failure> {
    let user = world.who(&who(user))?;
    match (method.as_str(), rest) {
        ("PUT", ["password"]) => {
            let new = body::<NewPassword>(bytes)?;
            let password = Password {
                recovery: new.recovery,
                login_email: new.login_email,
                unknown: new.unknown,
                ..Password::new(&new.password, &new.hint)
            };
            world.set_kept_password(user, password)?;
            Ok(done())
        }
        ("DELETE", ["password"]) => {
            world.remove_password(user)?;
            Ok(done())
        }
        ("PATCH", []) => {
            world.set_profile(user, body(bytes)?)?;
            Ok(done())
        }
        ("DELETE", []) => {
            world.delete_account(user)?;
            Ok(done())
        }
        ("PUT", ["home"]) => {
            world.set_home(user, body::<Home>(bytes)?.dc)?;
            Ok(done())
        }
        ("PUT", ["pinned"]) => {
            world.pin_dialogs(user, &body::<Pinned>(bytes)?.chats)?;
            Ok(done())
        }
        ("PUT", ["archived"]) => {
            world.archive(user, &body::<Pinned>(bytes)?.chats)?;
            Ok(done())
        }
        ("PUT", ["ban"]) => {
            world.ban(user, true)?;
            Ok(done())
        }
        ("DELETE", ["ban"]) => {
            world.ban(user, false)?;
            Ok(done())
        }
        ("PUT" | "DELETE", [word @ ("frozen" | "limited")]) => {
            let on = method == Method::PUT;
            match *word {
                "frozen" => world.freeze(user, on)?,
                _ => world.limit(user, on)?,
            }
            Ok(done())
        }
        ("GET", ["logins"]) => Ok(Answer::Json(json!({"items": record(&world.logins(user)?)?}))),
        ("POST", ["logins"]) => {
            let session = world.accept_login(user, &body::<Scanned>(bytes)?.token)?;
            Ok(Answer::Created(json!({"session": session.to_string()})))
        }
        ("DELETE", ["logins"]) => Ok(Answer::Json(json!({"ended": world.end_logins(user, None)?}))),
        ("DELETE", ["logins", session]) => {
            let session = session.parse().map_err(|_| bad("a session is a number"))?;
            let ended = world.end_logins(user, Some(session))?;
            Ok(Answer::Json(json!({"ended": ended})))
        }
        _ => Err(no_route()),
    }
}

/// A number's login code.
pub fn codes(world: &World, method: &Method, phone: &str, bytes: &[u8]) -> Result<Answer, Failure> {
    match method.as_str() {
        "GET" => world.code(phone).map(Answer::Text).ok_or(Failure::new(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            "no code was sent to this number",
        )),
        "PUT" => {
            match body::<Codes>(bytes)? {
                Codes::Refused(refused) => world.refuse_codes(phone, Some(&refused.refuse)),
                Codes::Planned(plan) => world.plan_codes(phone, plan)?,
            }
            Ok(done())
        }
        "DELETE" => {
            world.refuse_codes(phone, None);
            world.plan_codes(phone, Plan::default())?;
            Ok(done())
        }
        _ => Err(no_route()),
    }
}
