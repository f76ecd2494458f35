//! Posts of one login that are under way at the same time.

use std::collections::BTreeSet;

use grammers_tl_types::{Deserializable, Serializable, enums, functions as f, types};
use trunkline::sandbox::acts::NewChatKind;

use super::login::told;
use super::{ann_and_bob, bare, chat};
use crate::sandbox_world::client::send;

const MANY: i64 = 20;

/// The new messages that an answer tells of.
fn new_messages(answer: &[u8]) -> Vec<types::UpdateNewMessage> {
    let told = told(enums::Updates::from_bytes(answer).expect("updates")).expect("a container");
    let new = told.updates.into_iter().filter_map(|update| match update {
        enums::Update::NewMessage(new) => Some(new),
        _ => None,
    });
    new.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_side_by_side_all_stand_and_those_with_predecessors_stand_in_order() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let group = chat(&world, NewChatKind::Group, ann_id, bob);
    let peer: enums::InputPeer = types::InputPeerChat { chat_id: -group }.into();
    let before = ann.state().await;
    let posts = (1..=MANY).map(|n| send(&peer, &format!("at once {n}"), n).to_bytes());
    let answers = ann.at_once(posts.collect()).await;
    let (mut ids, mut states) = (BTreeSet::new(), BTreeSet::new());
    for answer in answers {
        let new = new_messages(&answer.expect("posted"));
        ids.extend(new.iter().map(|new| new.message.id()));
        states.extend(new.iter().map(|new| new.pts));
    }
    let many = usize::try_from(MANY).expect("few");
    assert_eq!((ids.len(), states.len()), (many, many), "each has its own number");
    let pts = before.pts + i32::try_from(MANY).expect("few");
    assert_eq!(states.last(), Some(&pts));
    assert_eq!(ann.state().await.pts, pts);
    let said = |texts: &str| -> Vec<String> {
        let all = world
            .messages(group, Some(ann_id), 0, 100, false)
            .expect("its history");
        let texts_of = all.into_iter().map(|message| message.text);
        texts_of.filter(|text| text.starts_with(texts)).collect()
    };
    assert_eq!(said("at once").len(), many);

    let mut after = None;
    let mut chain = Vec::new();
    for n in 1..=MANY {
        let post = send(&peer, &format!("in turn {n}"), MANY + n);
        let msg_ids: Vec<i64> = after.into_iter().collect();
        let post = f::InvokeAfterMsgs { msg_ids, query: post }.to_bytes();
        let id = ann.begin(&post).await;
        chain.push(id);
        after = Some(id);
    }
    for answer in ann.answers(chain).await {
        answer.expect("posted");
    }
    let turns: Vec<String> = (1..=MANY).map(|n| format!("in turn {n}")).collect();
    assert_eq!(said("in turn"), turns);
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_side_by_side_in_a_channel_have_states_without_a_hole() {
    let (_stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let channel = chat(&world, NewChatKind::Supergroup, ann_id, bob);
    let dialogs = f::messages::GetDialogs {
        exclude_pinned: false,
        folder_id: None,
        offset_date: 0,
        offset_id: 0,
        offset_peer: enums::InputPeer::Empty,
        limit: 10,
        hash: 0,
    };
    let enums::messages::Dialogs::Dialogs(dialogs) = ann.ask(&dialogs).await else {
        panic!("all of them")
    };
    let access_hash = dialogs.chats.iter().find_map(|chat| match chat {
        enums::Chat::Channel(it) if it.id == bare(channel) => it.access_hash,
        _ => None,
    });
    let peer: enums::InputPeer = types::InputPeerChannel {
        channel_id: bare(channel),
        access_hash: access_hash.expect("a hash"),
    }
    .into();
    let posts = (1..=MANY).map(|n| send(&peer, &format!("post {n}"), n).to_bytes());
    let mut states = BTreeSet::new();
    for answer in ann.at_once(posts.collect()).await {
        let enums::Updates::Updates(told) =
            enums::Updates::from_bytes(&answer.expect("posted")).expect("updates")
        else {
            panic!("updates")
        };
        states.extend(told.updates.iter().find_map(|update| match update {
            enums::Update::NewChannelMessage(new) => Some(new.pts),
            _ => None,
        }));
    }
    let (first, last) = (*states.first().expect("posts"), *states.last().expect("posts"));
    assert_eq!(i64::from(last - first) + 1, MANY);
    assert_eq!(states.len(), usize::try_from(MANY).expect("few"));
}
