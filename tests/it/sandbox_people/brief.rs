//! Plain texts are pushed in brief, to one's own other sessions too.

use grammers_tl_types::{enums, functions as f, types};
use trunkline::sandbox::acts::NewChatKind;

use super::{ANN, ann_and_bob, chat};
use crate::sandbox_people::login::Login;

#[tokio::test(flavor = "multi_thread")]
async fn brief_updates_tell_of_plain_texts_without_naming_anybody() {
    let (stage, world, mut ann, ann_id, bob) = ann_and_bob().await;
    let group = chat(&world, NewChatKind::Group, ann_id, bob);
    // Only what comes alone comes in brief: not with the mark of somebody who reads by posting.
    world.say(group, bob, "read").expect("posted");
    ann.pushed().await;
    world.say(ann_id, bob, "to you").expect("posted");
    let private = ann.hear_container(|container| match container {
        enums::Updates::UpdateShortMessage(it) => Some(it),
        _ => None,
    });
    let private = private.await;
    assert_eq!(
        (private.user_id, private.out, private.message.as_str()),
        (bob, false, "to you")
    );
    world.say(group, bob, "to all").expect("posted");
    let said = ann.hear_container(|container| match container {
        enums::Updates::UpdateShortChatMessage(it) => Some(it),
        _ => None,
    });
    let said = said.await;
    assert_eq!((said.from_id, said.chat_id, said.pts_count), (bob, -group, 1));

    let read = f::messages::ReadHistory {
        peer: types::InputPeerChat { chat_id: -group }.into(),
        max_id: 0,
    };
    ann.ask(&read).await;
    let mut other = Login::new(&stage, ANN).await;
    let own = f::messages::GetHistory {
        peer: types::InputPeerChat { chat_id: -group }.into(),
        offset_id: 0,
        offset_date: 0,
        add_offset: 0,
        limit: 1,
        max_id: 0,
        min_id: 0,
        hash: 0,
    };
    other.ask(&own).await;
    world.say(group, ann_id, "mine").expect("posted");
    let mine = other.hear_container(|container| match container {
        enums::Updates::UpdateShortChatMessage(it) if it.out => Some(it),
        _ => None,
    });
    assert_eq!(mine.await.from_id, ann_id);
}
