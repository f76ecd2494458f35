//! Private chats that one side protects: nothing is forwarded out of them, by neither side.

use std::time::Duration;

use grammers_tl_types::{enums, functions as f, types};
use trunkline::sandbox::acts::NewChatKind;
use trunkline::sandbox::world::Peer;

use super::login::told;
use super::{ann_and_bob, chat};
use crate::sandbox_messages::pair;
use crate::stage::{Stage, received, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_private_chat_is_protected_and_shared_again_by_agreement() {
    let (stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let said = world.say(ann_id, bob, "between us").expect("posted");
    assert_eq!(said, 1);
    let access_hash = stage
        .world
        .world(|state| state.access_hash(ann_id, Peer::User(bob)));
    let peer: enums::InputPeer = types::InputPeerUser {
        user_id: bob,
        access_hash,
    }
    .into();
    let toggle = |enabled| f::messages::ToggleNoForwards {
        peer: peer.clone(),
        enabled,
        request_msg_id: None,
    };
    let action = |answer| {
        let told = told(answer).expect("updates");
        told.updates.into_iter().find_map(|update| match update {
            enums::Update::NewMessage(it) => match it.message {
                enums::Message::Service(it) => Some(it.action),
                _ => None,
            },
            _ => None,
        })
    };
    stage
        .world
        .world(|state| state.guard(bob, ann_id, true, None))
        .expect("protected");
    let forward = f::messages::ForwardMessages {
        silent: false,
        background: false,
        with_my_score: false,
        drop_author: false,
        drop_media_captions: false,
        noforwards: false,
        allow_paid_floodskip: false,
        from_ephemeral: false,
        from_peer: peer.clone(),
        id: vec![1],
        random_id: vec![5],
        to_peer: enums::InputPeer::PeerSelf,
        top_msg_id: None,
        reply_to: None,
        schedule_date: None,
        schedule_repeat_period: None,
        send_as: None,
        quick_reply_shortcut: None,
        effect: None,
        video_timestamp: None,
        allow_paid_stars: None,
        suggested_post: None,
    };
    let refused = ann.call(&forward).await.expect_err("protected");
    assert_eq!(refused, "CHAT_FORWARDS_RESTRICTED");
    let full = f::users::GetFullUser {
        id: types::InputUser {
            user_id: bob,
            access_hash,
        }
        .into(),
    };
    let enums::users::UserFull::Full(found) = ann.ask(&full).await;
    let enums::UserFull::Full(found) = found.full_user;
    assert!(found.noforwards_peer_enabled && !found.noforwards_my_enabled);
    let asked = action(ann.ask(&toggle(false)).await);
    assert!(matches!(asked, Some(enums::MessageAction::NoForwardsRequest(_))));
    let asked = stage.world.world(|state| {
        let dialog = state.dialog(bob, Peer::User(ann_id)).expect("a chat");
        *dialog.ids.last().expect("a message")
    });
    let agreed = stage
        .world
        .world(|state| state.guard(bob, ann_id, false, Some(asked)));
    agreed.expect("agreed");
    let over = |update: &enums::Update| match update {
        enums::Update::EditMessage(it) => match &it.message {
            enums::Message::Service(it) => Some(it.action.clone()),
            _ => None,
        },
        _ => None,
    };
    let over = ann.hear(over).await.0;
    assert!(matches!(over, enums::MessageAction::NoForwardsRequest(it) if it.expired));
    ann.ask(&forward).await;
    let refused = ann.call(&toggle(false)).await.expect_err("not protected");
    assert_eq!(refused, "CHAT_NOT_MODIFIED");
    let refused = ann.call(&toggle(true)).await.expect_err("for subscribers");
    assert_eq!(refused, "PREMIUM_ACCOUNT_REQUIRED");
    stage.world.world(|state| {
        let account = state.account_mut(ann_id).expect("there");
        account.marks.premium = true;
    });
    let on = action(ann.ask(&toggle(true)).await);
    assert!(matches!(on, Some(enums::MessageAction::NoForwardsToggle(it)) if it.new_value));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_copies_nothing_out_of_a_private_chat_that_the_other_side_protects() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(super::ANN, "Ann"), stage.user(super::BOB, "Bob"));
    let world = stage.handle();
    let copies = chat(&world, NewChatKind::Channel, ann, bob);
    world.say(ann, bob, "hello").expect("posted");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, super::ANN).await;
    until("Bob is known", || {
        let listed = daemon.handles.telegram.chats(session, None).expect("a list");
        listed.iter().any(|it| it.id.0 == bob)
    })
    .await;
    pair(&daemon, session, bob, (copies, None)).await;
    world.say(ann, bob, "for all").expect("posted");
    let copied = || -> Vec<String> {
        let all = world.messages(copies, None, 0, 100, false).expect("there");
        let said = all.into_iter().filter(|it| it.service.is_none());
        said.map(|it| it.text).collect()
    };
    until("it is copied", || copied() == ["for all"]).await;
    let guard = |on| {
        let guarded = stage.world.world(|state| state.guard(bob, ann, on, None));
        guarded.expect("protected");
    };
    guard(true);
    world.say(ann, bob, "for you alone").expect("posted");
    until("it is told", || {
        received(&daemon).contains(&"for you alone".to_owned())
    })
    .await;
    let held = || {
        let pairs = daemon.handles.pairs.list().expect("a list");
        format!("{pairs:?}").contains("forwards_restricted")
    };
    until("the pair is held", held).await;
    assert_eq!(copied(), ["for all"]);
    daemon.stop(Duration::from_secs(5)).await;
}
