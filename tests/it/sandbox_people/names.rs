//! Names, pictures and the end of accounts, as those who know them are told.

use grammers_tl_types::{enums, functions as f};
use trunkline::sandbox::acts::NewChatKind;
use trunkline::sandbox::people::Profile;
use trunkline::sandbox::world::marks::Marks;
use trunkline::sandbox::world::names::Collectible;

use super::login::Login;
use super::{ann_and_bob, bare, chat};

async fn resolved(ann: &mut Login, name: &str) -> Result<i64, String> {
    let request = f::contacts::ResolveUsername {
        username: name.into(),
        referer: None,
    };
    let enums::contacts::ResolvedPeer::Peer(found) = ann.call(&request).await?;
    match found.peer {
        enums::Peer::User(user) => Ok(user.user_id),
        other => panic!("another peer: {other:?}"),
    }
}

fn renamed(update: &enums::Update) -> Option<(i64, String, Vec<String>)> {
    let enums::Update::UserName(it) = update else {
        return None;
    };
    let active = it.usernames.iter().filter_map(|name| {
        let enums::Username::Username(name) = name;
        name.active.then(|| name.username.clone())
    });
    Some((it.user_id, it.first_name.clone(), active.collect()))
}

#[tokio::test(flavor = "multi_thread")]
async fn collectible_names_stand_in_a_list_alone_and_lead_to_whoever_has_them() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    world.say(ann_id, bob, "hello").expect("posted");
    world.set_username(bob, Some("bob_b")).expect("free");
    assert_eq!(
        ann.hear(renamed).await.0,
        (bob, "Bob".into(), vec!["bob_b".into()])
    );
    let bought = |name: &str, active| Collectible {
        name: name.into(),
        active,
    };
    let names = vec![bought("rare", true), bought("asleep", false)];
    world.set_collectibles(bob, names).expect("free");
    let (told, container) = ann.hear(renamed).await;
    assert_eq!(told.2, ["bob_b", "rare"]);
    let user = container.user(bob);
    assert_eq!(user.username, None, "it stands in the list alone");
    assert_eq!(user.usernames.map(|names| names.len()), Some(3));
    assert_eq!(resolved(&mut ann, "rare").await, Ok(bob));
    assert_eq!(
        resolved(&mut ann, "asleep").await,
        Err("USERNAME_NOT_OCCUPIED".into())
    );

    world.hand_over("rare", ann_id).expect("his");
    assert_eq!(ann.hear(renamed).await.0.2, ["bob_b"]);
    assert_eq!(
        ann.hear(renamed).await.0,
        (ann_id, "Ann".into(), vec!["rare".into()])
    );
    assert_eq!(resolved(&mut ann, "rare").await, Ok(ann_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_and_pictures_of_chats_stand_in_their_records() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let place = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    world.set_picture(place, 3).expect("a picture");
    let pictured = |update: &enums::Update| match update {
        enums::Update::NewChannelMessage(new) => match &new.message {
            enums::Message::Service(service) => match &service.action {
                enums::MessageAction::ChatEditPhoto(_) => Some(()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    let (_, told) = ann.hear(pictured).await;
    assert!(matches!(
        told.channel(bare(place)).photo,
        enums::ChatPhoto::Photo(_)
    ));
    let marks = Marks {
        verified: true,
        restricted: true,
        ..Marks::default()
    };
    world.set_marks(place, marks).expect("marked");
    let changed = |update: &enums::Update| match update {
        enums::Update::Channel(it) if it.channel_id == bare(place) => Some(()),
        _ => None,
    };
    let (_, told) = ann.hear(changed).await;
    let channel = told.channel(bare(place));
    assert!(channel.verified && channel.restricted && !channel.scam);
    assert!(channel.restriction_reason.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn new_names_pictures_and_a_deleted_account_are_told_to_who_knows_them() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    world.say(ann_id, bob, "hello").expect("posted");
    let profile = Profile {
        first_name: Some("Robert".into()),
        picture: Some(7),
        ..Profile::default()
    };
    world.set_profile(bob, profile).expect("changed");
    assert_eq!(ann.hear(renamed).await.0.1, "Robert");
    let changed = |update: &enums::Update| match update {
        enums::Update::User(it) => Some(it.user_id),
        _ => None,
    };
    let (who, told) = ann.hear(changed).await;
    assert_eq!(who, bob);
    assert!(told.user(bob).photo.is_some());

    world.delete_account(bob).expect("deleted");
    let (_, told) = ann.hear(changed).await;
    let gone = told.user(bob);
    assert!(gone.deleted, "{gone:?}");
    assert_eq!((gone.first_name, gone.phone, gone.photo), (None, None, None));
    let refused = world.say(bob, ann_id, "still there?").expect_err("refused");
    assert_eq!(refused.name, "INPUT_USER_DEACTIVATED");
}
