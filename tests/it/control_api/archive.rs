//! What a backend does besides: it reads a chat's messages page by page, searches them, looks at a person, sends files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use trunkline::access::Scope;
use trunkline::sandbox::world::Peer;
use trunkline::sandbox::world::posting::Draft;

use super::caller::{Caller, answer, meet, said};
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_reads_and_searches_what_was_said_before() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let bob = stage.user("+989120000002", "Bob");
    for number in 0..25 {
        let words = if number % 5 == 0 { "an offer" } else { "hello" };
        let draft = Draft::text(&format!("{words} {number}"));
        stage
            .world
            .world(|world| world.post(bob, Peer::User(ann), draft))
            .expect("posted");
    }
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    meet(&stage, &daemon, ann, bob).await;
    let reader = Caller::new(&daemon, Scope::Read, None).await;
    let of = format!("session_id={session}&chat_id={bob}");

    let (mut texts, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/telegram/messages?{of}&limit=10{cursor}");
        let page = reader.get(&path).await.ok();
        let items = page["items"].as_array().expect("items").clone();
        texts.extend(
            items
                .iter()
                .map(|item| item["text"].as_str().expect("a text").to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(texts.len(), 26);
    assert_eq!(
        (texts[0].as_str(), texts[25].as_str()),
        ("nice to meet you", "an offer 0")
    );

    let found = reader
        .get(&format!("/api/telegram/messages/search?{of}&query=offer"))
        .await
        .ok();
    let items = found["items"].as_array().expect("items");
    assert_eq!((items.len(), &found["next"]), (5, &Value::Null));
    assert_eq!(
        (
            &items[0]["text"],
            &items[0]["from"]["first_name"],
            &items[0]["out"]
        ),
        (&json!("an offer 20"), &json!("Bob"), &json!(false))
    );

    let path = format!("/api/telegram/contacts/{bob}?session_id={session}");
    let contact = reader.get(&path).await.ok();
    assert_eq!(
        (&contact["success"], &contact["id"], &contact["first_name"]),
        (&json!(true), &json!(bob), &json!("Bob"))
    );
    assert_eq!(contact["phone"], Value::Null, "not for a key that only reads");

    for (path, refusal) in [
        ("messages?chat_id=1".to_owned(), (400, "INVALID_REQUEST")),
        (
            format!("messages?session_id={session}&chat_id=x"),
            (400, "INVALID_REQUEST"),
        ),
        (format!("messages?{of}&cursor=x"), (400, "INVALID_REQUEST")),
        (
            format!("messages/search?{of}&query=%20"),
            (400, "INVALID_REQUEST"),
        ),
        (
            format!("messages?session_id={session}&chat_id=77"),
            (422, "PEER_INVALID"),
        ),
        (format!("contacts/77?session_id={session}"), (422, "PEER_INVALID")),
        (format!("contacts/x?session_id={session}"), (404, "NOT_FOUND")),
    ] {
        let refused = reader.get(&format!("/api/telegram/{path}")).await;
        assert_eq!(refused.refusal(), refusal, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_sends_files_once_each() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let bob = stage.user("+989120000002", "Bob");
    let daemon = stage.daemon().await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    meet(&stage, &daemon, ann, bob).await;
    let sender = Caller::new(&daemon, Scope::Send, None).await;
    let body = |kind: &str, caption: &str| {
        let bytes = match kind {
            "photo" => picture(),
            kind => format!("the bytes of a {kind}").into_bytes(),
        };
        json!({
            "session_id": session, "chat_id": bob, "kind": kind, "caption": caption,
            "file": STANDARD.encode(bytes)
        })
    };
    for kind in ["photo", "video", "audio", "voice", "document"] {
        let sent = sender
            .post("/api/telegram/send-media", body(kind, kind))
            .await
            .ok();
        assert!(
            sent["message_id"].is_number() && sent["sent_at"].is_string(),
            "{kind}: {sent}"
        );
    }
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let request = sender
            .request(Method::POST, "/api/telegram/send-media")
            .header("idempotency-key", "once")
            .json(&body("document", "an offer"));
        numbers.push(answer(request).await.ok()["message_id"].clone());
    }
    assert_eq!(numbers[0], numbers[1]);
    assert_eq!(said(&stage, ann, "an offer"), 1);
    let path = format!("/api/telegram/messages?session_id={session}&chat_id={bob}&limit=6");
    let page = sender.get(&path).await.ok();
    let kinds: Vec<_> = page["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["media"])
        .collect();
    assert_eq!(
        kinds,
        ["document", "document", "voice", "audio", "video", "photo"]
    );

    let mut no_picture = body("photo", "");
    no_picture["file"] = json!(STANDARD.encode("no picture"));
    let refused = sender.post("/api/telegram/send-media", no_picture).await;
    assert_eq!(refused.refusal(), (422, "TELEGRAM_ERROR"));
    for (field, value) in [
        ("file", "?"),
        ("file", ""),
        ("file_name", "../x"),
        ("kind", "sticker"),
    ] {
        let mut wrong = body("photo", "");
        wrong[field] = json!(value);
        let refused = sender.post("/api/telegram/send-media", wrong).await;
        assert_eq!(refused.refusal(), (400, "INVALID_REQUEST"), "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_as_a_form_and_leaves_nothing_behind() {
    let stage = Stage::new().await;
    let ann = stage.user("+989120000001", "Ann");
    let bob = stage.user("+989120000002", "Bob");
    let daemon = stage
        .daemon_with(|config| config.http.max_upload_bytes = (10 << 20) + 1000)
        .await;
    let session = stage.log_in(&daemon, "+989120000001").await;
    meet(&stage, &daemon, ann, bob).await;
    let sender = Caller::new(&daemon, Scope::Send, None).await;
    let chat = bob.to_string();
    let form = |size: usize, caption: &str| {
        let field = |name: &str, text: &str| {
            format!("--b0undary\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
                .into_bytes()
        };
        let session = session.to_string();
        let mut body = [
            ("session_id", session.as_str()),
            ("chat_id", &chat),
            ("kind", "document"),
            ("caption", caption),
        ]
        .map(|(name, text)| field(name, text))
        .concat();
        body.extend(
            b"--b0undary\r\ncontent-disposition: form-data; name=\"file\"; filename=\"offer.pdf\"\r\n\
              content-type: application/pdf\r\n\r\n",
        );
        body.extend((0..size).map(|at| (at / 7 % 251) as u8));
        body.extend(b"\r\n--b0undary--\r\n");
        body
    };
    let post = async |body: Vec<u8>, name: Option<&str>| {
        let mut request = sender
            .request(Method::POST, "/api/telegram/send-media")
            .header("content-type", "multipart/form-data; boundary=b0undary")
            .body(body);
        if let Some(name) = name {
            request = request.header("idempotency-key", name);
        }
        answer(request).await
    };
    let left = || {
        let folder = daemon.handles.store.config().folder.join("uploads");
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    };
    // One of a few parts, and one that is big to Telegram.
    for size in [700 << 10, (10 << 20) + 1] {
        let caption = format!("offer-{size}");
        let first = post(form(size, &caption), Some(&caption)).await.ok();
        let again = post(form(size, &caption), Some(&caption)).await.ok();
        assert_eq!(first["message_id"], again["message_id"]);
        assert_eq!(said(&stage, ann, &caption), 1);
        let known = stage.world.look(|world| {
            let whole: Vec<u8> = (0..size).map(|at| (at / 7 % 251) as u8).collect();
            world.files.bytes.values().any(|bytes| **bytes == whole)
        });
        assert!(known, "Telegram has all of it");
    }
    let refused = post(form((10 << 20) + 1001, "too much"), None).await;
    assert_eq!(refused.refusal(), (413, "BODY_TOO_LARGE"));
    let refused = post(form(0, "nothing"), None).await;
    assert_eq!(refused.refusal(), (400, "INVALID_REQUEST"));
    let mut cut = form(5000, "cut off");
    cut.truncate(4000);
    let refused = post(cut, None).await;
    assert_eq!(refused.refusal(), (400, "INVALID_REQUEST"));
    crate::stage::until("no file is left", || left() == 0).await;
    // Routes that take no file take no form.
    let other = sender
        .request(Method::POST, "/api/telegram/send-message")
        .header("content-type", "multipart/form-data; boundary=b0undary")
        .body(form(10, "a text"));
    assert_eq!(answer(other).await.refusal(), (415, "UNSUPPORTED_MEDIA_TYPE"));
}

/// A picture of few pixels.
fn picture() -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, 8, 8);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().expect("a head");
    writer.write_image_data(&[0x7f; 64]).expect("pixels");
    writer.finish().expect("an end");
    out
}
