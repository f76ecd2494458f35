//! Previews of links: pending at first, then there; and a daemon that copies such texts.

use std::time::Duration;

use grammers_tl_types::enums;
use trunkline::sandbox::acts::{NewChatKind, NewMessage};
use trunkline::sandbox::view::MessageView;

use super::{ANN, BOB, ann, chat, edits, look_at, pair, peer_of, text};
use crate::stage::{Stage, received, until};

fn page(media: Option<&enums::MessageMedia>) -> Option<&enums::WebPage> {
    match media {
        Some(enums::MessageMedia::WebPage(media)) => Some(&media.webpage),
        _ => None,
    }
}

fn shown(message: &enums::Message) -> Option<&enums::WebPage> {
    match message {
        enums::Message::Message(message) => page(message.media.as_ref()),
        _ => None,
    }
}

fn is_pending(page: Option<&enums::WebPage>) -> bool {
    matches!(page, Some(enums::WebPage::Pending(_)))
}

/// The page of an account's sequence that came, with its state.
fn came(update: &enums::Update) -> Option<(enums::WebPage, i32, i32)> {
    match update {
        enums::Update::WebPage(it) => Some((it.webpage.clone(), it.pts, it.pts_count)),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_with_a_link_is_answered_with_a_pending_page_that_comes_a_moment_later() {
    let stage = Stage::new().await;
    let (mut ann, world, ann_id, bob) = ann(&stage).await;
    world.say(ann_id, bob, "hello").expect("posted");
    world.say(bob, ann_id, "hello").expect("posted");
    let peer = peer_of(&stage, ann_id, bob);
    let before = ann.state().await;
    let sent = ann
        .ask(&text(peer.clone(), "see https://a.example/x", false))
        .await;
    let enums::Updates::UpdateShortSentMessage(sent) = sent else {
        panic!("another answer: {sent:?}")
    };
    assert!(is_pending(page(sent.media.as_ref())));
    let ((found, pts, count), _) = ann.hear(came).await;
    assert!(matches!(&found, enums::WebPage::Page(page) if page.url == "https://a.example/x"));
    assert_eq!(
        (pts, count),
        (sent.pts + 1, 1),
        "it has its place in the sequence"
    );
    let missed = ann.difference(&before).await;
    assert!(
        missed.has(|update| came(update).is_some()),
        "and in the difference"
    );

    let again = ann
        .ask(&text(peer.clone(), "again: https://a.example/x", false))
        .await;
    let known = |page: Option<&enums::WebPage>| matches!(page, Some(enums::WebPage::Page(_)));
    assert!(
        matches!(&again, enums::Updates::UpdateShortSentMessage(it) if known(page(it.media.as_ref()))),
        "a page that is known is there at once"
    );
    let without = ann.ask(&text(peer.clone(), "and https://b.example", true)).await;
    assert!(matches!(&without, enums::Updates::UpdateShortSentMessage(it) if it.media.is_none()));
    ann.ask(&text(peer.clone(), "no https://c.invalid", false)).await;
    let (nothing, _) = ann.hear(came).await;
    assert!(matches!(nothing.0, enums::WebPage::Empty(_)), "there is none");
    stage
        .world
        .world(|state| state.switches.link_previews.turn(false));
    let off = ann.ask(&text(peer, "off: https://d.example/long", false)).await;
    assert!(matches!(&off, enums::Updates::UpdateShortSentMessage(it) if it.media.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_channel_the_page_comes_with_an_edit_without_a_date() {
    let stage = Stage::new().await;
    let (mut ann, world, ann_id, bob) = ann(&stage).await;
    let news = chat(&world, NewChatKind::Channel, bob, ann_id);
    look_at(&mut ann, peer_of(&stage, ann_id, news)).await;
    world.say(news, bob, "see https://a.example").expect("posted");
    let new = |update: &enums::Update| match update {
        enums::Update::NewChannelMessage(it) => Some((it.message.clone(), it.pts)),
        _ => None,
    };
    let first = loop {
        let ((message, pts), _) = ann.hear(new).await;
        if matches!(message, enums::Message::Message(_)) {
            assert!(is_pending(shown(&message)));
            break pts;
        }
    };
    let page = |update: &enums::Update| match update {
        enums::Update::ChannelWebPage(it) => Some((it.webpage.clone(), it.pts, it.pts_count)),
        _ => None,
    };
    let ((found, pts, count), _) = ann.hear(page).await;
    assert!(matches!(found, enums::WebPage::Page(_)));
    assert_eq!((pts, count), (first + 1, 1));
    let edit = |update: &enums::Update| match update {
        enums::Update::EditChannelMessage(it) => Some((it.message.clone(), it.pts)),
        _ => None,
    };
    let ((message, pts), _) = ann.hear(edit).await;
    let enums::Message::Message(message) = message else {
        panic!("a message")
    };
    assert_eq!((message.edit_date, pts), (None, first + 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_copies_texts_with_links_once_and_tells_no_edit_that_shows_nothing() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(BOB, "Bob"));
    let world = stage.handle();
    let (source, copies) = (
        chat(&world, NewChatKind::Channel, bob, ann),
        chat(&world, NewChatKind::Channel, ann, bob),
    );
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, ANN).await;
    pair(&daemon, session, source, (copies, None)).await;

    let seen = || -> Vec<MessageView> {
        let all = world.messages(copies, None, 0, 100, false).expect("there");
        all.into_iter().filter(|it| it.service.is_none()).collect()
    };
    let first = world.say(source, bob, "see https://a.example").expect("posted");
    world.say(ann, bob, "private https://b.example").expect("posted");
    let plain = NewMessage {
        no_webpage: true,
        ..NewMessage::text(bob, "plain https://c.example")
    };
    world.post(source, plain).expect("posted");
    until("both are copied", || seen().len() == 2).await;
    let kinds: Vec<_> = (seen().iter())
        .map(|it| it.media.as_ref().map(|media| media.kind.to_string()))
        .collect();
    assert_eq!(kinds, [Some("web_page".to_owned()), None]);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(edits(&daemon), [], "a page that comes is no edit");

    world
        .edit(source, first, bob, "now https://d.example", Vec::new())
        .expect("edited");
    until("the copy follows", || seen()[0].text == "now https://d.example").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let told: Vec<_> = edits(&daemon)
        .into_iter()
        .filter(|(chat, _)| *chat == source)
        .collect();
    assert_eq!(told, [(source, "now https://d.example".to_owned())]);
    let edited = seen()[0].edited_at;
    world.say(source, bob, "last").expect("posted");
    until("the last is copied", || seen().len() == 3).await;
    assert_eq!(seen()[0].edited_at, edited, "and is edited once");
    until("all is told", || received(&daemon).len() == 4).await;
    daemon.stop(Duration::from_secs(5)).await;
}
