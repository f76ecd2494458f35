//! The rules of the world, without a connection or a clock.

use super::account::What;
use super::changing::Change;
use super::chat::Role;
use super::codes::{Code, Proof, Sent, SignIn};
use super::content::{Action, Body, Media};
use super::entities::{Entity, Kind};
use super::files::FileKind;
use super::posting::Draft;
use super::topics::{GENERAL, TopicChange};
use super::touching::Touch;
use super::{News, Peer, Place, Refusal, State};

const ALICE: i64 = 101;
const BOB: i64 = 102;
const CAROL: i64 = 103;

fn world() -> State {
    let mut state = State::new(7);
    state.now = 1_700_000_000_000;
    for (id, name) in [(ALICE, "Alice"), (BOB, "Bob"), (CAROL, "Carol")] {
        state
            .add_user(Some(id), &format!("7000{id}"), name, "")
            .expect("a user");
    }
    state
}

fn say(state: &mut State, who: i64, peer: Peer, text: &str) -> i32 {
    let uid = state.post(who, peer, Draft::text(text)).expect("posted");
    state.contents[&uid].number_for(who).expect("a number")
}

fn pts(state: &State, account: i64) -> i32 {
    state.accounts[&account].pts
}

#[test]
fn both_sides_hold_a_copy_under_their_own_number() {
    let mut state = world();
    say(&mut state, BOB, Peer::User(CAROL), "first");
    let mine = say(&mut state, ALICE, Peer::User(BOB), "hello");
    assert_eq!(mine, 1);
    let theirs = state.held(BOB, 2).expect("held");
    assert_eq!((theirs.text(), theirs.number_for(ALICE)), ("hello", Some(1)));
    assert_eq!(
        (pts(&state, ALICE), pts(&state, BOB), pts(&state, CAROL)),
        (2, 3, 2)
    );
    assert_eq!(
        state.dialog(BOB, Peer::User(ALICE)).map(|dialog| dialog.unread),
        Some(1)
    );
}

#[test]
fn every_event_moves_the_state_by_its_count_and_is_told_in_order() {
    let mut state = world();
    let group = state.create_group(ALICE, "Team", &[BOB]).expect("a group");
    let peer = Peer::Group(group);
    let ids: Vec<i32> = (0..3)
        .map(|n| say(&mut state, ALICE, peer, &format!("{n}")))
        .collect();
    state.edit(ALICE, peer, ids[0], edit("nought")).expect("edited");
    assert_eq!(state.delete(ALICE, &ids[..2], true), Ok(2));
    for account in [ALICE, BOB] {
        let log = &state.accounts[&account].log;
        let mut at = 1;
        for entry in log {
            at += entry.count;
            assert_eq!(entry.pts, at);
        }
        assert_eq!(at, pts(&state, account));
        assert_eq!(at, 1 + 1 + 3 + 1 + 2);
    }
    let told: Vec<i32> = state
        .news
        .iter()
        .filter_map(|news| match news {
            News::Account { account: BOB, entry } => Some(entry.pts),
            _ => None,
        })
        .collect();
    assert_eq!(told, [2, 3, 4, 5, 6, 8]);
}

fn edit(text: &str) -> Change {
    Change {
        text: Some((text.to_owned(), Vec::new())),
        ..Change::default()
    }
}

#[test]
fn a_random_id_counts_per_account_and_peer() {
    let mut state = world();
    let named = |text: &str| Draft {
        random_id: 55,
        ..Draft::text(text)
    };
    let first = state.post(ALICE, Peer::User(BOB), named("one")).expect("posted");
    assert_eq!(state.repeated(ALICE, Peer::User(BOB), 55), Some(first));
    assert_eq!(state.repeated(ALICE, Peer::User(CAROL), 55), None);
    assert_eq!(state.repeated(BOB, Peer::User(ALICE), 55), None);
}

#[test]
fn a_channel_has_one_sequence_for_all() {
    let mut state = world();
    let id = state.create_channel(ALICE, "News", "", true).expect("a channel");
    state.bring_in(ALICE, Peer::Channel(id), &[BOB]).expect("came in");
    let post = say(&mut state, ALICE, Peer::Channel(id), "post");
    assert_eq!((post, state.channels[&id].pts), (2, 3));
    let refused = state.post(BOB, Peer::Channel(id), Draft::text("me too")).err();
    assert_eq!(refused, Some(Refusal::forbidden("CHAT_WRITE_FORBIDDEN")));
    let outside = state.post(CAROL, Peer::Channel(id), Draft::text("me too")).err();
    assert_eq!(outside, Some(Refusal::bad("CHANNEL_PRIVATE")));
    assert_eq!(state.channels[&id].unread_of(BOB), 1);
    assert_eq!(state.read_channel(BOB, id, 0), Ok(true));
    assert_eq!(state.channels[&id].unread_of(BOB), 0);
    assert_eq!(
        state.delete_in_channel(BOB, id, &[post]),
        Err(Refusal::forbidden("MESSAGE_DELETE_FORBIDDEN"))
    );
    assert_eq!(state.delete_in_channel(ALICE, id, &[post, post, 99]), Ok(1));
    assert_eq!(state.channels[&id].pts, 4);
    assert_eq!((pts(&state, ALICE), pts(&state, BOB)), (1, 1));
}

#[test]
fn slow_mode_counts_an_album_once() {
    let mut state = world();
    let id = state
        .create_channel(ALICE, "Slow", "", false)
        .expect("a supergroup");
    state.bring_in(ALICE, Peer::Channel(id), &[BOB]).expect("came in");
    state
        .adjust_channel(ALICE, id, |channel| channel.slow_mode = 10)
        .expect("adjusted");
    let two = vec![Draft::text("a"), Draft::text("b")];
    assert_eq!(
        state.post_all(BOB, Peer::Channel(id), two).map(|uids| uids.len()),
        Ok(2)
    );
    state.now += 3_500;
    let refused = state.post(BOB, Peer::Channel(id), Draft::text("c")).err();
    assert_eq!(refused, Some(Refusal::wait("SLOWMODE_WAIT", 7)));
    state.now += 6_500;
    assert!(state.post(BOB, Peer::Channel(id), Draft::text("c")).is_ok());
    assert!(state.post(ALICE, Peer::Channel(id), Draft::text("d")).is_ok());
    assert!(state.post(ALICE, Peer::Channel(id), Draft::text("e")).is_ok());
}

#[test]
fn reading_tells_both_sides_and_again_tells_nobody() {
    let mut state = world();
    let hello = say(&mut state, ALICE, Peer::User(BOB), "hello");
    assert_eq!(state.read(BOB, Peer::User(ALICE), 0), Ok(true));
    assert_eq!(state.read(BOB, Peer::User(ALICE), 0), Ok(false));
    let last = &state.accounts[&ALICE].log.back().expect("an event").what;
    assert_eq!(
        *last,
        What::ReadOutbox {
            peer: Peer::User(BOB),
            max_id: hello
        }
    );
    assert_eq!(
        state.dialog(BOB, Peer::User(ALICE)).map(|dialog| dialog.unread),
        Some(0)
    );
}

#[test]
fn edits_are_for_authors_in_time_and_must_change_something() {
    let mut state = world();
    let id = say(&mut state, ALICE, Peer::User(BOB), "hello");
    let peer = Peer::User(BOB);
    assert_eq!(
        state.edit(ALICE, peer, id, edit("hello")),
        Err(Refusal::bad("MESSAGE_NOT_MODIFIED"))
    );
    assert_eq!(
        state.edit(BOB, Peer::User(ALICE), 1, edit("x")),
        Err(Refusal::forbidden("MESSAGE_AUTHOR_REQUIRED"))
    );
    assert_eq!(
        state.edit(ALICE, peer, 77, edit("x")),
        Err(Refusal::bad("MESSAGE_ID_INVALID"))
    );
    assert!(state.edit(ALICE, peer, id, edit("hi")).is_ok());
    state.now += 172_800_001;
    assert_eq!(
        state.edit(ALICE, peer, id, edit("late")),
        Err(Refusal::bad("MESSAGE_EDIT_TIME_EXPIRED"))
    );
}

#[test]
fn no_time_limits_the_edits_of_who_runs_a_channel() {
    let mut state = world();
    for (broadcast, limited) in [(true, false), (false, true)] {
        let channel = state
            .add_channel(None, ALICE, "Many", broadcast, &[BOB])
            .expect("made");
        let peer = Peer::Channel(channel);
        let own = say(&mut state, ALICE, peer, "hello");
        let other = (!broadcast).then(|| say(&mut state, BOB, peer, "hello too"));
        state.now += 172_800_001;
        assert!(state.edit(ALICE, peer, own, edit("hi")).is_ok());
        let late = other.map(|other| state.edit(BOB, peer, other, edit("late")));
        assert_eq!(
            late,
            limited.then_some(Err(Refusal::bad("MESSAGE_EDIT_TIME_EXPIRED")))
        );
    }
}

#[test]
fn a_deletion_for_oneself_leaves_the_other_copy() {
    let mut state = world();
    let id = say(&mut state, ALICE, Peer::User(BOB), "hello");
    assert_eq!(state.delete(ALICE, &[id, 99], false), Ok(1));
    assert!(state.held(ALICE, id).is_none());
    assert!(
        state
            .held(BOB, 1)
            .is_some_and(|content| content.deleted_at.is_none())
    );
    assert_eq!(state.delete(BOB, &[1], true), Ok(1));
    assert_eq!(state.delete(BOB, &[1], true), Ok(0));
}

#[test]
fn texts_have_their_limits() {
    let mut state = world();
    let post = |state: &mut State, draft| state.post(ALICE, Peer::User(BOB), draft).err();
    assert_eq!(
        post(&mut state, Draft::text(" \n")),
        Some(Refusal::bad("MESSAGE_EMPTY"))
    );
    assert_eq!(post(&mut state, Draft::text(&"😀".repeat(2048))), None);
    assert_eq!(
        post(&mut state, Draft::text(&"😀".repeat(2049))),
        Some(Refusal::bad("MESSAGE_TOO_LONG"))
    );
    let out = Draft {
        entities: vec![Entity::plain(Kind::Bold, 3, 3)],
        ..Draft::text("hello")
    };
    assert_eq!(post(&mut state, out), Some(Refusal::bad("ENTITY_BOUNDS_INVALID")));
    let file = state.keep_file(
        vec![1],
        FileKind::Document {
            mime: "a/b".into(),
            attributes: vec![],
        },
    );
    let media = Some(Media::File { file, spoiler: false });
    let long = Draft {
        media,
        ..Draft::text(&"x".repeat(1025))
    };
    assert_eq!(
        post(&mut state, long),
        Some(Refusal::bad("MEDIA_CAPTION_TOO_LONG"))
    );
}

#[test]
fn a_forward_keeps_its_first_author_and_a_copy_has_none() {
    let mut state = world();
    let id = state.create_channel(ALICE, "News", "", true).expect("a channel");
    let post = say(&mut state, ALICE, Peer::Channel(id), "post");
    let draft = state
        .forwarded(ALICE, Peer::Channel(id), post, Peer::User(BOB), false, false)
        .expect("a draft");
    state.post(ALICE, Peer::User(BOB), draft).expect("posted");
    let further = state
        .forwarded(BOB, Peer::User(ALICE), 1, Peer::User(CAROL), false, false)
        .expect("a draft");
    let origin = further.forward.expect("an origin");
    assert_eq!((origin.from, origin.post), (Peer::Channel(id), Some(post)));
    let copy = state
        .forwarded(BOB, Peer::User(ALICE), 1, Peer::User(CAROL), true, false)
        .expect("a draft");
    assert!(copy.forward.is_none());
    state
        .adjust_channel(ALICE, id, |channel| channel.noforwards = true)
        .expect("adjusted");
    let refused = state
        .forwarded(ALICE, Peer::Channel(id), post, Peer::User(BOB), false, false)
        .err();
    assert_eq!(refused, Some(Refusal::bad("CHAT_FORWARDS_RESTRICTED")));
}

fn sent(state: &mut State, key: i64, phone: &str) -> Code {
    match state.send_code(key, phone, &[]) {
        Ok(Sent::Code(code)) => code,
        other => panic!("no code: {other:?}"),
    }
}

#[test]
fn a_code_is_the_key_s_that_asked_and_takes_its_time() {
    let mut state = world();
    let phone = "+7000101";
    let code = sent(&mut state, 1, phone);
    let right = Proof::Typed(&code.code);
    let expired = Err(Refusal::bad("PHONE_CODE_EXPIRED"));
    assert_eq!(state.sign_in(2, phone, &code.hash, right), expired, "another's");
    let early = state.resend_code(1, phone, &code.hash).err();
    assert_eq!(early, Some(Refusal::other(406, "SEND_CODE_UNAVAILABLE")));
    state.now += state.settings.resend_after;
    let called = state.resend_code(1, phone, &code.hash).expect("sent again");
    assert_eq!(called.way, super::ways::Way::Call);
}

#[test]
fn a_future_token_of_a_log_out_spares_one_code() {
    let mut state = world();
    let phone = "7000101";
    assert_eq!(state.future_token(ALICE), None, "nobody is given any");
    let plan = super::ways::Plan {
        future_tokens: true,
        ..Default::default()
    };
    state.keys.plans.insert(phone.to_owned(), plan);
    let token = state.future_token(ALICE).expect("given");
    let of_another = state.send_code(1, "7000102", std::slice::from_ref(&token));
    assert!(matches!(of_another, Ok(Sent::Code(_))));
    let done = state.send_code(1, phone, std::slice::from_ref(&token));
    assert!(matches!(done, Ok(Sent::Done(ALICE))), "{done:?}");
    let again = state.send_code(2, phone, &[token]);
    assert!(matches!(again, Ok(Sent::Code(_))), "it is used up");
}

#[test]
fn a_code_logs_in_once_and_wrong_ones_are_counted() {
    let mut state = world();
    let phone = "+7000101";
    let code = sent(&mut state, 1, phone);
    assert_eq!(
        state.sign_in(1, phone, &code.hash, Proof::Typed("abc")),
        Err(Refusal::bad("PHONE_CODE_INVALID"))
    );
    assert_eq!(
        state.sign_in(1, phone, &code.hash, Proof::Typed(&code.code)),
        Ok(SignIn::Done(ALICE))
    );
    assert_eq!(
        state.sign_in(2, phone, &code.hash, Proof::Typed(&code.code)),
        Err(Refusal::bad("PHONE_CODE_EXPIRED"))
    );
    assert_eq!(state.user_of(1), Ok(ALICE));
    state.end_key(1, "SESSION_REVOKED");
    assert_eq!(state.user_of(1), Err(Refusal::unauthorized("SESSION_REVOKED")));
    assert_eq!(
        state.user_of(2),
        Err(Refusal::unauthorized("AUTH_KEY_UNREGISTERED"))
    );
}

#[test]
fn a_new_number_signs_up_after_its_code() {
    let mut state = world();
    let code = sent(&mut state, 1, "9996612345");
    assert_eq!(code.code, "11111");
    assert!(state.sign_up(1, "9996612345", &code.hash, "Dora", "").is_err());
    assert_eq!(
        state.sign_in(1, "9996612345", &code.hash, Proof::Typed("11111")),
        Ok(SignIn::SignUp)
    );
    let user = state
        .sign_up(1, "9996612345", &code.hash, "Dora", "")
        .expect("signed up");
    assert_eq!(state.user_of(1), Ok(user));
}

#[test]
fn access_hashes_differ_by_viewer_and_rights_by_role() {
    let mut state = world();
    let peer = Peer::User(CAROL);
    assert_ne!(state.access_hash(ALICE, peer), state.access_hash(BOB, peer));
    let id = state
        .create_channel(ALICE, "Group", "", false)
        .expect("a supergroup");
    state.bring_in(ALICE, Peer::Channel(id), &[BOB]).expect("came in");
    assert_eq!(
        state.assign(BOB, id, ALICE, Role::Banned),
        Err(Refusal::bad("CHAT_ADMIN_REQUIRED"))
    );
    state.assign(ALICE, id, BOB, Role::Muted).expect("muted");
    let refused = state.post(BOB, Peer::Channel(id), Draft::text("x")).err();
    assert_eq!(refused, Some(Refusal::forbidden("CHAT_WRITE_FORBIDDEN")));
    state.take_out(ALICE, Peer::Channel(id), BOB).expect("put out");
    assert!(!state.channels[&id].readable_by(BOB));
    assert_eq!(state.audience(Place::Channel(id)), [ALICE]);
}

#[test]
fn a_closed_general_topic_lets_people_come_in_and_say_nothing() {
    let mut state = world();
    let id = state
        .create_channel(ALICE, "Forum", "", false)
        .expect("a supergroup");
    let peer = Peer::Channel(id);
    state.bring_in(ALICE, peer, &[BOB]).expect("in");
    state.toggle_forum(ALICE, id, true).expect("a forum");
    let closed = TopicChange {
        closed: Some(true),
        ..TopicChange::default()
    };
    state.edit_topic(ALICE, id, GENERAL, closed).expect("closed");
    state.join_channel(CAROL, id, true).expect("in");
    let last = state.channels[&id].held.last_key_value().expect("told").1;
    assert!(
        matches!(&state.contents[last].body, Body::Service(Action::Joined { members }) if *members == [CAROL])
    );
    for user in [BOB, CAROL] {
        let refused = state.post(user, peer, Draft::text("hello"));
        assert_eq!(refused, Err(Refusal::bad("TOPIC_CLOSED")));
    }
}

#[test]
fn posts_are_discussed_in_a_group_that_one_runs_and_that_is_no_forum() {
    let mut state = world();
    let news = state.create_channel(ALICE, "News", "", true).expect("a channel");
    let foreign = state.create_channel(BOB, "Theirs", "", false).expect("a group");
    let forum = state.create_channel(ALICE, "Forum", "", false).expect("a group");
    state.toggle_forum(ALICE, forum, true).expect("a forum");
    let refused = |name| Err(Refusal::bad(name));
    assert_eq!(
        state.link(ALICE, news, Some(foreign)),
        refused("CHAT_ADMIN_REQUIRED")
    );
    assert_eq!(
        state.link(ALICE, news, Some(forum)),
        refused("MEGAGROUP_ID_INVALID")
    );
    state.toggle_forum(ALICE, forum, false).expect("no more");
    state.link(ALICE, news, Some(forum)).expect("linked");
}

#[test]
fn counters_of_any_size_are_taken() {
    let mut state = world();
    let id = state.create_channel(ALICE, "News", "", true).expect("a channel");
    let peer = Peer::Channel(id);
    let post = say(&mut state, ALICE, peer, "news");
    for count in [i32::MIN, i32::MAX] {
        let touch = Touch {
            views: Some(count),
            forwards: Some(count),
            keyboard: None,
        };
        state.touch(ALICE, peer, post, touch).expect("counted");
        for viewer in [BOB, CAROL] {
            state.look_at(viewer, id, &[post]);
        }
    }
}
