//! Uploads as clients make them, for what is told about files.

use grammers_tl_types::{enums, functions as f, types};

use crate::sandbox_people::login::Login;

/// Uploads a small file in parts of half a mebibyte.
pub async fn upload(login: &mut Login, id: i64, name: &str, bytes: &[u8]) -> enums::InputFile {
    let mut parts = 0;
    for part in bytes.chunks(512 * 1024) {
        let save = f::upload::SaveFilePart {
            file_id: id,
            file_part: parts,
            bytes: part.to_vec(),
        };
        assert!(login.ask(&save).await);
        parts += 1;
    }
    types::InputFile {
        id,
        parts,
        name: name.into(),
        md5_checksum: String::new(),
    }
    .into()
}

/// What an uploaded picture is sent as.
pub fn picture(file: enums::InputFile) -> enums::InputMedia {
    types::InputMediaUploadedPhoto {
        spoiler: false,
        live_photo: false,
        file,
        stickers: None,
        ttl_seconds: None,
        video: None,
    }
    .into()
}

/// What an uploaded document is sent as.
pub fn document(
    file: enums::InputFile,
    mime: &str,
    attributes: Vec<enums::DocumentAttribute>,
) -> types::InputMediaUploadedDocument {
    types::InputMediaUploadedDocument {
        nosound_video: false,
        force_file: false,
        spoiler: false,
        file,
        thumb: None,
        mime_type: mime.into(),
        attributes,
        stickers: None,
        video_cover: None,
        video_timestamp: None,
        ttl_seconds: None,
    }
}

/// A call that makes something of an upload.
pub fn make(media: impl Into<enums::InputMedia>) -> f::messages::UploadMedia {
    f::messages::UploadMedia {
        business_connection_id: None,
        peer: enums::InputPeer::PeerSelf,
        media: media.into(),
    }
}

/// The bytes behind a location.
pub async fn download(
    login: &mut Login,
    location: impl Into<enums::InputFileLocation>,
) -> Result<Vec<u8>, String> {
    let get = f::upload::GetFile {
        precise: false,
        cdn_supported: false,
        location: location.into(),
        offset: 0,
        limit: 1024 * 1024,
    };
    match login.call(&get).await? {
        enums::upload::File::File(file) => Ok(file.bytes),
        other => panic!("no file: {other:?}"),
    }
}
