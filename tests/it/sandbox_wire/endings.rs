//! How connections and keys end, and what outlasts them.

use trunkline::sandbox::wire::Patience;

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
async fn a_key_of_one_data_centre_is_unknown_in_the_other() {
    let server = start().await;
    let config = WireConfig {
        dc: 4,
        ..WireConfig::new(RsaKey::from_pem(&PRIVATE_PEM).expect("our own key"))
    };
    let (hub, world) = (server.world.hub.clone(), server.world.clone());
    let other = Wire::start(config, hub, world).await.expect("a free port");
    let mut client = server.client().await;
    client.reconnect(other.address()).await;
    client.send(&f::Ping { ping_id: 1 }.to_bytes()).await;
    assert_eq!(client.pipe.hear().await, Heard::TransportError(-404));
    let mut there = Client::begin(other.address(), &server.public_pem).await;
    there
        .call(&introduced(f::help::GetNearestDc {}))
        .await
        .expect("it has keys of its own");
    let centres: Vec<i32> = server.world.known_keys().iter().map(|key| key.dc).collect();
    assert_eq!(centres, [2, 4]);
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

/// A server that has so much patience.
async fn with_patience(patience: Patience) -> Server {
    let rsa = RsaKey::from_pem(&PRIVATE_PEM).expect("our own key");
    let public_pem = rsa.public_pem().expect("its public half");
    let world = Arc::new(Little::default());
    let config = WireConfig {
        patience,
        ..WireConfig::new(rsa)
    };
    let wire = Wire::start(config, world.hub.clone(), world.clone())
        .await
        .expect("a free port");
    Server {
        wire,
        world,
        public_pem,
    }
}

/// Waits until so many connections were cut off, and none is left.
async fn until_cut_off(server: &Server, count: u64) {
    let began = std::time::Instant::now();
    loop {
        let now = server.world.hub.connections();
        if now.cut_off == count && now.open == 0 {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{now:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn clients_that_take_too_long_are_cut_off() {
    let usual = Patience::default();
    let handshake = Duration::from_secs(1);
    let server = with_patience(Patience { handshake, ..usual }).await;
    let mut mute = Pipe::open(server.wire.address()).await;
    assert_eq!(mute.hear().await, Heard::Closed, "not a word in time");
    until_cut_off(&server, 1).await;

    let idle = Duration::from_secs(4);
    let server = with_patience(Patience { idle, ..usual }).await;
    let mut silent = server.client().await;
    while silent.pipe.hear().await != Heard::Closed {}
    until_cut_off(&server, 1).await;

    // This one asks for fifteen megabytes and takes nothing of it.
    let write = Duration::from_secs(8);
    let server = with_patience(Patience { write, ..usual }).await;
    let mut deaf = Client::begin(server.wire.address(), &server.public_pem).await;
    let asks = vec![f::GetFutureSalts { num: 64 }.to_bytes(); 500];
    for _ in 0..30 {
        deaf.send_container(&asks).await;
    }
    until_cut_off(&server, 1).await;
}
