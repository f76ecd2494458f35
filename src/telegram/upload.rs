//! Giving Telegram a file, so that it can be sent by reference afterwards: the send then is the same effect on every
//! try, and a repeat only uploads again.
//!
//! A file is held in memory or lies on the disk, from where it is read part by part. Nothing is kept here.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use grammers_client::tl;
use tokio::io::AsyncReadExt;

use super::effects::Effects;
use super::error::TelegramError;
use super::from_tl;
use super::handle::Telegram;
use crate::base::SessionId;
use crate::limiter::{CostClass, Patience};
use crate::model::{FileRef, MediaKind};

/// Bytes in one part; Telegram takes no more.
const PART: usize = 512 * 1024;

/// A larger file is uploaded as a big one.
const BIG: u64 = 10 * 1024 * 1024;

/// How the name of a photo ends.
const PICTURES: [&str; 5] = ["jpg", "jpeg", "png", "gif", "webp"];

/// A file to be given to Telegram.
#[derive(Clone, Debug)]
pub struct Upload {
    /// What it is to be.
    pub kind: MediaKind,
    /// Its bytes.
    pub content: Content,
    /// Its name.
    pub name: String,
    /// Its content type.
    pub mime: String,
}

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory.
    Memory(Vec<u8>),
    /// On the disk.
    Spooled(Arc<Spooled>),
}

/// A file on the disk that goes when this is dropped.
#[derive(Debug)]
pub struct Spooled {
    path: PathBuf,
    size: u64,
    digest: [u8; 32],
}

impl Spooled {
    /// The file of this path, which is to be filled.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            size: 0,
            digest: [0; 32],
        }
    }

    /// It holds so many bytes of this SHA-256.
    pub fn filled(&mut self, size: u64, digest: [u8; 32]) {
        (self.size, self.digest) = (size, digest);
    }

    /// The SHA-256 of its bytes.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, "a file that was handed on stays in the data folder until the next start");
        }
    }
}

/// A file being read from its beginning.
enum Reading<'a> {
    Memory(std::slice::Chunks<'a, u8>),
    File(tokio::fs::File),
}

impl Reading<'_> {
    /// The next part; none at the end.
    async fn part(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Memory(parts) => Ok(parts.next().map(<[u8]>::to_vec)),
            Self::File(file) => {
                let mut part = Vec::with_capacity(PART);
                file.take(PART as u64).read_to_end(&mut part).await?;
                Ok(Some(part).filter(|part| !part.is_empty()))
            }
        }
    }
}

impl Upload {
    /// Its name as Telegram is told it: it takes no photo that is not called one.
    fn called(&self) -> String {
        let extension = self.name.rsplit_once('.').map(|(_, end)| end.to_lowercase());
        let picture = extension.is_some_and(|end| PICTURES.contains(&end.as_str()));
        match self.kind == MediaKind::Photo && !picture {
            true => format!("{}.jpg", self.name),
            false => self.name.clone(),
        }
    }
}

impl Content {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.size() == 0
    }

    fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Spooled(file) => file.size,
        }
    }

    async fn reading(&self) -> io::Result<Reading<'_>> {
        Ok(match self {
            Self::Memory(bytes) => Reading::Memory(bytes.chunks(PART)),
            Self::Spooled(file) => Reading::File(tokio::fs::File::open(&file.path).await?),
        })
    }
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
        let unread = |error| {
            tracing::warn!(%error, "a file could not be read");
            TelegramError::Away
        };
        let id = i64::from_be_bytes(rand::random());
        let (size, name) = (upload.content.size(), upload.called());
        let count = i32::try_from(size.div_ceil(PART as u64)).unwrap_or(i32::MAX);
        let big = size > BIG;
        let mut reading = upload.content.reading().await.map_err(unread)?;
        let mut number = 0;
        while let Some(bytes) = reading.part().await.map_err(unread)? {
            match big {
                true => {
                    let request = tl::functions::upload::SaveBigFilePart {
                        file_id: id,
                        file_part: number,
                        file_total_parts: count,
                        bytes,
                    };
                    self.call(None, CostClass::Other, 1, &request).await?;
                }
                false => {
                    let request = tl::functions::upload::SaveFilePart {
                        file_id: id,
                        file_part: number,
                        bytes,
                    };
                    self.call(None, CostClass::Other, 1, &request).await?;
                }
            }
            number += 1;
        }
        let parts = number;
        Ok(match big {
            true => tl::types::InputFileBig { id, parts, name }.into(),
            false => tl::types::InputFile {
                id,
                parts,
                name,
                md5_checksum: String::new(),
            }
            .into(),
        })
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
        patience: impl Into<Patience>,
    ) -> Result<FileRef, TelegramError> {
        let link = self.link_at_work(id).await?;
        self.effects(&link, patience).upload(upload).await
    }
}
