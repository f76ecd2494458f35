//! What a session answers to messages, well formed and not.

use proptest::prelude::*;
use tl::Deserializable;

use super::super::envelope::{is_container, open_container};
use super::*;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const HERE: ConnectionId = 1;
const THERE: ConnectionId = 2;

fn attached() -> Session {
    let mut session = Session::default();
    session.attach(HERE);
    session
}

fn body(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// All messages for a connection, out of their containers.
fn sent(session: &mut Session, connection: ConnectionId) -> Vec<Message> {
    let mut out = Vec::new();
    while let Some(message) = session.take(connection, NOW) {
        if is_container(&message.body) {
            let inner = open_container(&message.body).expect("sound");
            assert!(
                inner.iter().all(|it| it.id < message.id),
                "a container's id is the highest"
            );
            assert_eq!(message.seq_no % 2, 0);
            out.extend(inner);
        } else {
            out.push(message);
        }
    }
    out
}

#[test]
fn ids_rise_and_sequence_numbers_count_content() {
    let mut session = attached();
    session.reply(HERE, b"pong".to_vec());
    session.push(body("up_1")).expect("within bounds");
    assert_eq!(session.receive_call(8), Receipt::New);
    session.answer(8, true, body("res_"));
    session.note(b"note".to_vec());
    let all = sent(&mut session, HERE);
    assert_eq!(all.iter().map(|it| it.seq_no).collect::<Vec<_>>(), [0, 1, 3, 4]);
    assert_eq!(all.iter().map(|it| it.id % 4).collect::<Vec<_>>(), [1, 3, 1, 1]);
    assert!(all.is_sorted_by(|a, b| a.id < b.id));
    assert!(
        all.iter()
            .all(|it| it.id >> 32 == NOW.as_secs() as i64 && it.id as u32 != 0)
    );
}

#[test]
fn a_call_is_received_once_and_its_answer_repeated() {
    let mut session = attached();
    assert_eq!(session.receive_call(8), Receipt::New);
    assert_eq!(session.receive_call(8), Receipt::Repeated);
    session.repeat(8);
    assert_eq!(sent(&mut session, HERE), [], "it is still being worked on");
    session.answer(8, true, body("res_"));
    let first = sent(&mut session, HERE);
    session.repeat(8);
    assert_eq!(
        sent(&mut session, HERE),
        first,
        "the same message, not another one"
    );

    session.acknowledge(&[first[0].id]);
    session.repeat(8);
    let again = sent(&mut session, HERE);
    let tl::enums::MsgDetailedInfo::Info(info) =
        tl::enums::MsgDetailedInfo::from_bytes(&again[0].body).expect("word of the answer")
    else {
        panic!("of an answer")
    };
    assert_eq!((info.msg_id, info.answer_msg_id, info.bytes), (8, first[0].id, 4));
}

#[test]
fn unacknowledged_content_goes_to_the_next_connection() {
    let mut session = attached();
    session.push(body("up_1")).expect("within bounds");
    session.push(body("up_2")).expect("within bounds");
    session.reply(HERE, b"pong".to_vec());
    let first = sent(&mut session, HERE);
    session.acknowledge(&[first[0].id]);
    session.reply(HERE, b"gone".to_vec());
    session.detach(HERE);
    session.push(body("up_3")).expect("within bounds");
    session.attach(THERE);
    let second = sent(&mut session, THERE);
    assert_eq!(second[0], first[1], "the same id and number");
    assert_eq!(second[1].body, "up_3");
    assert_eq!(
        second.len(),
        2,
        "what was for the old connection only is gone with it"
    );
    session.attach(THERE);
    assert_eq!(sent(&mut session, THERE), []);
}

#[test]
fn two_connections_share_a_session() {
    let mut session = attached();
    session.attach(THERE);
    session.push(body("push")).expect("within bounds");
    session.reply(HERE, b"pong".to_vec());
    assert_eq!(sent(&mut session, HERE)[0].body, "pong");
    assert_eq!(sent(&mut session, THERE)[0].body, "push");
    session.detach(THERE);
    assert_eq!(
        sent(&mut session, HERE)[0].body,
        "push",
        "the other one takes over"
    );
}

#[test]
fn a_new_session_is_announced_once() {
    let mut session = attached();
    session.announce(8, 77);
    session.announce(12, 78);
    let all = sent(&mut session, HERE);
    assert_eq!(all.len(), 1);
    let tl::enums::NewSession::Created(created) =
        tl::enums::NewSession::from_bytes(&all[0].body).expect("new_session_created");
    assert_eq!((created.first_msg_id, created.server_salt), (8, 77));
    assert_eq!((all[0].seq_no, all[0].id % 4), (1, 3));
}

#[test]
fn states_tell_what_became_of_each() {
    let mut session = attached();
    session.receive_container(20);
    session.receive_call(8);
    session.receive_call(16);
    session.answer(8, true, body("res_"));
    assert_eq!(
        session.states(&[8, 16, 20, 12, 24]),
        [4 + 32 + 64, 4 + 32, 4 + 16, 2, 3]
    );
    sent(&mut session, HERE);
    assert_eq!(session.states(&[8]), [4 + 32 + 64]);
}

#[test]
fn a_dropped_answer_is_not_sent() {
    use tl::enums::RpcDropAnswer as Verdict;
    let mut session = attached();
    session.receive_call(8);
    assert!(matches!(session.drop_answer(8), Verdict::RpcAnswerDroppedRunning));
    session.answer(8, true, body("res_"));
    assert_eq!(sent(&mut session, HERE), []);
    assert_eq!(session.call_state(8), CallState::Failed);

    session.receive_call(12);
    session.answer(12, true, body("res_"));
    assert!(matches!(session.drop_answer(12), Verdict::RpcAnswerDropped(_)));
    assert_eq!(sent(&mut session, HERE), []);

    session.receive_call(16);
    session.answer(16, true, body("res_"));
    let answer = sent(&mut session, HERE);
    let Verdict::RpcAnswerDropped(dropped) = session.drop_answer(16) else {
        panic!("it was there")
    };
    assert_eq!(
        (dropped.msg_id, dropped.seq_no, dropped.bytes),
        (answer[0].id, answer[0].seq_no, 4)
    );
    assert!(matches!(session.drop_answer(16), Verdict::RpcAnswerUnknown));
    assert!(matches!(session.drop_answer(444), Verdict::RpcAnswerUnknown));
}

#[test]
fn what_is_asked_for_again_comes_again_or_is_denied() {
    let mut session = attached();
    session.receive_call(8);
    session.answer(8, false, body("err_"));
    let first = sent(&mut session, HERE);
    assert!(session.resend(&[first[0].id]));
    assert_eq!(sent(&mut session, HERE), first);
    assert!(session.resend_answers(&[8]));
    assert_eq!(sent(&mut session, HERE), first);
    assert!(!session.resend(&[5]));
    assert!(!session.resend_answers(&[444]));
    assert_eq!(session.call_state(8), CallState::Failed);
    assert_eq!(session.call_state(444), CallState::Unknown);
}

#[test]
fn a_call_that_was_cut_off_may_come_again() {
    let mut session = attached();
    session.receive_call(8);
    session.forget_call(8);
    assert_eq!(session.receive_call(8), Receipt::New);
}

#[test]
fn memory_has_an_end() {
    let mut session = attached();
    for n in 1..=MAX_REMEMBERED as i64 + 10 {
        assert_eq!(session.receive_call(n * 4), Receipt::New);
    }
    assert_eq!(session.receive_call(4), Receipt::TooOld);
    assert_eq!(session.states(&[4]), [1]);
    for _ in 0..MAX_UNACKED + 10 {
        session.push(body("push")).expect("within bounds");
    }
    sent(&mut session, HERE);
    assert_eq!(session.unacked.len(), MAX_UNACKED);
    assert_eq!(session.unacked_bytes, MAX_UNACKED * 4);
}

#[test]
fn who_does_not_listen_lags() {
    let mut session = attached();
    assert!((0..MAX_QUEUED).all(|_| session.push(body("push")).is_ok()));
    assert_eq!(session.push(body("push")), Err(Lagging));
    let mut session = Session::default();
    assert!((0..MAX_QUEUED_OFFLINE).all(|_| session.push(body("push")).is_ok()));
    assert_eq!(session.push(body("push")), Err(Lagging));
}

proptest! {
    #[test]
    fn every_push_arrives_once_and_in_order_over_many_connections(
        steps in proptest::collection::vec((0u8..4, 0usize..5), 1..60),
    ) {
        let mut session = Session::default();
        let mut connection = 0;
        let (mut pushed, mut seen) = (0u32, Vec::<(i64, u32)>::new());
        let mut listen = |session: &mut Session, connection| {
            for message in sent(session, connection) {
                let number = u32::from_le_bytes(message.body[..].try_into().expect("four bytes"));
                if !seen.iter().any(|(id, _)| *id == message.id) {
                    seen.push((message.id, number));
                }
                session.acknowledge(&[message.id]);
            }
        };
        for (step, count) in steps {
            match step {
                0 => for _ in 0..count {
                    session.push(Bytes::copy_from_slice(&pushed.to_le_bytes())).expect("within bounds");
                    pushed += 1;
                },
                1 => {
                    session.detach(connection);
                    connection += 1;
                    session.attach(connection);
                }
                // Sent, but the connection breaks before it arrives.
                2 => { while session.take(connection, NOW).is_some() {} session.detach(connection); }
                _ => listen(&mut session, connection),
            }
        }
        session.detach(connection);
        session.attach(connection + 1);
        listen(&mut session, connection + 1);
        seen.sort_by_key(|(id, _)| *id);
        let numbers: Vec<u32> = seen.into_iter().map(|(_, number)| number).collect();
        prop_assert_eq!(numbers, (0..pushed).collect::<Vec<_>>());
        prop_assert_eq!(session.queued_bytes, 0);
        prop_assert_eq!(session.unacked_bytes, 0);
    }
}
