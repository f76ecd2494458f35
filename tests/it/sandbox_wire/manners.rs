//! What the wire refuses of a client's messages, and what it says unasked.

use super::*;

/// What is wrong with which message.
async fn complaint(client: &mut Client) -> (i64, i32) {
    match client.wait(|it| it.is::<tl::enums::BadMsgNotification>()).await {
        tl::enums::BadMsgNotification::Notification(bad) => (bad.bad_msg_id, bad.error_code),
        other => panic!("of another kind: {other:?}"),
    }
}

/// The client's session hears updates from now on.
async fn subscribe(client: &mut Client) {
    let question = client.send(&f::updates::GetState {}.to_bytes()).await;
    client.answer(question).await.expect("subscribed");
}

/// A container of these messages: id, sequence number, body.
fn container(messages: &[(i64, i32, &[u8])]) -> Vec<u8> {
    let mut object = 0x73f1_f8dcu32.to_le_bytes().to_vec();
    object.extend_from_slice(&(messages.len() as u32).to_le_bytes());
    for (id, seq_no, body) in messages {
        object.extend_from_slice(&id.to_le_bytes());
        object.extend_from_slice(&seq_no.to_le_bytes());
        object.extend_from_slice(&(body.len() as u32).to_le_bytes());
        object.extend_from_slice(body);
    }
    object
}

#[tokio::test]
async fn sequence_numbers_rise_with_ids_and_tell_content() {
    let server = start().await;
    let manners = trunkline::sandbox::rpc::Manners::default();
    let (sequence, parity) = (manners.sequence.clone(), manners.parity.clone());
    server.world.hub.set_manners(manners);
    let mut client = server.client().await;
    let query = f::help::GetNearestDc {}.to_bytes();
    let early = client.next_id();
    client.call(&f::help::GetNearestDc {}).await.expect("answered");

    let id = client.next_id();
    client.send_numbered(id, 1, &query).await;
    assert_eq!(complaint(&mut client).await, (id, 32));
    client.send_numbered(early, 99, &query).await;
    assert_eq!(complaint(&mut client).await, (early, 33));
    let inner = client.next_id();
    let id = client.next_id();
    let object = container(&[(inner, 99, &query)]);
    client.send_numbered(id, 101, &object).await;
    assert_eq!(complaint(&mut client).await, (id, 34));
    let id = client.next_id();
    client.send_numbered(id, 100, &query).await;
    assert_eq!(complaint(&mut client).await, (id, 35));

    client.call(&f::help::GetNearestDc {}).await.expect("it goes on");
    assert_eq!((sequence.reached(), parity.reached()), (2, 2));
    server.world.hub.set_manners(trunkline::sandbox::rpc::Manners {
        sequence: Switch::new(false),
        parity: Switch::new(false),
        ..Default::default()
    });
    let id = client.next_id();
    client.send_numbered(id, 0, &query).await;
    client.answer(id).await.expect("not judged");
}

#[tokio::test]
async fn acknowledgements_are_taken_with_either_parity() {
    let server = start().await;
    let mut client = server.client().await;
    let ack = tl::enums::MsgsAck::Ack(tl::types::MsgsAck { msg_ids: vec![4] }).to_bytes();
    for seq_no in [51, 52] {
        let id = client.next_id();
        client.send_numbered(id, seq_no, &ack).await;
    }
    let id = client.next_id();
    client
        .send_numbered(id, 53, &f::Ping { ping_id: 1 }.to_bytes())
        .await;
    client
        .wait(|it| {
            assert_eq!(it.is::<tl::enums::BadMsgNotification>(), None);
            it.is::<tl::enums::Pong>()
        })
        .await;
}

#[tokio::test]
async fn the_messages_of_a_container_are_judged_one_by_one() {
    let server = start().await;
    let manners = trunkline::sandbox::rpc::Manners::default();
    let inner_ids = manners.inner_ids.clone();
    server.world.hub.set_manners(manners);
    let mut client = server.client().await;
    let query = f::help::GetNearestDc {}.to_bytes();
    let (good, odd) = (client.next_id(), client.next_id() + 1);
    let old = good - (400 << 32);
    let id = client.next_id();
    let object = container(&[(old, -1, &query), (good, 103, &query), (odd, 105, &query)]);
    client.send_numbered(id, 106, &object).await;
    let (mut told, mut answered) = (Vec::new(), Vec::new());
    while told.len() + answered.len() < 3 {
        let message = client.next().await;
        if let Some(tl::enums::BadMsgNotification::Notification(bad)) = message.is() {
            told.push((bad.bad_msg_id, bad.error_code));
        }
        answered.extend(
            [old, good]
                .into_iter()
                .find(|id| answer_to(&message, *id).is_some()),
        );
    }
    answered.sort_unstable();
    assert_eq!((told, answered), (vec![(odd, 18)], vec![old, good]));

    let id = client.next_id();
    let object = container(&[(id + 4, 107, &query)]);
    client.send_numbered(id, 108, &object).await;
    assert_eq!(complaint(&mut client).await, (id, 64));
    assert_eq!(inner_ids.reached(), 2);
}

#[tokio::test]
async fn a_forgotten_session_is_new_in_mid_connection_and_misses_what_is_pushed() {
    let server = start().await;
    let mut client = server.client().await;
    subscribe(&mut client).await;
    server.world.hub.forget_sessions(server.key());
    server.world.hub.push(server.key(), nearest("lost"));
    let question = client.send(&f::updates::GetState {}.to_bytes()).await;
    let created = client.wait(|it| it.is::<tl::enums::NewSession>()).await;
    let tl::enums::NewSession::Created(created) = created;
    assert_eq!(created.first_msg_id, question);
    client.answer(question).await.expect("answered");
    server.world.hub.push(server.key(), nearest("heard"));
    let heard = client.next().await;
    assert_eq!(heard.body, nearest("heard"));
}

#[tokio::test]
async fn the_server_asks_for_what_is_not_acknowledged() {
    let server = start().await;
    let mut client = server.client().await;
    subscribe(&mut client).await;
    server.world.hub.push(server.key(), nearest("pushed"));
    let pushed = client
        .wait(|it| (it.body == nearest("pushed")).then_some(it.id))
        .await;
    server.world.hub.ask_states(server.key());
    let asked = client.wait(|it| it.is::<tl::enums::MsgsStateReq>()).await;
    let tl::enums::MsgsStateReq::Req(asked) = asked;
    assert!(asked.msg_ids.contains(&pushed));
}

#[tokio::test]
async fn a_long_push_that_was_lost_is_announced_and_sent_when_it_is_asked_for() {
    let server = start().await;
    let mut client = server.client().await;
    subscribe(&mut client).await;
    let mut long = vec![0; 300 << 10];
    rand::fill(&mut long[..]);
    server.world.hub.push(server.key(), long.clone());
    let lost = client.wait(|it| (it.body == long).then_some(it.id)).await;
    client.reconnect(server.wire.address()).await;
    client.send(&f::updates::GetState {}.to_bytes()).await;
    let word = client.wait(|it| it.is::<tl::enums::MsgDetailedInfo>()).await;
    let tl::enums::MsgDetailedInfo::MsgNewDetailedInfo(word) = word else {
        panic!("of an answer")
    };
    assert_eq!((word.answer_msg_id, word.bytes as usize), (lost, long.len()));
    let ask = tl::enums::MsgResendReq::Req(tl::types::MsgResendReq { msg_ids: vec![lost] });
    client.send(&ask.to_bytes()).await;
    client.wait(|it| (it.body == long).then_some(())).await;
}

#[tokio::test]
async fn a_salt_that_has_had_its_time_is_refused() {
    let server = start().await;
    let mut client = server.client().await;
    // The first salt is good for two periods.
    server.world.hub.set_manners(trunkline::sandbox::rpc::Manners {
        salt_period: 1,
        ..Default::default()
    });
    client.salt = loop {
        let question = client.send(&f::help::GetNearestDc {}.to_bytes()).await;
        let refused = |it: &client::Incoming| match it.is::<tl::enums::BadMsgNotification>() {
            Some(tl::enums::BadMsgNotification::BadServerSalt(bad)) => Some(Some(bad)),
            _ => answer_to(it, question).map(|_| None),
        };
        if let Some(bad) = client.wait(refused).await {
            assert_eq!((bad.bad_msg_id, bad.error_code), (question, 48));
            break bad.new_server_salt;
        }
    };
    client.call(&f::help::GetNearestDc {}).await.expect("a good one");
}

#[tokio::test]
async fn up_to_fifteen_bytes_follow_a_padded_packet() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = start().await;
    for long in [false, true] {
        let long_padding = Switch::new(long);
        server.world.hub.set_manners(trunkline::sandbox::rpc::Manners {
            long_padding: long_padding.clone(),
            ..Default::default()
        });
        // Another transport leaves it alone.
        server.client().await;
        assert_eq!(long_padding.reached(), 0);
        let mut stream = tokio::net::TcpStream::connect(server.wire.address())
            .await
            .expect("listens");
        stream.write_all(&[0xdd; 4]).await.expect("open");
        let query = f::ReqPqMulti { nonce: [7; 16] }.to_bytes();
        let mut most = 0;
        for number in 0..40i64 {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .expect("now");
            let id = (now.as_secs().cast_signed() << 32) + number * 4;
            let mut packet = (20 + query.len() as u32).to_le_bytes().to_vec();
            packet.extend_from_slice(&[0; 8]);
            packet.extend_from_slice(&id.to_le_bytes());
            packet.extend_from_slice(&(query.len() as u32).to_le_bytes());
            packet.extend_from_slice(&query);
            stream.write_all(&packet).await.expect("open");
            let length = stream.read_u32_le().await.expect("an answer") as usize;
            let mut answer = vec![0; length];
            stream.read_exact(&mut answer).await.expect("whole");
            let said = u32::from_le_bytes(answer[16..20].try_into().expect("four bytes")) as usize;
            most = most.max(length - 20 - said);
        }
        assert_eq!((most > 3, long_padding.reached() > 0), (long, long), "{most}");
    }
}
