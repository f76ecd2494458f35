//! Pictures are made anew, in several sizes; and a copy whose answer was lost is found all the same.

use grammers_tl_types::{enums, types};
use trunkline::base::Span;
use trunkline::sandbox::acts::{NewChatKind, NewFile, NewMessage, measure, picture as drawn};
use trunkline::sandbox::faults::Fault;

use super::uploads::{download, make, picture, upload};
use super::{ANN, ann, chat, pair};
use crate::sandbox_people::login::Login;
use crate::stage::{Stage, until};

/// A JPEG of that size, as far as its header tells.
fn jpeg(width: u16, height: u16) -> Vec<u8> {
    let ([a, b], [c, d]) = (height.to_be_bytes(), width.to_be_bytes());
    let head = [
        0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0, 0xff, 0xc0, 0, 11, 8, a, b, c, d,
    ];
    [head.as_slice(), &[7; 4000]].concat()
}

/// What the server made of a picture.
async fn made(login: &mut Login, id: i64, name: &str, bytes: &[u8]) -> Result<types::Photo, String> {
    let file = upload(login, id, name, bytes).await;
    let media = login.call(&make(picture(file))).await?;
    match media {
        enums::MessageMedia::Photo(types::MessageMediaPhoto {
            photo: Some(enums::Photo::Photo(photo)),
            ..
        }) => Ok(photo),
        other => panic!("no photo: {other:?}"),
    }
}

/// The letter, sides and bytes of the sizes that can be fetched.
fn sizes(photo: &types::Photo) -> Vec<(String, (i32, i32), i32)> {
    let told = photo.sizes.iter().filter_map(|size| match size {
        enums::PhotoSize::Size(it) => Some((it.r#type.clone(), (it.w, it.h), it.size)),
        enums::PhotoSize::Progressive(it) => {
            assert!(it.sizes.is_sorted());
            Some((it.r#type.clone(), (it.w, it.h), *it.sizes.last()?))
        }
        _ => None,
    });
    told.collect()
}

async fn fetched(login: &mut Login, photo: &types::Photo, letter: &str) -> Result<Vec<u8>, String> {
    let location = types::InputPhotoFileLocation {
        id: photo.id,
        access_hash: photo.access_hash,
        file_reference: photo.file_reference.clone(),
        thumb_size: letter.into(),
    };
    download(login, location).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_made_anew_in_several_sizes() {
    let stage = Stage::new().await;
    let (mut ann, ..) = ann(&stage).await;
    let uploaded = jpeg(3000, 1500);
    let photo = made(&mut ann, 1, "a.jpg", &uploaded).await.expect("made");
    assert!(matches!(&photo.sizes[0], enums::PhotoSize::PhotoStrippedSize(it) if it.r#type == "i"));
    assert!(matches!(
        photo.sizes.last(),
        Some(enums::PhotoSize::Progressive(_))
    ));
    let told = sizes(&photo);
    let sides: Vec<_> = told
        .iter()
        .map(|(letter, sides, _)| (letter.as_str(), *sides))
        .collect();
    let expected = [
        ("m", (320, 160)),
        ("x", (800, 400)),
        ("y", (1280, 640)),
        ("w", (2560, 1280)),
    ];
    assert_eq!(sides, expected);
    for (letter, _, size) in &told {
        let bytes = fetched(&mut ann, &photo, letter).await.expect("there");
        assert_eq!(bytes.len(), *size as usize);
        assert!(bytes != uploaded && measure(&bytes).is_some());
    }
    assert_eq!(
        fetched(&mut ann, &photo, "s").await,
        Err("LOCATION_INVALID".into())
    );
    let again = made(&mut ann, 2, "a.jpg", &uploaded).await.expect("made");
    assert_ne!(again.id, photo.id);
    let small = made(&mut ann, 3, "a.png", &drawn(90, 60, 1).expect("drawn"))
        .await
        .expect("made");
    assert!(matches!(&small.sizes[1..], [enums::PhotoSize::Size(it)] if it.r#type == "m" && it.w == 90));

    let refused = [
        ("a.txt", uploaded.clone(), "PHOTO_EXT_INVALID"),
        ("a", uploaded.clone(), "PHOTO_EXT_INVALID"),
        ("a.jpg", b"no picture".to_vec(), "IMAGE_PROCESS_FAILED"),
        ("a.jpg", jpeg(9000, 1200), "PHOTO_INVALID_DIMENSIONS"),
        ("a.jpg", jpeg(2200, 100), "PHOTO_INVALID_DIMENSIONS"),
    ];
    for (number, (name, bytes, why)) in (4..).zip(refused) {
        assert_eq!(
            made(&mut ann, number, name, &bytes).await.expect_err("refused"),
            why
        );
    }

    stage
        .world
        .world(|state| state.switches.pictures_anew.turn(false));
    let kept = made(&mut ann, 9, "a.txt", &uploaded).await.expect("made");
    assert_eq!(sizes(&kept), [("w".to_owned(), (3000, 1500), 4017)]);
    assert_eq!(fetched(&mut ann, &kept, "w").await, Ok(uploaded));
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_whose_answer_was_lost_are_found_among_others_of_their_shape() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user(ANN, "Ann"), stage.user(super::BOB, "Bob"));
    let world = stage.handle();
    let source = chat(&world, NewChatKind::Channel, bob, ann);
    let copies = chat(&world, NewChatKind::Channel, ann, bob);
    let eager = |config: &mut trunkline::config::Config| config.forward.look_after = Span::millis(0);
    let daemon = stage.daemon_with(eager).await;
    let session = stage.log_in(&daemon, ANN).await;
    pair(&daemon, session, source, (copies, None)).await;
    let photo = |from: i64, seed| NewMessage {
        photo: Some(NewFile {
            generate: Some(seed),
            ..NewFile::default()
        }),
        ..NewMessage::text(from, "")
    };
    let fault = serde_json::json!({"kind": "drop_after", "account": ann, "method": "messages.sendMedia"});
    let fault: Fault = serde_json::from_value(fault).expect("a fault");
    // Nothing is repeated by its name: a second send would be a second message.
    stage.world.world(|state| state.settings.remember_random_ids = -1);
    world.fault(fault).expect("set");
    world.post(source, photo(bob, 1)).expect("posted");
    // Ann herself says something alike, after it.
    let files = || -> Vec<Option<String>> {
        let all = world.messages(copies, None, 0, 100, false).expect("there");
        let said = all.into_iter().filter(|it| it.service.is_none());
        said.map(|it| it.media.and_then(|media| media.sha256)).collect()
    };
    until("it was sent", || files().len() == 1).await;
    world.post(copies, photo(ann, 2)).expect("posted");
    world.post(source, photo(bob, 3)).expect("posted");
    until("the next one is copied", || files().len() == 3).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut different = files();
    assert_eq!(different.len(), 3, "{different:?}");
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 3, "nothing twice");
    daemon.stop(std::time::Duration::from_secs(5)).await;
}
