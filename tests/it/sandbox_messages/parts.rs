//! Parts of uploads are checked as they come, and documents are what the server finds them to be.

use grammers_tl_types::{enums, functions as f, types};
use trunkline::sandbox::acts::picture as drawn;

use super::ann;
use super::uploads::{document, download, make, upload};
use crate::sandbox_people::login::Login;
use crate::stage::Stage;

async fn small(login: &mut Login, number: i32, size: usize) -> Result<bool, String> {
    let part = f::upload::SaveFilePart {
        file_id: 5,
        file_part: number,
        bytes: vec![1; size],
    };
    login.call(&part).await
}

async fn big(login: &mut Login, number: i32, total: i32, size: usize) -> Result<bool, String> {
    let part = f::upload::SaveBigFilePart {
        file_id: 6,
        file_part: number,
        file_total_parts: total,
        bytes: vec![1; size],
    };
    login.call(&part).await
}

/// What an upload in small parts is said to be.
fn named(parts: i32, sum: &str) -> enums::InputFile {
    types::InputFile {
        id: 5,
        parts,
        name: "a.bin".into(),
        md5_checksum: sum.into(),
    }
    .into()
}

/// What the server made of a document.
async fn made(
    login: &mut Login,
    media: types::InputMediaUploadedDocument,
) -> Result<types::Document, String> {
    match login.call(&make(media)).await? {
        enums::MessageMedia::Document(types::MessageMediaDocument {
            document: Some(enums::Document::Document(document)),
            ..
        }) => Ok(document),
        other => panic!("no document: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_uploads_are_checked_one_by_one() {
    let stage = Stage::new().await;
    let (mut ann, ..) = ann(&stage).await;
    let ann = &mut ann;
    let refused = |it: Result<bool, String>| it.expect_err("refused");
    assert_eq!(refused(small(ann, 0, 0).await), "FILE_PART_EMPTY");
    assert_eq!(refused(small(ann, 0, 524_289).await), "FILE_PART_TOO_BIG");
    assert_eq!(refused(small(ann, -1, 9).await), "FILE_PART_INVALID");
    assert_eq!(small(ann, 0, 2048).await, Ok(true));
    assert_eq!(refused(small(ann, 1, 4096).await), "FILE_PART_SIZE_CHANGED");
    assert_eq!(refused(small(ann, 6000, 2048).await), "FILE_PART_INVALID");
    assert_eq!(small(ann, 1, 1000).await, Ok(true));
    assert_eq!(refused(big(ann, 0, 4, 1000).await), "FILE_PART_SIZE_INVALID");
    assert_eq!(refused(big(ann, 4, 4, 1024).await), "FILE_PART_INVALID");
    assert_eq!(big(ann, 0, 4, 1024).await, Ok(true));
    assert_eq!(refused(big(ann, 1, 5, 1024).await), "FILE_PARTS_INVALID");

    let plain = |file| document(file, "application/octet-stream", vec![]);
    let missing = made(ann, plain(named(3, ""))).await.expect_err("refused");
    assert_eq!(missing, "FILE_PART_2_MISSING");
    let wrong = made(ann, plain(named(2, "d41d8cd98f00b204e9800998ecf8427e"))).await;
    assert_eq!(wrong.expect_err("refused"), "MD5_CHECKSUM_INVALID");
    // As `md5sum` has it, in capitals.
    let whole = made(ann, plain(named(2, "3779227D6405BC41DA87F218FD5FA100"))).await;
    assert_eq!(whole.expect("made").size, 3048);

    stage.world.world(|state| state.switches.part_rules.turn(false));
    assert_eq!(small(ann, 0, 2048).await, Ok(true));
    assert_eq!(small(ann, 1, 4096).await, Ok(true), "it is told when it is used");
    let late = made(ann, plain(named(2, ""))).await.expect_err("refused");
    assert_eq!(late, "FILE_PART_SIZE_CHANGED");
}

/// An MP4 as far as it matters: with tracks of these kinds.
fn mp4(tracks: &[&[u8; 4]]) -> Vec<u8> {
    let boxed = |name: &[u8; 4], inner: &[u8]| {
        let size = (inner.len() as u32 + 8).to_be_bytes();
        [size.as_slice(), name, inner].concat()
    };
    let track = |kind: &&[u8; 4]| boxed(b"hdlr", &[[0; 8].as_slice(), *kind].concat());
    let tracks: Vec<u8> = tracks.iter().flat_map(track).collect();
    [boxed(b"ftyp", b"isom"), boxed(b"moov", &tracks)].concat()
}

fn video() -> enums::DocumentAttribute {
    types::DocumentAttributeVideo {
        round_message: false,
        supports_streaming: true,
        nosound: false,
        duration: 1.0,
        w: 32,
        h: 32,
        preload_prefix_size: None,
        video_start_ts: None,
        video_codec: None,
    }
    .into()
}

/// Whether a document is an animation, a silent video, a sticker, and whether it has measures of an image.
fn kinds(document: &types::Document) -> (bool, bool, bool, bool) {
    use enums::DocumentAttribute as A;
    let has = |wanted: fn(&A) -> bool| document.attributes.iter().any(wanted);
    (
        has(|it| matches!(it, A::Animated)),
        has(|it| matches!(it, A::Video(video) if video.nosound)),
        has(|it| matches!(it, A::Sticker(_))),
        has(|it| matches!(it, A::ImageSize(_))),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_kinds_that_the_server_finds_out_itself() {
    let stage = Stage::new().await;
    let (mut ann, ..) = ann(&stage).await;
    let ann = &mut ann;
    let silent = mp4(&[b"vide"]);
    let file = upload(ann, 1, "a.mp4", &silent).await;
    let found = made(ann, document(file, "video/mp4", vec![video()]))
        .await
        .expect("made");
    assert_eq!(kinds(&found), (true, true, false, false));
    let Some(
        [
            enums::PhotoSize::PhotoStrippedSize(_),
            enums::PhotoSize::Size(thumb),
        ],
    ) = found.thumbs.as_deref()
    else {
        panic!("thumbs: {:?}", found.thumbs)
    };
    let location = |thumb_size: &str| types::InputDocumentFileLocation {
        id: found.id,
        access_hash: found.access_hash,
        file_reference: found.file_reference.clone(),
        thumb_size: thumb_size.into(),
    };
    let bytes = download(ann, location(&thumb.r#type)).await.expect("there");
    assert_eq!(bytes.len(), thumb.size as usize);
    assert_eq!(download(ann, location("y")).await, Err("LOCATION_INVALID".into()));
    assert_eq!(download(ann, location("")).await, Ok(silent.clone()));

    let file = upload(ann, 2, "a.mp4", &silent).await;
    let as_video = types::InputMediaUploadedDocument {
        nosound_video: true,
        ..document(file, "video/mp4", vec![video()])
    };
    let found = made(ann, as_video).await.expect("made");
    assert_eq!(kinds(&found), (false, true, false, false));
    let file = upload(ann, 3, "a.mp4", &mp4(&[b"vide", b"soun"])).await;
    let found = made(ann, document(file, "video/mp4", vec![video()]))
        .await
        .expect("made");
    assert_eq!(kinds(&found), (false, false, false, false));

    let gif = b"GIF89a\x20\x00\x10\0\0\0\0";
    let file = upload(ann, 4, "a.gif", gif).await;
    let found = made(ann, document(file, "image/gif", vec![]))
        .await
        .expect("made");
    assert_eq!(kinds(&found), (true, false, false, true));
    let file = upload(ann, 5, "a.gif", gif).await;
    let as_file = types::InputMediaUploadedDocument {
        force_file: true,
        ..document(file, "image/gif", vec![enums::DocumentAttribute::Animated])
    };
    assert_eq!(
        kinds(&made(ann, as_file).await.expect("made")),
        (false, false, false, true)
    );
    let webp = b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x3f\0\0\x1f\0\0";
    let file = upload(ann, 6, "a.webp", webp).await;
    let own = upload(ann, 7, "thumb.png", &drawn(20, 10, 1).expect("drawn")).await;
    let with_thumb = types::InputMediaUploadedDocument {
        thumb: Some(own),
        ..document(file, "image/webp", vec![])
    };
    let found = made(ann, with_thumb).await.expect("made");
    assert_eq!(kinds(&found), (false, false, true, true));
    assert!(matches!(found.thumbs.as_deref(), Some([_, enums::PhotoSize::Size(it)]) if it.w == 20));

    stage.world.world(|state| state.switches.kinds_probed.turn(false));
    let file = upload(ann, 8, "a.gif", gif).await;
    let found = made(ann, document(file, "image/gif", vec![]))
        .await
        .expect("made");
    assert_eq!(
        (kinds(&found), found.thumbs),
        ((false, false, false, false), None)
    );
}
