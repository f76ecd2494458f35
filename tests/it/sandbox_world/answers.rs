//! What a call that sends is answered with: read marks, states, order; and what a channel's difference says beside.

use trunkline::sandbox::world::weather::Secret;

use super::*;

fn read_marks(updates: &[enums::Update]) -> Vec<(i32, i32)> {
    let marks = updates.iter().filter_map(|update| match update {
        enums::Update::ReadHistoryInbox(read) => Some((read.pts, read.pts_count)),
        enums::Update::ReadChannelInbox(read) => Some((read.pts, 0)),
        _ => None,
    });
    marks.collect()
}

fn news(updates: &[enums::Update]) -> Vec<(i32, i32)> {
    let news = updates.iter().filter_map(|update| match update {
        enums::Update::NewMessage(new) => Some((new.pts, new.pts_count)),
        enums::Update::NewChannelMessage(new) => Some((new.pts, new.pts_count)),
        _ => None,
    });
    news.collect()
}

#[tokio::test]
async fn an_answer_in_a_private_chat_reads_what_was_unread() {
    let (_telegram, _world, alice, bob) = two().await;
    let to_alice = bob.resolve("alice").await;
    let to_bob = alice.resolve("bobby").await;
    bob.send(&to_alice, "hello", 1).await;
    let before = alice.state().await.pts;
    let answer = updates(alice.send(&to_bob, "hi", 2).await);
    assert_eq!(read_marks(&answer), [(before + 1, 1)]);
    assert_eq!(news(&answer), [(before + 2, 1)]);
    assert!(matches!(
        alice.send(&to_bob, "again", 3).await,
        enums::Updates::UpdateShortSentMessage(sent) if sent.pts == before + 3
    ));
}

#[tokio::test]
async fn a_post_reads_its_channel_in_the_state_that_it_makes() {
    let (_telegram, world, alice, _bob) = two().await;
    channel(&world, NewChatKind::Channel);
    let place = alice.resolve("the_place").await;
    let (mut orders, mut read) = (std::collections::BTreeSet::new(), 0);
    for n in 1..=6 {
        let answer = updates(alice.send(&place, "news", n).await);
        let [(pts, count)] = news(&answer)[..] else {
            panic!("one message: {answer:?}")
        };
        assert_eq!(count, 1);
        assert_eq!(read_marks(&answer), [(pts, 0)]);
        assert!(pts > read);
        read = pts;
        let is_name = |update: &enums::Update| matches!(update, enums::Update::MessageId(_));
        orders.insert(answer.iter().position(is_name).expect("its number"));
    }
    assert!(orders.len() > 1, "the name stands always in one place");
}

#[tokio::test]
async fn a_repeat_has_the_state_of_its_first_message() {
    let (telegram, _world, alice, _bob) = two().await;
    let peer = alice.resolve("bobby").await;
    let enums::Updates::UpdateShortSentMessage(first) = alice.send(&peer, "one", 1).await else {
        panic!("a short answer")
    };
    alice.send(&peer, "two", 2).await;
    let again = updates(alice.send(&peer, "one", 1).await);
    assert_eq!(news(&again), [(first.pts, 1)]);
    telegram.world(|state| state.switches.repeat_keeps_pts.turn(false));
    let again = updates(alice.send(&peer, "one", 1).await);
    assert_eq!(news(&again), [(first.pts + 1, 0)]);
}

#[tokio::test]
async fn a_message_removed_at_once_is_answered_empty_and_unnamed() {
    let (_telegram, world, alice, bob) = two().await;
    channel(&world, NewChatKind::Supergroup);
    let place = alice.resolve("the_place").await;
    let before = bob.state().await.pts;
    for peer in [place, alice.resolve("bobby").await] {
        world
            .fault(fault(
                r#"{"kind":"removed_at_once","method":"messages.sendMessage"}"#,
            ))
            .expect("added");
        let state = alice.state().await.pts;
        let answer = updates(alice.send(&peer, "spam", 7).await);
        assert!(!answer.iter().any(|it| matches!(it, enums::Update::MessageId(_))));
        assert!(new_messages(answer.clone()).is_empty());
        assert!(matches!(news(&answer)[..], [(_, 0)]));
        assert_eq!(alice.state().await.pts, state);
    }
    assert_eq!(bob.state().await.pts, before);
}

#[tokio::test]
async fn an_answer_that_is_lost_has_done_its_work() {
    let (_telegram, world, alice, bob) = two().await;
    let peer = alice.resolve("bobby").await;
    let lost = r#"{"kind":"lost_answer","method":"messages.sendMessage"}"#;
    world.fault(fault(lost)).expect("added");
    let before = bob.state().await.pts;
    let reply = alice.raw(send(&peer, "hello", 1).to_bytes()).await;
    assert!(matches!(reply, Reply::Silence));
    assert_eq!(bob.state().await.pts, before + 1);
}

#[tokio::test]
async fn a_channel_difference_names_a_time_only_when_it_is_final_and_has_a_reach() {
    let (telegram, world, alice, bob) = two().await;
    channel(&world, NewChatKind::Channel);
    let place = alice.resolve("the_place").await;
    for n in 1..=15 {
        alice.send(&place, "news", n).await;
    }
    let enums::InputPeer::Channel(peer) = bob.resolve("the_place").await else {
        panic!("a channel")
    };
    let request = f::updates::GetChannelDifference {
        force: false,
        channel: types::InputChannel {
            channel_id: peer.channel_id,
            access_hash: peer.access_hash,
        }
        .into(),
        filter: enums::ChannelMessagesFilter::Empty,
        pts: 1,
        limit: 1,
    };
    let enums::updates::ChannelDifference::Difference(part) = bob.ask(request.clone()).await else {
        panic!("a part")
    };
    assert_eq!(world.switches().short_differences.reached(), 1);
    assert_eq!(
        (part.r#final, part.timeout, part.new_messages.len()),
        (false, None, 10)
    );
    let rest = f::updates::GetChannelDifference {
        pts: part.pts,
        ..request.clone()
    };
    let enums::updates::ChannelDifference::Difference(rest) = bob.ask(rest).await else {
        panic!("the rest")
    };
    assert!(rest.r#final && rest.timeout.is_some());
    telegram.world(|state| state.settings.events_kept = 5);
    let answer = bob.ask(request.clone()).await;
    assert!(matches!(answer, enums::updates::ChannelDifference::TooLong(_)));
    telegram.world(|state| {
        state.settings.events_kept = 500;
        state.switches.too_long_beyond_limit.turn(true);
    });
    let answer = bob.ask(request).await;
    assert!(matches!(answer, enums::updates::ChannelDifference::TooLong(_)));
}

#[tokio::test]
async fn a_bot_may_ask_for_more_of_a_channels_difference_than_a_user() {
    let (telegram, world, alice, bob) = two().await;
    let place = channel(&world, NewChatKind::Channel);
    let who = Who::Name("alice".into());
    world.burst(place, &who, "news", 150).expect("posted");
    let enums::InputPeer::Channel(peer) = bob.resolve("the_place").await else {
        panic!("a channel")
    };
    let request = f::updates::GetChannelDifference {
        force: false,
        channel: types::InputChannel {
            channel_id: peer.channel_id,
            access_hash: peer.access_hash,
        }
        .into(),
        filter: enums::ChannelMessagesFilter::Empty,
        pts: 1,
        limit: 140,
    };
    for (bot, most) in [(false, 100), (true, 140)] {
        telegram.world(|state| state.account_mut(5_000_002).expect("bob").bot = bot);
        let enums::updates::ChannelDifference::Difference(part) = bob.ask(request.clone()).await else {
            panic!("a part")
        };
        assert_eq!(part.new_messages.len(), most);
    }
    assert_eq!(world.switches().short_differences.reached(), 1);
    drop(alice);
}

#[tokio::test]
async fn parts_of_a_difference_move_what_is_not_of_the_sequence_alone() {
    let (telegram, world, alice, bob) = two().await;
    let place = channel(&world, NewChatKind::Channel);
    let before = bob.state().await;
    world.say(place, 5_000_001, "news").expect("posted");
    let peer = alice.resolve("bobby").await;
    for n in 1..=30 {
        alice.send(&peer, &format!("text {n}"), n).await;
    }
    telegram.world(|state| {
        let date = state.date();
        let account = state.account_mut(5_000_002).expect("bob");
        account.qts += 12;
        account.secrets.extend((1..=12).map(|qts| Secret {
            qts,
            date,
            random_id: qts.into(),
        }));
    });
    let mut here = (before.pts, before.qts, before.date - 100);
    let (mut moved, mut texts, mut secrets, mut announced) = (Vec::new(), Vec::new(), 0, 0);
    loop {
        let request = f::updates::GetDifference {
            pts: here.0,
            pts_limit: Some(10),
            pts_total_limit: None,
            date: here.2,
            qts: here.1,
            qts_limit: None,
        };
        let (part, last) = match bob.ask(request).await {
            enums::updates::Difference::Slice(it) => (
                types::updates::Difference {
                    new_messages: it.new_messages,
                    new_encrypted_messages: it.new_encrypted_messages,
                    other_updates: it.other_updates,
                    chats: it.chats,
                    users: it.users,
                    state: it.intermediate_state,
                },
                false,
            ),
            enums::updates::Difference::Difference(it) => (it, true),
            other => panic!("{other:?}"),
        };
        let enums::updates::State::State(state) = part.state;
        texts.extend(said(part.new_messages).into_iter().map(|message| message.message));
        secrets += part.new_encrypted_messages.len();
        let is_word = |update: &&enums::Update| matches!(update, enums::Update::ChannelTooLong(_));
        announced += part.other_updates.iter().filter(is_word).count();
        moved.push((state.pts != here.0, state.qts != here.1, state.date != here.2));
        here = (state.pts, state.qts, state.date);
        if last {
            break;
        }
        assert!(moved.len() < 20, "it leads nowhere: {moved:?}");
    }
    assert_eq!(moved[..2], [(false, true, false); 2], "secret chats first");
    assert_eq!(moved[2], (false, false, true), "then chats");
    assert!(moved[3..].iter().all(|(pts, qts, _)| *pts && !qts), "{moved:?}");
    let all: Vec<String> = (1..=30).map(|n| format!("text {n}")).collect();
    assert_eq!((texts, secrets), (all, 12));
    assert!(announced > 0);
    let present = bob.state().await;
    assert_eq!((here.0, here.1), (present.pts, present.qts));

    // Who was there a moment ago gets on with each part, and hears of chats at the end.
    let lately = f::updates::GetDifference {
        pts: before.pts,
        pts_limit: Some(10),
        pts_total_limit: None,
        date: present.date - 15,
        qts: present.qts,
        qts_limit: None,
    };
    let enums::updates::Difference::Slice(part) = bob.ask(lately.clone()).await else {
        panic!("a part")
    };
    let enums::updates::State::State(state) = part.intermediate_state;
    assert!(state.pts > before.pts);
    assert_eq!(state.date, lately.date);
}
