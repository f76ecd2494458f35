//! Files that come as forms: written to the data folder as they come, and there while their request lasts.
//!
//! How large one may be and how long it may take are settings; how many come at once is not. What a dead process left
//! is removed at the start. Nothing here knows what the file is for.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body as HttpBody;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::config::HttpConfig;
use super::failure::Failure;
use super::impatient::cut_off;
use super::multipart::{Form, Head, Piece};
use crate::base::Code;
use crate::telegram::Spooled;

/// The folder within the data folder.
const FOLDER: &str = "uploads";

/// How many come, or wait to be handed on, at once.
const AT_ONCE: usize = 8;

/// The most bytes of all fields together that are no file.
const FIELDS: usize = 64 * 1024;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

/// What the files of this process are called: those of others are left over.
static PROCESS: LazyLock<String> = LazyLock::new(|| ulid::Ulid::new().to_string().to_lowercase());

/// A file that came.
pub struct FormFile {
    /// It is removed with the last of these.
    pub spooled: Arc<Spooled>,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its content type, if it was told.
    pub mime: Option<String>,
    _place: SemaphorePermit<'static>,
}

/// Removes what earlier processes left.
pub(super) fn sweep(data: &Path) {
    let left = match std::fs::read_dir(data.join(FOLDER)) {
        Ok(left) => left,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return tracing::warn!(%error, "files that came by forms were not looked through"),
    };
    for entry in left.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PROCESS.as_str());
        if !ours && let Err(error) = std::fs::remove_file(entry.path()) {
            tracing::warn!(%error, "a file that came by a form is left");
        }
    }
}

/// Reads a form: its fields as a JSON object, those named as numbers, and its file.
pub(super) async fn receive<B>(
    (data, config): (&Path, &HttpConfig),
    boundary: &str,
    numbers: &[&str],
    body: B,
) -> Result<(Bytes, Option<FormFile>), Failure>
where
    B: HttpBody<Data = Bytes> + Send,
{
    let place = PLACES.try_acquire().map_err(|_| Failure::new(Code::TooBusy))?;
    let most = config.max_upload_bytes;
    let coming = Coming::default().read(data, most, boundary, body);
    let come = tokio::time::timeout(*config.upload_timeout, coming);
    let come = come.await.map_err(|_| {
        cut_off("body");
        Failure::new(Code::RequestTimeout)
    })??;
    let fields: Map<String, Value> = come
        .fields
        .into_iter()
        .map(|(name, text)| {
            let number = numbers
                .contains(&name.as_str())
                .then(|| text.trim().parse::<i64>().ok());
            let value = number.flatten().map_or(Value::String(text), Value::from);
            (name, value)
        })
        .collect();
    let file = come.file.map(|(head, spooled)| FormFile {
        spooled: Arc::new(spooled),
        name: head.file_name.filter(|name| !name.is_empty()),
        mime: head.mime,
        _place: place,
    });
    Ok((Value::Object(fields).to_string().into(), file))
}

/// What has come of a form.
#[derive(Default)]
struct Coming {
    fields: Vec<(String, String)>,
    /// The bytes of the field under way.
    field: Option<(String, Vec<u8>)>,
    file: Option<(Head, Spooled)>,
    writing: Option<Writing>,
}

/// The file under way.
struct Writing {
    file: tokio::fs::File,
    hash: Sha256,
    size: u64,
}

impl Coming {
    async fn read<B>(mut self, data: &Path, most: u64, boundary: &str, body: B) -> Result<Self, Failure>
    where
        B: HttpBody<Data = Bytes> + Send,
    {
        let mut form = Form::new(boundary);
        let mut body = pin!(body);
        while let Some(frame) = body.frame().await {
            let early = |_| Failure::invalid("the body ended early");
            let Ok(bytes) = frame.map_err(early)?.into_data() else {
                continue;
            };
            form.feed(&bytes);
            while let Some(piece) = form.piece().map_err(Failure::invalid)? {
                match piece {
                    Piece::Part(head) => self.begin(data, head).await?,
                    Piece::Bytes(bytes) => self.take(&bytes, most).await?,
                    Piece::End => {
                        self.end().await?;
                        return Ok(self);
                    }
                }
            }
        }
        Err(Failure::invalid("the form has no end"))
    }

    async fn begin(&mut self, data: &Path, head: Head) -> Result<(), Failure> {
        self.end().await?;
        let known = self.fields.iter().any(|(name, _)| *name == head.name);
        if known || (head.file_name.is_some() && self.file.is_some()) {
            return Err(Failure::invalid("a field of the form comes twice").detail("field", head.name));
        }
        if head.file_name.is_none() {
            self.field = Some((head.name, Vec::new()));
            return Ok(());
        }
        if head.name != "file" {
            return Err(Failure::invalid("the file's field is called file").detail("field", head.name));
        }
        let (path, file) = open(data).await.map_err(|error| refused(&error))?;
        self.file = Some((head, Spooled::new(path)));
        self.writing = Some(Writing {
            file,
            hash: Sha256::new(),
            size: 0,
        });
        Ok(())
    }

    async fn take(&mut self, bytes: &[u8], most: u64) -> Result<(), Failure> {
        if let Some(writing) = &mut self.writing {
            writing.size += bytes.len() as u64;
            if writing.size > most {
                return Err(Failure::new(Code::BodyTooLarge).detail("limit", most));
            }
            writing.hash.update(bytes);
            return writing
                .file
                .write_all(bytes)
                .await
                .map_err(|error| refused(&error));
        }
        let sum: usize = self.fields.iter().map(|(_, text)| text.len()).sum();
        let Some((_, field)) = &mut self.field else {
            return Ok(());
        };
        if sum + field.len() + bytes.len() > FIELDS {
            return Err(Failure::new(Code::BodyTooLarge).detail("limit", FIELDS));
        }
        field.extend_from_slice(bytes);
        Ok(())
    }

    /// The part under way is over.
    async fn end(&mut self) -> Result<(), Failure> {
        if let Some((name, bytes)) = self.field.take() {
            let text = String::from_utf8(bytes);
            let text =
                text.map_err(|_| Failure::invalid("a field is not UTF-8").detail("field", name.as_str()))?;
            self.fields.push((name, text));
        }
        if let Some(mut writing) = self.writing.take() {
            writing.file.flush().await.map_err(|error| refused(&error))?;
            if let Some((_, spooled)) = &mut self.file {
                spooled.filled(writing.size, writing.hash.finalize().into());
            }
        }
        Ok(())
    }
}

async fn open(data: &Path) -> io::Result<(PathBuf, tokio::fs::File)> {
    let folder = data.join(FOLDER);
    tokio::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .await?;
    let name = format!("{}-{}", *PROCESS, ulid::Ulid::new().to_string().to_lowercase());
    let path = folder.join(name);
    let mut options = tokio::fs::OpenOptions::new();
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .await?;
    Ok((path, file))
}

fn refused(error: &io::Error) -> Failure {
    Failure::unavailable(format!("a file could not be kept in the data folder: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_left_is_removed() {
        let data = tempfile::tempdir().expect("a folder");
        sweep(data.path());
        let folder = data.path().join(FOLDER);
        std::fs::create_dir(&folder).expect("made");
        let own = folder.join(format!("{}-1", *PROCESS));
        for path in [&own, &folder.join("01another-1")] {
            std::fs::write(path, b"bytes").expect("written");
        }
        sweep(data.path());
        let left: Vec<_> = std::fs::read_dir(&folder).expect("a folder").flatten().collect();
        assert_eq!(left.len(), 1);
        drop(Spooled::new(own.clone()));
        assert!(!own.exists(), "it goes with its request");
    }
}
