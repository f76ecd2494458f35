//! Giving Telegram a file, so that it can be sent by reference afterwards: the send then is the same effect on every
//! try, and a repeat only uploads again.
//!
//! For files that are held in memory, as they come in one request. Nothing is kept here.

use std::time::Duration;

use grammers_client::tl;

use super::effects::Effects;
use super::error::TelegramError;
use super::from_tl;
use super::handle::Telegram;
use crate::base::SessionId;
use crate::limiter::CostClass;
use crate::model::{FileRef, MediaKind};

/// Bytes in one part; Telegram takes no more.
const PART: usize = 512 * 1024;

/// A file to be given to Telegram.
#[derive(Clone, Debug)]
pub struct Upload {
    /// What it is to be.
    pub kind: MediaKind,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its name.
    pub name: String,
    /// Its content type.
    pub mime: String,
}

impl Effects<'_> {
    async fn upload(&self, upload: &Upload) -> Result<FileRef, TelegramError> {
        let file = self.save_parts(upload).await?;
        let request = tl::functions::messages::UploadMedia {
            business_connection_id: None,
            peer: tl::enums::InputPeer::PeerSelf,
            media: described(upload, file)?,
        };
        let answer = self.call(None, CostClass::Other, 1, &request).await?;
        let media = from_tl::media(&answer);
        media
            .and_then(|media| media.file)
            .ok_or(TelegramError::Conflict("Telegram made nothing of the file"))
    }

    async fn save_parts(&self, upload: &Upload) -> Result<tl::enums::InputFile, TelegramError> {
        let file_id = i64::from_be_bytes(rand::random());
        let mut parts = 0;
        for bytes in upload.bytes.chunks(PART) {
            let request = tl::functions::upload::SaveFilePart {
                file_id,
                file_part: parts,
                bytes: bytes.to_vec(),
            };
            self.call(None, CostClass::Other, 1, &request).await?;
            parts += 1;
        }
        Ok(tl::types::InputFile {
            id: file_id,
            parts,
            name: upload.name.clone(),
            md5_checksum: String::new(),
        }
        .into())
    }
}

/// The file with what Telegram is to make of it.
fn described(upload: &Upload, file: tl::enums::InputFile) -> Result<tl::enums::InputMedia, TelegramError> {
    if upload.kind == MediaKind::Photo {
        return Ok(tl::types::InputMediaUploadedPhoto {
            spoiler: false,
            live_photo: false,
            file,
            stickers: None,
            ttl_seconds: None,
            video: None,
        }
        .into());
    }
    let name = tl::types::DocumentAttributeFilename {
        file_name: upload.name.clone(),
    };
    let mut attributes = vec![name.into()];
    match upload.kind {
        MediaKind::Document => {}
        MediaKind::Video => attributes.push(
            tl::types::DocumentAttributeVideo {
                round_message: false,
                supports_streaming: true,
                nosound: false,
                duration: 0.0,
                w: 0,
                h: 0,
                preload_prefix_size: None,
                video_start_ts: None,
                video_codec: None,
            }
            .into(),
        ),
        MediaKind::Audio | MediaKind::Voice => attributes.push(
            tl::types::DocumentAttributeAudio {
                voice: upload.kind == MediaKind::Voice,
                duration: 0,
                title: None,
                performer: None,
                waveform: None,
            }
            .into(),
        ),
        _ => return Err(TelegramError::Invalid("this kind of media is no file")),
    }
    Ok(tl::types::InputMediaUploadedDocument {
        nosound_video: false,
        force_file: upload.kind == MediaKind::Document,
        spoiler: false,
        file,
        thumb: None,
        mime_type: upload.mime.clone(),
        attributes,
        stickers: None,
        video_cover: None,
        video_timestamp: None,
        ttl_seconds: None,
    }
    .into())
}

impl Telegram {
    /// Gives Telegram a file.
    ///
    /// # Errors
    /// See [`TelegramError::class`].
    pub async fn upload(
        &self,
        id: SessionId,
        upload: &Upload,
        patience: Duration,
    ) -> Result<FileRef, TelegramError> {
        let link = self.link_at_work(id).await?;
        self.effects(&link, patience).upload(upload).await
    }
}
