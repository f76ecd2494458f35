//! How connections and keys end, and what outlasts them.

use super::*;

#[tokio::test]
async fn a_key_is_known_after_a_restart_and_unknown_once_forgotten() {
    let server = start().await;
    let client = server.client().await;
    let keys = server.world.known_keys();
    server.wire.stop().await;

    let server = start_with(keys).await;
    let pipe = Pipe::open(server.wire.address()).await;
    let mut again = Client::over(pipe, client.key.clone(), client.session, client.salt);
    again.send(&f::help::GetNearestDc {}.to_bytes()).await;
    let bad = again.wait(|it| it.is::<tl::enums::BadMsgNotification>()).await;
    let tl::enums::BadMsgNotification::BadServerSalt(bad) = bad else {
        panic!("the first salt is forgotten")
    };
    again.salt = bad.new_server_salt;
    again
        .call(&f::help::GetNearestDc {})
        .await
        .expect("known and introduced");

    server.world.hub.forget(server.key());
    assert_eq!(again.pipe.hear().await, Heard::Closed);
    again.reconnect(server.wire.address()).await;
    again.send(&f::Ping { ping_id: 1 }.to_bytes()).await;
    assert_eq!(again.pipe.hear().await, Heard::TransportError(-404));
}

#[tokio::test]
async fn an_outage_cuts_and_refuses_until_it_ends() {
    let server = start().await;
    let mut client = server.client().await;
    server.world.hub.pause();
    assert_eq!(client.pipe.hear().await, Heard::Closed);
    assert!(Pipe::is_refused(server.wire.address()).await);
    server.world.hub.resume();
    client.reconnect(server.wire.address()).await;
    client.call(&f::help::GetNearestDc {}).await.expect("as before");
}

#[tokio::test]
async fn a_delayed_disconnect_comes_unless_it_is_put_off() {
    let server = start().await;
    let mut client = server.client().await;
    for ping_id in 0..3 {
        client
            .send(
                &f::PingDelayDisconnect {
                    ping_id,
                    disconnect_delay: 1,
                }
                .to_bytes(),
            )
            .await;
        client.wait(|it| it.is::<tl::enums::Pong>()).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(client.pipe.hear().await, Heard::Closed);
}

#[tokio::test]
async fn nonsense_ends_the_connection_and_nothing_else() {
    let server = start().await;
    let mut pipe = Pipe::open(server.wire.address()).await;
    pipe.send(&[7; 64]).await;
    assert_eq!(pipe.hear().await, Heard::TransportError(-404));
    let mut pipe = Pipe::open(server.wire.address()).await;
    pipe.send(&[0; 40]).await;
    assert_eq!(pipe.hear().await, Heard::TransportError(-404));
    let mut client = server.client().await;
    client.session += 1;
    client
        .call(&f::help::GetNearestDc {})
        .await
        .expect("a further session over the same connection");
    let key = client.key.to_bytes();
    let mut packet = tl::enums::Pong::Pong(tl::types::Pong {
        msg_id: 0,
        ping_id: 0,
    })
    .to_bytes();
    packet.splice(
        0..0,
        grammers_crypto::AuthKey::from_bytes(key).to_bytes()[..8]
            .iter()
            .copied(),
    );
    client.pipe.send(&packet).await;
    assert_eq!(client.pipe.hear().await, Heard::TransportError(-404));
    assert_eq!(server.world.known_keys()[0].auth_key, key);
}
