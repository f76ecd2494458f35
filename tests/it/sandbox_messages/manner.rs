//! How messages are to be sent: what has an effect has it, what can have none is refused by name.

use grammers_tl_types::{enums, functions as f, types};
use trunkline::sandbox::acts::NewChatKind;

use super::{ann, chat, peer_of, text};
use crate::sandbox_people::login::told;
use crate::stage::Stage;

/// An effect that everybody may use.
const FIRE: i64 = 5_104_841_245_755_180_586;

#[tokio::test(flavor = "multi_thread")]
async fn parameters_have_an_effect_or_are_refused_by_name() {
    let stage = Stage::new().await;
    let (mut ann, world, ann_id, bob) = ann(&stage).await;
    let place = chat(&world, NewChatKind::Supergroup, bob, ann_id);
    let (group, private) = (peer_of(&stage, ann_id, place), peer_of(&stage, ann_id, bob));
    let now = ann.state().await.date;
    let plain = || text(group.clone(), "hello", false);
    let at = |schedule_date: i32| f::messages::SendMessage {
        schedule_date: Some(schedule_date),
        ..plain()
    };
    let markup = types::ReplyKeyboardHide { selective: false };
    let refused = [
        (at(now + 3600), "SCHEDULE_TOO_MUCH"),
        (at(now + 400 * 86_400), "SCHEDULE_DATE_TOO_LATE"),
        (
            f::messages::SendMessage {
                send_as: Some(private.clone()),
                ..plain()
            },
            "SEND_AS_PEER_INVALID",
        ),
        (
            f::messages::SendMessage {
                effect: Some(FIRE),
                ..plain()
            },
            "EFFECT_CHAT_INVALID",
        ),
        (
            f::messages::SendMessage {
                effect: Some(1),
                ..text(private.clone(), "hello", false)
            },
            "EFFECT_ID_INVALID",
        ),
        (
            f::messages::SendMessage {
                reply_markup: Some(markup.into()),
                ..plain()
            },
            "REPLY_MARKUP_INVALID",
        ),
    ];
    for (call, name) in refused {
        assert_eq!(ann.call(&call).await.expect_err("refused"), name);
    }
    let vanishing = types::InputMediaPhoto {
        spoiler: false,
        live_photo: false,
        id: enums::InputPhoto::Empty,
        ttl_seconds: Some(10),
        video: None,
    };
    let media = f::messages::UploadMedia {
        business_connection_id: None,
        peer: private.clone(),
        media: vanishing.into(),
    };
    assert_eq!(ann.call(&media).await.expect_err("refused"), "TTL_MEDIA_INVALID");

    let sent = |answer| {
        let told = told(answer).expect("updates");
        let found = told.updates.into_iter().find_map(|update| match update {
            enums::Update::NewChannelMessage(it) => Some(it.message),
            _ => None,
        });
        match found {
            Some(enums::Message::Message(message)) => message,
            other => panic!("a message: {other:?}"),
        }
    };
    let soon = sent(ann.ask(&at(now + 5)).await);
    assert!(!soon.from_scheduled, "what is due goes out at once");
    let inverted = f::messages::SendMessage {
        invert_media: true,
        send_as: Some(enums::InputPeer::PeerSelf),
        allow_paid_stars: Some(5),
        clear_draft: true,
        ..text(group.clone(), "the other way round", false)
    };
    assert!(sent(ann.ask(&inverted).await).invert_media);
    let with_effect = f::messages::SendMessage {
        effect: Some(FIRE),
        ..text(private.clone(), "burning words", false)
    };
    ann.ask(&with_effect).await;
    let history = f::messages::GetHistory {
        peer: private,
        offset_id: 0,
        offset_date: 0,
        add_offset: 0,
        limit: 1,
        max_id: 0,
        min_id: 0,
        hash: 0,
    };
    let enums::messages::Messages::Messages(found) = ann.ask(&history).await else {
        panic!("a list")
    };
    assert!(matches!(&found.messages[0], enums::Message::Message(it) if it.effect == Some(FIRE)));
    assert!(world.switches().parameters_refused.reached() > 0);
    stage
        .world
        .world(|state| state.switches.parameters_refused.turn(false));
    let later = f::messages::SendMessage {
        schedule_date: Some(now + 3600),
        ..text(group, "a word for later", false)
    };
    sent(ann.ask(&later).await);
}
