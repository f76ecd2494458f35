//! Whose a message is: saved by oneself, signed, written in a group's name, forwarded from somebody who hides.

use std::collections::BTreeMap;

use grammers_tl_types::{enums, functions as f, types};
use trunkline::sandbox::World;
use trunkline::sandbox::acts::{NewChat, NewChatKind, Who};
use trunkline::sandbox::people::Profile;
use trunkline::sandbox::world::marks::Marks;

use super::client::*;
use super::{channel, two};

fn turn(world: &World, name: &str, on: bool) {
    world
        .turn(&BTreeMap::from([(name.to_owned(), on)]))
        .expect("a switch of that name");
}

/// The number of a user.
pub fn id_of(world: &World, name: &str) -> i64 {
    let users = world.view().users.into_iter();
    let mut found = users.filter(|user| user.username.as_deref() == Some(name));
    found.next().expect("a user of that name").id
}

/// The messages of a chat, newest first.
async fn listed(client: &Client, peer: &enums::InputPeer) -> Vec<types::Message> {
    match client.ask(history(peer, 10, 0)).await {
        enums::messages::Messages::Messages(page) => said(page.messages),
        enums::messages::Messages::Slice(page) => said(page.messages),
        enums::messages::Messages::ChannelMessages(page) => said(page.messages),
        enums::messages::Messages::NotModified(_) => panic!("a page"),
    }
}

#[tokio::test]
async fn what_one_saves_comes_in_everywhere() {
    let (_telegram, world, alice, _bob) = two().await;
    let me = id_of(&world, "alice");
    let oneself = enums::InputPeer::PeerSelf;
    turn(&world, "saved_messages_incoming", true);
    let before = alice.state().await.pts;
    let answered = new_messages(updates(alice.send(&oneself, "keep this", 1).await));
    let missed = match alice.difference(before).await {
        enums::updates::Difference::Difference(missed) => said(missed.new_messages),
        other => panic!("news: {other:?}"),
    };
    let named: enums::Peer = types::PeerUser { user_id: me }.into();
    for messages in [answered, missed, listed(&alice, &oneself).await] {
        let [message] = messages.as_slice() else {
            panic!("one message: {messages:?}")
        };
        assert!(!message.out);
        assert_eq!(message.saved_peer_id.as_ref(), Some(&named));
        assert_eq!(message.from_id.as_ref(), Some(&named));
    }
    turn(&world, "saved_messages_incoming", false);
    let kinder = listed(&alice, &oneself).await;
    assert!(kinder[0].out && kinder[0].saved_peer_id.is_none());
}

/// Bob's forward of message `id` to himself.
async fn forwarded(client: &Client, from: &enums::InputPeer, id: i32) -> types::MessageFwdHeader {
    let oneself = enums::InputPeer::PeerSelf;
    let answer = client.ask(forward(
        from,
        &oneself,
        vec![id],
        vec![i64::from(id) + 1000],
        false,
    ));
    let mut messages = new_messages(updates(answer.await));
    let message = messages.pop().expect("the forward");
    let Some(enums::MessageFwdHeader::Header(header)) = message.fwd_from else {
        panic!("where it is from")
    };
    header
}

#[tokio::test]
async fn a_post_is_signed_and_so_is_its_forward() {
    let (_telegram, world, alice, bob) = two().await;
    let news = channel(&world, NewChatKind::Channel);
    let place = alice.resolve("the_place").await;
    alice.send(&place, "unsigned", 1).await;
    let marks = Marks {
        signatures: true,
        ..Marks::default()
    };
    world.set_marks(news, marks).expect("set");
    alice.send(&place, "signed", 2).await;
    let theirs = bob.resolve("the_place").await;
    let posts = listed(&bob, &theirs).await;
    assert_eq!(posts[0].post_author.as_deref(), Some("alice"));
    assert_eq!(posts[1].post_author, None);
    let header = forwarded(&bob, &theirs, posts[0].id).await;
    assert_eq!(header.post_author.as_deref(), Some("alice"));
    assert_eq!(header.channel_post, Some(posts[0].id));
}

#[tokio::test]
async fn an_anonymous_admin_writes_in_the_groups_name() {
    let (_telegram, world, alice, bob) = two().await;
    let group = channel(&world, NewChatKind::Supergroup);
    world
        .set_anonymous(group, &[id_of(&world, "alice")])
        .expect("set");
    assert!(world.set_anonymous(group, &[id_of(&world, "bobby")]).is_err());
    let place = alice.resolve("the_place").await;
    let own = new_messages(updates(alice.send(&place, "we say", 1).await));
    let theirs = bob.resolve("the_place").await;
    let seen = listed(&bob, &theirs).await;
    let enums::Peer::Channel(named) = seen[0].peer_id.clone() else {
        panic!("a channel")
    };
    let named: enums::Peer = named.into();
    assert_eq!(seen[0].from_id.as_ref(), Some(&named));
    assert_eq!(own[0].from_id.as_ref(), Some(&named));
    assert!(own[0].out && !seen[0].out);
    let header = forwarded(&bob, &theirs, seen[0].id).await;
    assert_eq!((header.from_id, header.channel_post), (Some(named), None));
}

#[tokio::test]
async fn a_forward_of_who_hides_tells_the_name_only() {
    let (_telegram, world, alice, bob) = two().await;
    let profile = Profile {
        hidden_forwards: Some(true),
        ..Profile::default()
    };
    world.set_profile(id_of(&world, "alice"), profile).expect("set");
    alice.send(&alice.resolve("bobby").await, "between us", 1).await;
    let theirs = bob.resolve("alice").await;
    let seen = listed(&bob, &theirs).await;
    let header = forwarded(&bob, &theirs, seen[0].id).await;
    assert_eq!(
        (header.from_id, header.from_name.as_deref()),
        (None, Some("alice"))
    );
}

#[tokio::test]
async fn protection_is_told_and_is_the_chats_and_not_its_messages() {
    let (_telegram, world, alice, bob) = two().await;
    let new = NewChat {
        kind: NewChatKind::Group,
        id: None,
        title: "Small".into(),
        about: String::new(),
        username: None,
        creator: Who::Name("alice".into()),
        members: vec![Who::Name("bobby".into())],
        admins: vec![],
        slow_mode: 0,
        protected: false,
    };
    let group = world.add_chat(new).expect("a group");
    let peer: enums::InputPeer = types::InputPeerChat { chat_id: -group }.into();
    bob.send(&peer, "before", 1).await;
    let toggle = |enabled| f::messages::ToggleNoForwards {
        peer: peer.clone(),
        enabled,
        request_msg_id: None,
    };
    assert_eq!(bob.refused(toggle(true)).await, "CHAT_ADMIN_REQUIRED");
    let enums::Updates::Updates(told) = alice.ask(toggle(true)).await else {
        panic!("updates")
    };
    assert!(matches!(told.updates.as_slice(), [enums::Update::Chat(it)] if it.chat_id == -group));
    assert!(matches!(told.chats.as_slice(), [enums::Chat::Chat(it)] if it.noforwards));
    assert_eq!(alice.refused(toggle(true)).await, "CHAT_NOT_MODIFIED");
    let seen = listed(&bob, &peer).await;
    assert!(!seen[0].noforwards, "the message has no flag of its own");
    let out = forward(
        &peer,
        &enums::InputPeer::PeerSelf,
        vec![seen[0].id],
        vec![9],
        false,
    );
    assert_eq!(bob.refused(out.clone()).await, "CHAT_FORWARDS_RESTRICTED");
    world.protect(group, false).expect("let again");
    assert_eq!(new_messages(updates(bob.ask(out).await)).len(), 1);
}

#[tokio::test]
async fn a_post_is_forwarded_into_the_group_where_it_is_discussed() {
    let (_telegram, world, alice, bob) = two().await;
    let news = channel(&world, NewChatKind::Channel);
    let talk = world
        .add_chat(NewChat {
            kind: NewChatKind::Supergroup,
            id: None,
            title: "Talk".into(),
            about: String::new(),
            username: Some("the_talk".into()),
            creator: Who::Name("alice".into()),
            members: vec![Who::Name("bobby".into())],
            admins: vec![],
            slow_mode: 30,
            protected: false,
        })
        .expect("a supergroup");
    world.link(news, Some(talk)).expect("linked");
    assert!(world.link(talk, Some(news)).is_err());
    let place = alice.resolve("the_place").await;
    alice.send(&place, "news", 1).await;
    let posts = listed(&bob, &bob.resolve("the_place").await).await;
    let group = bob.resolve("the_talk").await;
    let opened = listed(&bob, &group).await;
    let [opened] = opened.as_slice() else {
        panic!("one message: {opened:?}")
    };
    let enums::Peer::Channel(named) = posts[0].peer_id.clone() else {
        panic!("a channel")
    };
    let named: enums::Peer = named.into();
    let Some(enums::MessageFwdHeader::Header(header)) = opened.fwd_from.clone() else {
        panic!("where it is from")
    };
    assert_eq!(opened.from_id.as_ref(), Some(&named));
    assert_eq!(header.from_id.as_ref(), Some(&named));
    assert_eq!(header.saved_from_peer.as_ref(), Some(&named));
    assert_eq!(header.channel_post, Some(posts[0].id));
    assert_eq!(header.saved_from_msg_id, Some(posts[0].id));
    let own = listed(&alice, &alice.resolve("the_talk").await).await;
    assert!(!own[0].out, "the channel's and not hers");
    let enums::MessageReplies::Replies(replies) = posts[0].replies.clone().expect("comments");
    assert!(replies.comments && replies.channel_id.is_some());
    world
        .edit(news, posts[0].id, id_of(&world, "alice"), "newer", vec![])
        .expect("edited");
    assert_eq!(listed(&bob, &group).await[0].message, "newer");
}
