//! The sandbox's world as a client's calls meet it: answers, refusals, sequences, files, faults.

mod answers;
pub mod client;
mod ends;
mod logins;
mod media;
mod outside;
mod people;
mod pushes;
mod refused;

use client::*;
use grammers_tl_types::{Deserializable, Serializable, enums, functions as f, types};
use trunkline::sandbox::acts::{NewChat, NewChatKind, NewUser, Who};
use trunkline::sandbox::faults::Fault;
use trunkline::sandbox::rpc::Reply;
use trunkline::sandbox::telegram::Telegram;
use trunkline::sandbox::{World, acts};

const ALICE: &str = "9990000001";
const BOB: &str = "9990000002";

async fn two() -> (Telegram, World, Client, Client) {
    let (telegram, world) = world();
    for (phone, name) in [(ALICE, "alice"), (BOB, "bobby")] {
        let new = NewUser {
            phone: phone.into(),
            first_name: name.into(),
            username: Some(name.into()),
            ..NewUser::default()
        };
        world.add_user(new).expect("a user");
    }
    let alice = Client::logged_in(&telegram, &world, 1, ALICE).await;
    let bob = Client::logged_in(&telegram, &world, 2, BOB).await;
    (telegram, world, alice, bob)
}

fn channel(world: &World, kind: NewChatKind) -> i64 {
    let new = NewChat {
        kind,
        id: None,
        title: "Place".into(),
        about: String::new(),
        username: Some("the_place".into()),
        creator: Who::Name("alice".into()),
        members: vec![Who::Name("bobby".into())],
        admins: vec![],
        slow_mode: 0,
        protected: false,
    };
    world.add_chat(new).expect("a chat")
}

fn fault(json: &str) -> Fault {
    serde_json::from_str(json).expect("a fault")
}

#[tokio::test]
async fn a_key_without_a_login_is_refused_and_a_new_number_signs_up() {
    let (telegram, world) = world();
    let client = Client::new(&telegram, 9);
    assert_eq!(
        client.call(f::updates::GetState {}).await.expect_err("refused"),
        (401, "AUTH_KEY_UNREGISTERED".into())
    );
    let enums::auth::SentCode::Code(sent) = client.ask(send_code("+99 966 31 2345")).await else {
        panic!("a code")
    };
    let mut sign_in = f::auth::SignIn {
        phone_number: "9996631 2345".into(),
        phone_code_hash: sent.phone_code_hash.clone(),
        phone_code: Some("00000".into()),
        email_verification: None,
    };
    assert_eq!(client.refused(sign_in.clone()).await, "PHONE_CODE_INVALID");
    sign_in.phone_code = Some("33333".into());
    let answer = client.ask(sign_in).await;
    assert!(matches!(answer, enums::auth::Authorization::SignUpRequired(_)));
    let sign_up = f::auth::SignUp {
        no_joined_notifications: false,
        phone_number: "99966312345".into(),
        phone_code_hash: sent.phone_code_hash,
        first_name: "Dora".into(),
        last_name: String::new(),
    };
    let enums::auth::Authorization::Authorization(done) = client.ask(sign_up).await else {
        panic!("in")
    };
    let enums::User::User(user) = done.user else {
        panic!("a user")
    };
    assert!(user.is_self && user.access_hash.is_some());
    assert_eq!(client.state().await.pts, 1);
    client.ask(f::auth::LogOut {}).await;
    assert_eq!(
        client.refused(f::updates::GetState {}).await,
        "AUTH_KEY_UNREGISTERED"
    );
    assert_eq!(world.view().users.len(), 2);
}

#[tokio::test]
async fn a_text_to_a_user_is_answered_shortly_and_its_repeat_with_the_first() {
    let (_telegram, world, alice, bob) = two().await;
    let peer = alice.resolve("bobby").await;
    let before = alice.state().await.pts;
    let enums::Updates::UpdateShortSentMessage(sent) = alice.send(&peer, " hello ", 5).await else {
        panic!("a short answer")
    };
    assert_eq!((sent.pts, sent.pts_count), (before + 1, 1));
    let again = updates(alice.send(&peer, "something else", 5).await);
    let [enums::Update::MessageId(named), enums::Update::NewMessage(new)] = again.as_slice() else {
        panic!("number and message: {again:?}")
    };
    assert_eq!((named.id, new.pts_count, new.pts), (sent.id, 1, before + 1));
    assert_eq!(alice.state().await.pts, before + 1);
    assert_eq!(alice.refused(send(&peer, "x", 0)).await, "RANDOM_ID_EMPTY");
    assert_eq!(alice.refused(send(&peer, "  ", 6)).await, "MESSAGE_EMPTY");

    let enums::updates::Difference::Difference(missed) = bob.difference(1).await else {
        panic!("news")
    };
    let texts: Vec<String> = said(missed.new_messages)
        .into_iter()
        .map(|message| message.message)
        .collect();
    assert_eq!(texts, ["hello"]);
    assert_eq!(missed.users.len(), 2);
    world
        .fault(fault(r#"{"kind":"forget_random_ids"}"#))
        .expect("done");
    assert!(matches!(
        alice.send(&peer, "hello", 5).await,
        enums::Updates::UpdateShortSentMessage(_)
    ));
}

#[tokio::test]
async fn a_foreign_access_hash_names_nobody() {
    let (_telegram, _world, alice, bob) = two().await;
    let peer = alice.resolve("bobby").await;
    let stolen = bob.resolve("bobby").await;
    assert_ne!(peer, stolen);
    assert_eq!(alice.refused(send(&stolen, "x", 1)).await, "PEER_ID_INVALID");
    let unknown = f::contacts::ResolveUsername {
        username: "nobody_here".into(),
        referer: None,
    };
    assert_eq!(alice.refused(unknown).await, "USERNAME_NOT_OCCUPIED");
}

#[tokio::test]
async fn a_difference_tells_own_names_edits_and_deletions_and_may_be_too_long() {
    let (_telegram, world, alice, bob) = two().await;
    let (to_bob, to_alice) = (alice.resolve("bobby").await, bob.resolve("alice").await);
    for n in 1..=3 {
        alice.send(&to_bob, &format!("{n}"), n).await;
    }
    let at = bob.state().await.pts;
    let edit = f::messages::EditMessage {
        no_webpage: false,
        invert_media: false,
        peer: to_bob.clone(),
        id: 1,
        message: Some("one".into()),
        media: None,
        reply_markup: None,
        entities: None,
        schedule_date: None,
        schedule_repeat_period: None,
        quick_reply_shortcut_id: None,
        rich_message: None,
    };
    let edited = updates(alice.ask(edit.clone()).await);
    assert!(matches!(edited.as_slice(), [enums::Update::EditMessage(_)]));
    assert_eq!(alice.refused(edit).await, "MESSAGE_NOT_MODIFIED");
    let delete = f::messages::DeleteMessages {
        revoke: true,
        id: vec![2, 99],
    };
    let enums::messages::AffectedMessages::Messages(gone) = alice.ask(delete.clone()).await;
    assert_eq!(gone.pts_count, 1);
    let enums::messages::AffectedMessages::Messages(gone) = alice.ask(delete).await;
    assert_eq!(gone.pts_count, 0);

    let enums::updates::Difference::Difference(missed) = bob.difference(at).await else {
        panic!("news")
    };
    assert!(missed.new_messages.is_empty());
    let [
        enums::Update::EditMessage(edited),
        enums::Update::DeleteMessages(deleted),
    ] = missed.other_updates.as_slice()
    else {
        panic!("edit and deletion: {:?}", missed.other_updates)
    };
    assert_eq!(
        (edited.pts, deleted.pts, deleted.messages.as_slice()),
        (at + 1, at + 2, &[2][..])
    );

    let enums::updates::Difference::Difference(own) = alice.difference(1).await else {
        panic!("news")
    };
    let names: Vec<i64> = own
        .other_updates
        .iter()
        .filter_map(|update| match update {
            enums::Update::MessageId(named) => Some(named.random_id),
            _ => None,
        })
        .collect();
    assert_eq!(names, [1, 3]);

    let read = f::messages::ReadHistory {
        peer: to_alice,
        max_id: 0,
    };
    let enums::messages::AffectedMessages::Messages(read) = bob.ask(read).await;
    assert_eq!(read.pts_count, 1);
    assert!(matches!(
        bob.difference(read.pts).await,
        enums::updates::Difference::Empty(_)
    ));
    assert_eq!(
        bob.refused(get_difference(read.pts + 1)).await,
        "PERSISTENT_TIMESTAMP_INVALID"
    );
    world
        .fault(fault(r#"{"kind":"too_long","method":"updates.getDifference"}"#))
        .expect("added");
    assert!(matches!(
        bob.difference(1).await,
        enums::updates::Difference::TooLong(_)
    ));
}

#[tokio::test]
async fn a_channel_has_its_own_sequence() {
    let (_telegram, world, alice, bob) = two().await;
    let chat = channel(&world, NewChatKind::Channel);
    let peer = alice.resolve("the_place").await;
    let posted = updates(alice.send(&peer, "first", 1).await);
    let states: Vec<i32> = posted
        .iter()
        .filter_map(|update| match update {
            enums::Update::NewChannelMessage(new) => Some(new.pts),
            _ => None,
        })
        .collect();
    assert_eq!(states, [3]);
    let enums::InputPeer::Channel(theirs) = bob.resolve("the_place").await else {
        panic!("a channel")
    };
    let input: enums::InputChannel = types::InputChannel {
        channel_id: theirs.channel_id,
        access_hash: theirs.access_hash,
    }
    .into();
    let ask = |pts| f::updates::GetChannelDifference {
        force: false,
        channel: input.clone(),
        filter: enums::ChannelMessagesFilter::Empty,
        pts,
        limit: 100,
    };
    let answer = bob.ask(ask(2)).await;
    let enums::updates::ChannelDifference::Difference(missed) = answer else {
        panic!("news")
    };
    assert!(missed.r#final && missed.pts == 3 && missed.new_messages.len() == 1);
    assert!(said(missed.new_messages)[0].post);

    let alice_id = world.view().users[1].id;
    world
        .edit(chat, 2, alice_id, "first, edited", vec![])
        .expect("edited");
    let enums::updates::ChannelDifference::Difference(missed) = bob.ask(ask(3)).await else {
        panic!("news")
    };
    assert!(missed.r#final, "also with edits");
    assert!(matches!(
        missed.other_updates.as_slice(),
        [enums::Update::EditChannelMessage(_)]
    ));
    assert!(
        matches!(bob.ask(ask(4)).await, enums::updates::ChannelDifference::Empty(empty) if empty.r#final)
    );
    world.fault(fault(r#"{"kind":"too_long"}"#)).expect("added");
    let enums::updates::ChannelDifference::TooLong(lost) = bob.ask(ask(2)).await else {
        panic!("too long")
    };
    let enums::Dialog::Dialog(dialog) = lost.dialog else {
        panic!("a dialog")
    };
    assert_eq!((dialog.pts, lost.r#final), (Some(4), true));

    let mine = bob.resolve("the_place").await;
    assert_eq!(
        bob.refused(send(&mine, "me too", 1)).await,
        "CHAT_WRITE_FORBIDDEN"
    );
    let leave = f::channels::LeaveChannel {
        channel: input.clone(),
    };
    bob.ask(leave.clone()).await;
    assert_eq!(bob.refused(leave).await, "USER_NOT_PARTICIPANT");
    bob.ask(f::channels::JoinChannel { channel: input }).await;
}

#[tokio::test]
async fn lists_of_messages_and_dialogs_come_in_pages() {
    let (_telegram, world, alice, _bob) = two().await;
    channel(&world, NewChatKind::Supergroup);
    let peer = alice.resolve("bobby").await;
    for n in 1..=5 {
        alice.send(&peer, &format!("{n}"), n).await;
    }
    let enums::messages::Messages::Slice(page) = alice.ask(history(&peer, 2, 0)).await else {
        panic!("a slice")
    };
    let ids: Vec<i32> = page.messages.iter().map(|message| message.id()).collect();
    assert_eq!((page.count, ids), (5, vec![5, 4]));
    let enums::messages::Messages::Slice(page) = alice.ask(history(&peer, 100, 3)).await else {
        panic!("a slice")
    };
    assert_eq!(page.messages.len(), 2);
    let place = alice.resolve("the_place").await;
    let enums::messages::Messages::ChannelMessages(page) = alice.ask(history(&place, 10, 0)).await else {
        panic!("a channel's messages")
    };
    assert_eq!((page.pts, page.count), (2, 1));

    let mut ask = f::messages::GetDialogs {
        exclude_pinned: false,
        folder_id: None,
        offset_date: 0,
        offset_id: 0,
        offset_peer: enums::InputPeer::Empty,
        limit: 1,
        hash: 0,
    };
    let enums::messages::Dialogs::Slice(first) = alice.ask(ask.clone()).await else {
        panic!("a slice")
    };
    assert_eq!(
        (first.count, first.dialogs.len(), first.messages.len()),
        (2, 1, 1)
    );
    let enums::Message::Message(last) = &first.messages[0] else {
        panic!("a text")
    };
    (ask.offset_date, ask.offset_id) = (last.date, last.id);
    ask.offset_peer = peer;
    ask.limit = 10;
    let enums::messages::Dialogs::Slice(rest) = alice.ask(ask).await else {
        panic!("a slice")
    };
    assert!(matches!(rest.chats.as_slice(), [enums::Chat::Channel(found)] if found.megagroup));
}

#[tokio::test]
async fn faults_hit_the_call_they_are_meant_for() {
    let (telegram, world, alice, bob) = two().await;
    let peer = alice.resolve("bobby").await;
    let alice_id = world.view().users[1].id;
    let add = |text: &str| world.fault(fault(text)).expect("added");
    add(&format!(
        r#"{{"kind":"flood_wait","seconds":3,"method":"messages.sendMessage","account":{alice_id},"nth":2}}"#
    ));
    alice.send(&peer, "1", 1).await;
    let refused = alice.call(send(&peer, "2", 2)).await.expect_err("refused");
    assert_eq!(refused, (420, "FLOOD_WAIT_3".into()));
    alice.send(&peer, "2", 2).await;

    add(r#"{"kind":"drop_after","method":"messages.sendMessage"}"#);
    let Reply::DropConnection { answer: Some(answer) } = alice.raw(send(&peer, "3", 3).to_bytes()).await
    else {
        panic!("cut after the work")
    };
    assert!(enums::Updates::from_bytes(&answer).is_ok());
    add(r#"{"kind":"drop_before","method":"messages.sendMessage"}"#);
    let cut = alice.raw(send(&peer, "4", 4).to_bytes()).await;
    assert_eq!(cut, Reply::DropConnection { answer: None });
    let bob_id = world.view().users[2].id;
    let texts = || -> Vec<String> {
        let all = world
            .messages(bob_id, Some(alice_id), 0, 10, false)
            .expect("messages");
        all.into_iter().map(|message| message.text).collect()
    };
    assert_eq!(texts(), ["1", "2", "3"]);

    add(&format!(
        r#"{{"kind":"revoke","account":{bob_id},"name":"USER_DEACTIVATED_BAN"}}"#
    ));
    assert_eq!(bob.refused(f::updates::GetState {}).await, "USER_DEACTIVATED_BAN");
    assert!(world.faults().len() == 3 && world.clear_faults(None) == 3);
    let counts = world.counts();
    assert_eq!(counts["messages.sendMessage"]["FLOOD_WAIT_3"], 1);
    assert_eq!(
        world
            .requests(Some(alice_id), Some("messages.sendMessage"), 10)
            .len(),
        5
    );
    drop(telegram);
}

#[tokio::test]
async fn a_method_that_is_not_served_is_refused_and_logged() {
    let (_telegram, world, alice, _bob) = two().await;
    let unserved = f::messages::GetStickerSet {
        stickerset: enums::InputStickerSet::Empty,
        hash: 0,
    };
    assert_eq!(
        alice.call(unserved).await.expect_err("refused"),
        (400, "INPUT_METHOD_INVALID".into())
    );
    assert_eq!(
        world.counts()["messages.getStickerSet"]["INPUT_METHOD_INVALID"],
        1
    );
}
