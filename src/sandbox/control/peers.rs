//! The routes of the control port about users and chats themselves: names, roles, histories, migration, deletion.

use std::collections::BTreeSet;

use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::routes::{bad, body};
use super::{Answer, Failure};
use crate::sandbox::acts::Who;
use crate::sandbox::handle::World;
use crate::sandbox::world::chat::Role;
use crate::sandbox::world::names::Collectible;
use crate::sandbox::world::rights::Right;
use crate::sandbox::world::topics::TopicChange;
use crate::sandbox::world::touching::Touch;

/// A public name, or none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Username {
    username: Option<String>,
}

/// Names that were bought.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Collectibles {
    names: Vec<Collectible>,
}

/// Who gets a name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Holder {
    to: i64,
}

/// What a member is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRole {
    role: Role,
    until: Option<i32>,
}

/// Whose history is cleared, and up to where.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cleared {
    user: i64,
    #[serde(default)]
    max_id: i32,
    #[serde(default)]
    for_all: bool,
}

/// Whether newcomers see what was said before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hidden {
    hidden: bool,
}

/// Who writes in a supergroup's name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Anonymous {
    users: Vec<i64>,
}

/// Whether anything may be forwarded out of a chat.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Protected {
    protected: bool,
}

/// Where a channel's posts are discussed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Discussion {
    group: Option<i64>,
}

/// What changes about a message and is no edit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HiddenEdit {
    from: Option<Who>,
    views: Option<i32>,
    forwards: Option<i32>,
    keyboard: Option<String>,
}

/// A reaction, or none any more.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reaction {
    from: Who,
    emoji: Option<String>,
}

/// Whether a supergroup's messages stand in topics.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Forum {
    enabled: bool,
}

/// A topic that begins.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTopic {
    from: Who,
    title: String,
}

/// What changes about a topic.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicEdit {
    from: Who,
    title: Option<String>,
    closed: Option<bool>,
    hidden: Option<bool>,
}

/// What may not be sent, by all or by one member until a time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rights {
    forbidden: BTreeSet<Right>,
    user: Option<i64>,
    #[serde(default)]
    until: i32,
}

/// The seconds between two messages of a member.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SlowMode {
    seconds: i32,
}

/// What a message costs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    stars: i64,
}

/// What a picture is drawn from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Picture {
    generate: u64,
}

fn done() -> Answer {
    Answer::Json(json!({"ok": true}))
}

/// What is done to one chat, or to the public names of a user; `None` if no route is meant.
pub fn of_chat(
    world: &World,
    method: &Method,
    chat: &str,
    rest: &[&str],
    bytes: &[u8],
) -> Option<Result<Answer, Failure>> {
    let act = |chat: i64| -> Option<Result<Answer, Failure>> {
        Some(match (method.as_str(), rest) {
            ("DELETE", []) => deleted(world, chat),
            ("PUT", ["username"]) => username(world, chat, bytes),
            ("PUT", ["collectibles"]) => collectibles(world, chat, bytes),
            ("PUT", ["members", user]) => role(world, chat, user, bytes),
            ("PUT", ["marks"]) => marks(world, chat, bytes),
            ("PUT", ["picture"]) => picture(world, chat, bytes),
            ("POST", ["migration"]) => migrated(world, chat),
            ("POST", ["cleared"]) => cleared(world, chat, bytes),
            ("PUT", ["hidden_history"]) => hidden(world, chat, bytes),
            ("POST", ["messages", id, "hidden_edit"]) => hidden_edit(world, chat, id, bytes),
            ("POST", ["messages", id, "reactions"]) => reaction(world, chat, id, bytes),
            ("PUT", ["forum"]) => forum(world, chat, bytes),
            ("POST", ["topics"]) => new_topic(world, chat, bytes),
            ("PATCH", ["topics", topic]) => topic_changed(world, chat, topic, bytes),
            ("DELETE", ["topics", topic]) => topic_deleted(world, chat, topic),
            ("PUT", ["anonymous"]) => anonymous(world, chat, bytes),
            ("PUT", ["protected"]) => protected(world, chat, bytes),
            ("PUT", ["discussion"]) => discussion(world, chat, bytes),
            ("PUT", ["rights"]) => rights(world, chat, bytes),
            ("PUT", ["slow_mode"]) => slow_mode(world, chat, bytes),
            ("PUT", ["price"]) => price(world, chat, bytes),
            _ => return None,
        })
    };
    act(chat.parse().ok()?)
}

fn rights(world: &World, chat: i64, bytes: &[u8]) -> Result<Answer, Failure> {
    let rights = body::<Rights>(bytes)?;
    world.forbid(chat, rights.user, &rights.forbidden, rights.until)?;
    Ok(done())
}

fn slow_mode(world: &World, chat: i64, bytes: &[u8]) -> Result<Answer, Failure> {
    world.set_slow_mode(chat, body::<SlowMode>(bytes)?.seconds)?;
    Ok(done())
}

fn price(world: &World, chat: i64, bytes: &[u8]) -> Result<Answer, Failure> {
    world.set_price(chat, body::<Price>(bytes)?.stars)?;
    Ok(done())
}

fn deleted(world: &World, chat: i64) -> Result<Answer, Failure> {
    world.delete_channel(chat)?;
    Ok(done())
}

fn username(world: &World, chat: i64, bytes: &[u8]) -> Result<Answer, Failure> {
    world.set_username(chat, body::<Username>(bytes)?.username.as_deref())?;
    Ok(done())
}

fn collectibles(world: &World, chat: i64, bytes: &[u8]) -> Result<Answer, Failure> {
    world.set_collectibles(chat, body::<Collectibles>(bytes)?.names)?;
    Ok(done())
}

fn role(world: &World, chat: i64, user: &str, bytes: &[u8]) -> Result<Answer, Failure> {
    let user = user.parse().map_err(|_| bad("a member is a number"))?;
    let new = body::<NewRole>(bytes)?;
    world.set_role(chat, user, new.role)?;
    if let Some(until) = new.until {
        world.limit_ban(chat, user, until)?;
    }
    Ok(done())
}

fn marks(world: &World, chat: i64, bytes: &[u8]) -> Result<Answer, Failure> {
    world.set_marks(chat, body(bytes)?)?;
    Ok(done())
}

fn picture(world: &World, chat: i64, bytes: &[u8]) -> Result<Answer, Failure> {
    world.set_picture(chat, body::<Picture>(bytes)?.generate)?;
    Ok(done())
}

fn migrated(world: &World, chat: i64) -> Result<Answer, Failure> {
    Ok(Answer::Created(json!({"id": world.migrate(chat)?})))
}

fn cleared(world: &World, chat: i64, bytes: &[u8]) -> Result<Answer, Failure> {
    let cleared = body::<Cleared>(bytes)?;
    match cleared.for_all {
        true => drop(world.clear_for_all(chat, cleared.user, cleared.max_id)?),
        false => world.clear_history(chat, cleared.user, cleared.max_id)?,
    }
    Ok(done())
}

fn hidden(world: &World, chat: i64, bytes: &[u8]) -> Result<Answer, Failure> {
    world.hide_history(chat, body::<Hidden>(bytes)?.hidden)?;
    Ok(done())
}

fn hidden_edit(world: &World, chat: i64, id: &str, bytes: &[u8]) -> Result<Answer, Failure> {
    let edit = body::<HiddenEdit>(bytes)?;
    if edit.views.is_some_and(|views| views < 0) || edit.forwards.is_some_and(|forwards| forwards < 0) {
        return Err(bad("views and forwards are not negative"));
    }
    let touch = Touch {
        views: edit.views,
        forwards: edit.forwards,
        keyboard: edit.keyboard,
    };
    world.touch(chat, number(id)?, edit.from.as_ref(), touch)?;
    Ok(done())
}

fn reaction(world: &World, chat: i64, id: &str, bytes: &[u8]) -> Result<Answer, Failure> {
    let reaction = body::<Reaction>(bytes)?;
    world.react(chat, number(id)?, &reaction.from, reaction.emoji.as_deref())?;
    Ok(done())
}

fn forum(world: &World, chat: i64, bytes: &[u8]) -> Result<Answer, Failure> {
    world.set_forum(chat, body::<Forum>(bytes)?.enabled)?;
    Ok(done())
}

fn new_topic(world: &World, chat: i64, bytes: &[u8]) -> Result<Answer, Failure> {
    let new = body::<NewTopic>(bytes)?;
    let id = world.add_topic(chat, new.from, &new.title)?;
    Ok(Answer::Created(json!({"id": id})))
}

fn number(text: &str) -> Result<i32, Failure> {
    text.parse().map_err(|_| bad(format!("{text:?} is not a number")))
}

fn topic_changed(world: &World, chat: i64, topic: &str, bytes: &[u8]) -> Result<Answer, Failure> {
    let edit = body::<TopicEdit>(bytes)?;
    let change = TopicChange {
        title: edit.title,
        icon: None,
        closed: edit.closed,
        hidden: edit.hidden,
    };
    world.edit_topic(chat, number(topic)?, &edit.from, change)?;
    Ok(done())
}

fn topic_deleted(world: &World, chat: i64, topic: &str) -> Result<Answer, Failure> {
    let count = world.delete_topic(chat, number(topic)?)?;
    Ok(Answer::Json(json!({"deleted": count})))
}

fn anonymous(world: &World, chat: i64, bytes: &[u8]) -> Result<Answer, Failure> {
    world.set_anonymous(chat, &body::<Anonymous>(bytes)?.users)?;
    Ok(done())
}

fn protected(world: &World, chat: i64, bytes: &[u8]) -> Result<Answer, Failure> {
    world.protect(chat, body::<Protected>(bytes)?.protected)?;
    Ok(done())
}

fn discussion(world: &World, chat: i64, bytes: &[u8]) -> Result<Answer, Failure> {
    world.link(chat, body::<Discussion>(bytes)?.group)?;
    Ok(done())
}

/// A public name goes to somebody else.
pub fn hand_over(world: &World, name: &str, bytes: &[u8]) -> Result<Answer, Failure> {
    world.hand_over(name, body::<Holder>(bytes)?.to)?;
    Ok(done())
}
