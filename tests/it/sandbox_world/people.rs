//! Whose a message is: saved by oneself, signed, written in a group's name, forwarded from somebody who hides.

use std::collections::BTreeMap;

use grammers_tl_types::{enums, types};
use trunkline::sandbox::World;

use super::client::*;
use super::two;

fn turn(world: &World, name: &str, on: bool) {
    world
        .turn(&BTreeMap::from([(name.to_owned(), on)]))
        .expect("a switch of that name");
}

/// The number of a user.
fn id_of(world: &World, name: &str) -> i64 {
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
