//! Users, chats and members as the sandbox tells them: reduced records, and what changes about them.

mod apart;
mod beside;
mod brief;
mod closed;
mod daemon;
mod gathered;
mod guarding;
pub mod login;
mod migration;
mod min;
mod names;
mod older;
mod opening;
mod quiet;
mod standing;
mod weather;

use login::Login;
use trunkline::sandbox::World;
use trunkline::sandbox::acts::{NewChat, NewChatKind, Who};

use crate::stage::Stage;

const ANN: &str = "+15550001";
const BOB: &str = "+15550002";

/// Ann is logged in; Bob is not, and acts through the world. She looks at every channel: it is told at once and whole.
async fn ann_and_bob() -> (Stage, World, Login, i64, i64) {
    let stage = Stage::new().await;
    let off = [("quiet_channels".to_owned(), false)].into();
    stage.handle().turn(&off).expect("known");
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
    let world = stage.handle();
    let login = Login::new(&stage, ANN).await;
    (stage, world, login, ann, bob)
}

/// A chat that `creator` runs and `member` is in.
fn chat(world: &World, kind: NewChatKind, creator: i64, member: i64) -> i64 {
    let new = NewChat {
        kind,
        id: None,
        title: "Place".into(),
        about: String::new(),
        username: None,
        creator: Who::Id(creator),
        members: vec![Who::Id(member)],
        admins: vec![],
        slow_mode: 0,
        protected: false,
    };
    world.add_chat(new).expect("a chat")
}

/// The number of a channel in the schema.
fn bare(chat: i64) -> i64 {
    -1_000_000_000_000 - chat
}
