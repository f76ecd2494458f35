//! Files: albums, references, what is protected.

use super::*;

async fn upload(client: &Client, id: i64, bytes: &[u8]) -> enums::InputFile {
    let parts = bytes.chunks(1024);
    let count = i32::try_from(parts.len()).expect("few");
    for (part, bytes) in (0..).zip(parts) {
        client
            .ask(f::upload::SaveFilePart {
                file_id: id,
                file_part: part,
                bytes: bytes.to_vec(),
            })
            .await;
    }
    types::InputFile {
        id,
        parts: count,
        name: "a.png".into(),
        md5_checksum: String::new(),
    }
    .into()
}

async fn photo(client: &Client, peer: &enums::InputPeer, id: i64) -> enums::InputMedia {
    let file = upload(
        client,
        id,
        &acts::picture(40, 30, id.unsigned_abs()).expect("a picture"),
    )
    .await;
    let media = types::InputMediaUploadedPhoto {
        spoiler: false,
        live_photo: false,
        file,
        stickers: None,
        ttl_seconds: None,
        video: None,
    };
    let ask = f::messages::UploadMedia {
        business_connection_id: None,
        peer: peer.clone(),
        media: media.into(),
    };
    by_reference(client.ask(ask).await)
}

fn photo_of(media: enums::MessageMedia) -> types::Photo {
    match media {
        enums::MessageMedia::Photo(types::MessageMediaPhoto {
            photo: Some(enums::Photo::Photo(photo)),
            ..
        }) => photo,
        other => panic!("no photo: {other:?}"),
    }
}

fn by_reference(media: enums::MessageMedia) -> enums::InputMedia {
    let photo = photo_of(media);
    let id = types::InputPhoto {
        id: photo.id,
        access_hash: photo.access_hash,
        file_reference: photo.file_reference,
    };
    types::InputMediaPhoto {
        spoiler: false,
        live_photo: false,
        id: id.into(),
        ttl_seconds: None,
        video: None,
    }
    .into()
}

#[tokio::test]
async fn an_album_is_sent_forwarded_and_downloaded() {
    let (_telegram, world, alice, bob) = two().await;
    let to_bob = alice.resolve("bobby").await;
    let items = vec![
        (photo(&alice, &to_bob, 1).await, 11),
        (photo(&alice, &to_bob, 2).await, 12),
    ];
    let sent = updates(alice.ask(album(&to_bob, items.clone())).await);
    let is_name = |update: &&enums::Update| matches!(update, enums::Update::MessageId(_));
    assert_eq!(sent.iter().filter(is_name).count(), 2);
    let messages = new_messages(sent);
    assert!(messages[0].grouped_id.is_some() && messages[0].grouped_id == messages[1].grouped_id);
    let again = new_messages(updates(alice.ask(album(&to_bob, items)).await));
    assert_eq!(
        again[0].id, messages[0].id,
        "the same names are the same messages"
    );

    let to_alice = bob.resolve("alice").await;
    let ids = vec![1, 2];
    let forwarded = new_messages(updates(
        bob.ask(forward(&to_alice, &to_alice, ids.clone(), vec![1, 2], false))
            .await,
    ));
    assert!(forwarded.iter().all(|message| message.fwd_from.is_some()));
    assert!(forwarded[0].grouped_id.is_some() && forwarded[0].grouped_id != messages[0].grouped_id);
    let copied = new_messages(updates(
        bob.ask(forward(&to_alice, &to_alice, ids, vec![3, 4], true))
            .await,
    ));
    assert!(copied.iter().all(|message| message.fwd_from.is_none()));

    let theirs = photo_of(copied[0].media.clone().expect("media"));
    let [
        enums::PhotoSize::PhotoStrippedSize(_),
        enums::PhotoSize::Size(size),
    ] = &theirs.sizes[..]
    else {
        panic!("a size")
    };
    let get = |offset| f::upload::GetFile {
        precise: true,
        cdn_supported: false,
        location: types::InputPhotoFileLocation {
            id: theirs.id,
            access_hash: theirs.access_hash,
            file_reference: theirs.file_reference.clone(),
            thumb_size: size.r#type.clone(),
        }
        .into(),
        offset,
        limit: 4096,
    };
    let enums::upload::File::File(file) = bob.ask(get(0)).await else {
        panic!("a file")
    };
    let original = acts::picture(40, 30, 1).expect("a picture");
    assert_ne!(
        file.bytes,
        original[..4096.min(original.len())],
        "it is made anew"
    );
    assert_eq!(acts::measure(&file.bytes), Some((40, 30)));
    assert_eq!(
        alice.refused(get(0)).await,
        "MEDIA_EMPTY",
        "a foreign hash opens nothing"
    );
    assert_eq!(bob.refused(get(7)).await, "OFFSET_INVALID");

    world
        .fault(fault(
            r#"{"kind":"file_reference_expired","method":"upload.getFile"}"#,
        ))
        .expect("added");
    assert_eq!(bob.refused(get(0)).await, "FILE_REFERENCE_EXPIRED");
    assert_eq!(
        bob.refused(get(0)).await,
        "FILE_REFERENCE_EXPIRED",
        "until the message is fetched anew"
    );
    let ask = f::messages::GetMessages {
        id: vec![types::InputMessageId { id: copied[0].id }.into()],
    };
    let enums::messages::Messages::Messages(fresh) = bob.ask(ask).await else {
        panic!("messages")
    };
    let fresh = photo_of(said(fresh.messages)[0].media.clone().expect("media"));
    assert_ne!(fresh.file_reference, theirs.file_reference);
}

#[tokio::test]
async fn what_is_protected_is_not_given_away() {
    let (_telegram, world, alice, bob) = two().await;
    let chat = channel(&world, NewChatKind::Channel);
    let place = alice.resolve("the_place").await;
    let toggle = f::messages::ToggleNoForwards {
        peer: place.clone(),
        enabled: true,
        request_msg_id: None,
    };
    alice.ask(toggle).await;
    let media = photo(&alice, &place, 3).await;
    alice.ask(album(&place, vec![(media, 1)])).await;
    let theirs = bob.resolve("the_place").await;
    let to_alice = bob.resolve("alice").await;
    assert_eq!(
        bob.refused(forward(&theirs, &to_alice, vec![2], vec![1], false))
            .await,
        "CHAT_FORWARDS_RESTRICTED"
    );
    let enums::messages::Messages::ChannelMessages(page) = bob.ask(history(&theirs, 1, 0)).await else {
        panic!("a channel's messages")
    };
    assert!(matches!(&page.chats[0], enums::Chat::Channel(channel) if channel.noforwards));
    let media = by_reference(said(page.messages)[0].media.clone().expect("media"));
    assert_eq!(
        bob.refused(album(&to_alice, vec![(media, 2)])).await,
        "CHAT_FORWARDS_RESTRICTED"
    );
    assert_eq!(
        world.messages(chat, None, 0, 10, false).expect("messages").len(),
        2
    );
}

#[tokio::test]
async fn a_reference_whose_message_is_gone_is_named_by_its_place_in_the_album() {
    let (telegram, _world, alice, bob) = two().await;
    let to_bob = alice.resolve("bobby").await;
    let to_alice = bob.resolve("alice").await;
    let items = vec![
        (photo(&alice, &to_bob, 1).await, 11),
        (photo(&alice, &to_bob, 2).await, 12),
    ];
    let sent = new_messages(updates(alice.ask(album(&to_bob, items)).await));
    let received = || async {
        let enums::messages::Messages::Messages(page) = bob.ask(history(&to_alice, 10, 0)).await else {
            panic!("all messages")
        };
        let mut media: Vec<_> = said(page.messages)
            .into_iter()
            .filter_map(|it| it.media)
            .collect();
        media.reverse();
        media.into_iter().map(by_reference).collect::<Vec<_>>()
    };
    let seen = received().await;
    let of_alice = alice.call(album(&to_bob, vec![(seen[0].clone(), 21), (seen[1].clone(), 22)]));
    let refused = of_alice.await.expect_err("another account's");
    assert_eq!(refused.1, "MEDIA_EMPTY");

    let delete = f::messages::DeleteMessages {
        revoke: true,
        id: vec![sent[1].id],
    };
    alice.ask(delete).await;
    let again = || album(&to_alice, vec![(seen[0].clone(), 31), (seen[1].clone(), 32)]);
    assert_eq!(bob.refused(again()).await, "FILE_REFERENCE_1_EXPIRED");
    telegram.world(|state| state.switches.numbered_file_references.turn(false));
    assert_eq!(bob.refused(again()).await, "FILE_REFERENCE_EXPIRED");

    telegram.world(|state| state.settings.file_reference_life = -1);
    let alone = album(&to_alice, vec![(seen[0].clone(), 41)]);
    assert_eq!(bob.refused(alone).await, "FILE_REFERENCE_EXPIRED");
}
