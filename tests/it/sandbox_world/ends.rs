//! What is good for a while only, or in one place: random ids, logins of moved accounts, keys in two places.

use std::collections::BTreeMap;

use trunkline::sandbox::{Sandbox, SandboxConfig};

use super::*;
use crate::sandbox_wire::client::{Client as Wired, Pipe, introduced};
use crate::stage::until;

#[tokio::test]
async fn a_random_id_that_is_forgotten_names_a_new_message() {
    let (telegram, _world, alice, bob) = two().await;
    let peer = alice.resolve("bobby").await;
    for _ in 0..2 {
        alice.send(&peer, "hello", 5).await;
    }
    let received = |difference| {
        let enums::updates::Difference::Difference(missed) = difference else {
            panic!("news")
        };
        said(missed.new_messages).len()
    };
    assert_eq!(received(bob.difference(1).await), 1);
    telegram.world(|state| state.settings.remember_random_ids = -1);
    alice.send(&peer, "hello", 5).await;
    assert_eq!(received(bob.difference(1).await), 2);
}

#[tokio::test]
async fn a_random_id_is_a_duplicate_while_its_first_call_runs() {
    let (telegram, world, alice, _bob) = two().await;
    let peer = alice.resolve("bobby").await;
    world
        .fault(fault(
            r#"{"kind":"delay","milliseconds":600000,"method":"messages.sendMessage"}"#,
        ))
        .expect("taken");
    let held_up = Client::new(&telegram, 1);
    let first = {
        let peer = peer.clone();
        tokio::spawn(async move { held_up.send(&peer, "hello", 5).await })
    };
    until("the first call runs", || world.faults()[0].acted == 1).await;
    let refused = alice
        .call(send(&peer, "hello", 5))
        .await
        .expect_err("a duplicate");
    assert_eq!(refused, (500, "RANDOM_ID_DUPLICATE".into()));
    alice.send(&peer, "another", 6).await;
    first.abort();
    assert!(first.await.expect_err("ended").is_cancelled());
    alice.send(&peer, "hello", 5).await;
}

#[tokio::test]
async fn a_moved_account_is_sent_on_by_every_call_but_those_that_carry_it_over() {
    let (telegram, world, alice, _bob) = two().await;
    let moved = |state: &mut trunkline::sandbox::world::State| {
        state.centres = vec![2, 4];
        let user = state.user_of(1).expect("logged in");
        state.set_home(user, 4)
    };
    telegram.world(moved).expect("moved");
    let refused = alice.call(f::updates::GetState {}).await.expect_err("sent on");
    assert_eq!(refused, (303, "USER_MIGRATE_4".into()));
    assert_eq!(world.switches().user_migrate.reached(), 1);
    alice.ask(f::help::GetConfig {}).await;
    let there = Client::of(&telegram, 4, 9);
    let refused = there.call(f::updates::GetState {}).await.expect_err("nobody");
    assert_eq!(refused, (401, "AUTH_KEY_UNREGISTERED".into()));
    let enums::auth::ExportedAuthorization::Authorization(ticket) =
        alice.ask(f::auth::ExportAuthorization { dc_id: 4 }).await;
    let import = f::auth::ImportAuthorization {
        id: ticket.id,
        bytes: ticket.bytes,
    };
    there.ask(import).await;
    assert_eq!(there.state().await.pts, 1, "at home it is a whole login");
    world
        .turn(&BTreeMap::from([("user_migrate".to_owned(), false)]))
        .expect("a switch");
    alice.state().await;
}

/// A client that is logged in, over the wire.
async fn wired(sandbox: &Sandbox, phone: &str) -> Wired {
    let mut client = Wired::begin(sandbox.address(), sandbox.rsa_public_pem()).await;
    client
        .call(&introduced(f::help::GetConfig {}))
        .await
        .expect("introduced");
    let Ok(enums::auth::SentCode::Code(sent)) = client.call(&send_code(phone)).await else {
        panic!("a code")
    };
    let sign_in = f::auth::SignIn {
        phone_number: phone.to_owned(),
        phone_code_hash: sent.phone_code_hash,
        phone_code: sandbox.world().code(phone),
        email_verification: None,
    };
    client.call(&sign_in).await.expect("logged in");
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_on_two_main_connections_is_counted_and_ends() {
    let sandbox = Sandbox::start(SandboxConfig::default()).await.expect("started");
    let world = sandbox.world();
    world.user("+15550001", "Ann").expect("a user");
    let mut first = wired(&sandbox, "+15550001").await;
    first.call(&f::updates::GetState {}).await.expect("logged in");
    let doubled = || world.connections().doubled_keys;

    // One after the other is as it should be, and a file connection beside the main one too.
    let (key, salt) = (first.key.clone(), first.salt);
    first.reconnect(sandbox.address()).await;
    first.session = 77;
    first.call(&f::updates::GetState {}).await.expect("alone");
    let mut files = Wired::over(Pipe::open(sandbox.address()).await, key.clone(), 78, salt);
    files
        .call(&f::help::GetConfig {})
        .await
        .expect("no main connection");

    // The old one stays open and nothing is sent on it.
    let mut second = Wired::over(Pipe::open(sandbox.address()).await, key, 79, salt);
    for _ in 0..2 {
        second
            .call(&f::updates::GetState {})
            .await
            .expect("the one in use");
    }
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    assert_eq!(doubled(), 0);
    first
        .call(&f::updates::GetState {})
        .await
        .expect("not noticed yet");
    until("it is noticed", || doubled() == 1).await;
    for client in [&mut first, &mut second] {
        let refused = client
            .call(&f::updates::GetState {})
            .await
            .expect_err("the key has ended");
        assert_eq!(refused, (406, "AUTH_KEY_DUPLICATED".into()));
    }
    assert_eq!(world.switches().duplicated_key_dies.reached(), 1);
    sandbox.stop().await;
}
