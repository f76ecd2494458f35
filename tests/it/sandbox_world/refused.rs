//! What is refused that was allowed before: prices, slow mode, accounts that Telegram limits; and blocked people, who are
//! told nothing.

use grammers_tl_types::enums;
use trunkline::sandbox::acts::NewChatKind;
use trunkline::sandbox::world::chat::Role;

use super::client::*;
use super::people::id_of;
use super::{channel, two};

#[tokio::test]
async fn who_is_blocked_is_not_told_and_not_heard() {
    let (_telegram, world, alice, bob) = two().await;
    let (ann, bobby) = (id_of(&world, "alice"), id_of(&world, "bobby"));
    let to_alice = bob.resolve("alice").await;
    let block = grammers_tl_types::functions::contacts::Block {
        my_stories_from: false,
        id: alice.resolve("bobby").await,
    };
    assert!(alice.ask(block).await);
    bob.send(&to_alice, "do you hear me?", 1).await;
    let heard = |viewer, chat| world.messages(chat, Some(viewer), 0, 10, false).expect("there");
    assert_eq!(heard(bobby, ann).len(), 1, "he has said it");
    assert!(heard(ann, bobby).is_empty(), "she has not heard it");
    world
        .turn(&[("blocked_in_silence".to_owned(), false)].into())
        .expect("known");
    let refused = bob.call(send(&to_alice, "and now?", 2)).await;
    assert_eq!(refused.err(), Some((400, "USER_IS_BLOCKED".to_owned())));
}

#[tokio::test]
async fn a_message_costs_what_is_said_and_nobody_can_pay() {
    let (_telegram, world, alice, bob) = two().await;
    let chat = channel(&world, NewChatKind::Supergroup);
    world.set_price(chat, 5).expect("set");
    let place = bob.resolve("the_place").await;
    let refused = bob.call(send(&place, "free?", 1)).await;
    assert_eq!(refused.err(), Some((403, "ALLOW_PAYMENT_REQUIRED_5".to_owned())));
    let mut paid = send(&place, "paid", 2);
    paid.allow_paid_stars = Some(5);
    assert_eq!(bob.refused(paid).await, "BALANCE_TOO_LOW");
    alice.send(&alice.resolve("the_place").await, "mine", 3).await;
    let ann = id_of(&world, "alice");
    world.set_price(ann, 1).expect("set");
    let refused = bob.refused(send(&bob.resolve("alice").await, "hello", 4)).await;
    assert_eq!(refused, "ALLOW_PAYMENT_REQUIRED_1");
}

#[tokio::test]
async fn a_limited_account_is_kept_from_strangers_and_public_groups() {
    let (_telegram, world, alice, bob) = two().await;
    channel(&world, NewChatKind::Supergroup);
    let bobby = id_of(&world, "bobby");
    world.limit(bobby, true).expect("limited");
    let place = bob.resolve("the_place").await;
    assert_eq!(bob.refused(send(&place, "x", 1)).await, "USER_BANNED_IN_CHANNEL");
    let to_alice = bob.resolve("alice").await;
    assert_eq!(bob.refused(send(&to_alice, "x", 2)).await, "PEER_FLOOD");
    alice.send(&alice.resolve("bobby").await, "write to me", 3).await;
    bob.send(&to_alice, "gladly", 4).await;
    world.limit(bobby, false).expect("no longer");
    bob.send(&place, "free", 5).await;
}

#[tokio::test]
async fn a_muted_member_may_not_write() {
    let (_telegram, world, _alice, bob) = two().await;
    let chat = channel(&world, NewChatKind::Supergroup);
    let place = bob.resolve("the_place").await;
    world
        .set_role(chat, id_of(&world, "bobby"), Role::Muted)
        .expect("muted");
    let refused = bob.call(send(&place, "x", 1)).await;
    assert_eq!(refused.err(), Some((403, "CHAT_WRITE_FORBIDDEN".to_owned())));
    world
        .turn(&[("muted_may_not_write".to_owned(), false)].into())
        .expect("known");
    let refused = bob.call(send(&place, "x", 2)).await;
    assert_eq!(refused.err(), Some((400, "USER_BANNED_IN_CHANNEL".to_owned())));
}

#[tokio::test]
async fn slow_mode_takes_no_two_forwards_at_once() {
    let (_telegram, world, alice, bob) = two().await;
    let chat = channel(&world, NewChatKind::Supergroup);
    let place = bob.resolve("the_place").await;
    let to_alice = bob.resolve("alice").await;
    bob.send(&to_alice, "one", 1).await;
    bob.send(&to_alice, "two", 2).await;
    world.set_slow_mode(chat, 30).expect("set");
    let two = forward(&to_alice, &place, vec![1, 2], vec![11, 12], false);
    assert_eq!(bob.refused(two).await, "SLOWMODE_MULTI_MSGS_DISABLED");
    bob.ask(forward(&to_alice, &place, vec![1], vec![13], false))
        .await;
    let waits = bob.refused(send(&place, "at once", 14)).await;
    assert!(waits.starts_with("SLOWMODE_WAIT_"), "{waits}");
    let hers = alice.resolve("the_place").await;
    for name in [15, 16] {
        alice.send(&hers, "she runs it", name).await;
    }
}

#[tokio::test]
async fn one_refusal_has_two_codes_and_one_name() {
    let (_telegram, _world, alice, _bob) = two().await;
    let nobody = enums::InputPeer::User(grammers_tl_types::types::InputPeerUser {
        user_id: 1,
        access_hash: 1,
    });
    let mut codes = std::collections::BTreeSet::new();
    for name in 0..200 {
        let (code, refused) = alice
            .call(send(&nobody, "x", name + 1))
            .await
            .expect_err("nobody");
        assert_eq!(refused, "PEER_ID_INVALID");
        codes.insert(code);
        if codes.len() == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(codes, [400, 406].into());
}
