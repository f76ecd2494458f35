//! Files that come as forms: written to the data folder as they come, and there while their request lasts.
//!
//! A form has the fields of its route's body, each once, and one file. How large that may be and how long it may take are
//! settings; how large all else may be and how many come at once are not. What a dead process left is removed at the
//! start. Nothing here knows what the file is for.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as HttpBody;
use schemars::JsonSchema;
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

/// The most bytes around all that: boundaries, heads, what stands before the first part.
const FRAME: u64 = 64 * 1024;

/// How much of a name is repeated to whom it is refused.
const TOLD: usize = 64;

/// The field of the file.
const FILE: &str = "file";

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

/// What the files of this process are called: those of others are left over.
static PROCESS: LazyLock<String> = LazyLock::new(|| ulid::Ulid::new().to_string().to_lowercase());

/// The fields that a form may have: those of the body's schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormFields {
    /// By name, whether it is a number.
    names: BTreeMap<String, bool>,
}

impl FormFields {
    /// The fields of a body.
    pub fn of<B: JsonSchema>() -> Self {
        let schema = Value::from(schemars::schema_for!(B));
        let fields = schema["properties"].as_object();
        let names = fields
            .into_iter()
            .flatten()
            .map(|(name, field)| (name.clone(), may_be_number(&schema, field)));
        Self {
            names: names.collect(),
        }
    }

    fn is_number(&self, name: &str) -> bool {
        self.names.get(name).copied().unwrap_or(false)
    }
}

/// Whether a number fits a schema.
fn may_be_number(whole: &Value, schema: &Value) -> bool {
    if let Some(target) = schema["$ref"].as_str() {
        let target = whole.pointer(target.trim_start_matches('#'));
        return target.is_some_and(|target| may_be_number(whole, target));
    }
    let is_number = |kind: &Value| matches!(kind.as_str(), Some("integer" | "number"));
    let ways = ["anyOf", "oneOf"]
        .iter()
        .flat_map(|name| schema[*name].as_array());
    let kinds = schema["type"].as_array().map_or(&[][..], Vec::as_slice);
    is_number(&schema["type"])
        || kinds.iter().any(is_number)
        || ways.flatten().any(|way| may_be_number(whole, way))
}

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
    allowed: &FormFields,
    body: B,
) -> Result<(Bytes, Option<FormFile>), Failure>
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let most = config.max_upload_bytes;
    let whole = most.saturating_add(FIELDS as u64 + FRAME);
    let too_large = || Failure::new(Code::BodyTooLarge).detail("limit", most);
    if body.size_hint().lower() > whole {
        return Err(too_large());
    }
    let place = PLACES.try_acquire().map_err(|_| Failure::new(Code::TooBusy))?;
    let body = Limited::new(body, usize::try_from(whole).unwrap_or(usize::MAX));
    let coming = Coming::of(allowed).read(data, most, boundary, body);
    let come = tokio::time::timeout(*config.upload_timeout, coming);
    let come = come.await.map_err(|_| {
        cut_off("body");
        Failure::new(Code::RequestTimeout)
    })??;
    let fields: Map<String, Value> = come
        .fields
        .into_iter()
        .map(|(name, text)| {
            let number = allowed.is_number(&name).then(|| text.trim().parse::<i64>().ok());
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
struct Coming<'a> {
    allowed: &'a FormFields,
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

impl<'a> Coming<'a> {
    fn of(allowed: &'a FormFields) -> Self {
        Self {
            allowed,
            fields: Vec::new(),
            field: None,
            file: None,
            writing: None,
        }
    }

    async fn read<B>(
        mut self,
        data: &Path,
        most: u64,
        boundary: &str,
        body: Limited<B>,
    ) -> Result<Self, Failure>
    where
        B: HttpBody<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut form = Form::new(boundary);
        let mut body = pin!(body);
        while let Some(frame) = body.frame().await {
            let ended = |error: Box<dyn std::error::Error + Send + Sync>| match error.is::<LengthLimitError>()
            {
                true => Failure::new(Code::BodyTooLarge).detail("limit", most),
                false => Failure::invalid("the body ended early"),
            };
            let Ok(bytes) = frame.map_err(ended)?.into_data() else {
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
        let named = |failure: Failure| {
            let name: String = head.name.chars().take(TOLD).collect();
            failure.detail("field", name)
        };
        let is_file = head.file_name.is_some();
        if !self.allowed.names.contains_key(head.name.as_str()) {
            return Err(named(Failure::invalid("unknown field of the form")));
        }
        if is_file && head.name != FILE {
            return Err(named(Failure::invalid("the file's field is called file")));
        }
        let known = self.fields.iter().any(|(name, _)| *name == head.name);
        if known || (head.name == FILE && self.file.is_some()) {
            return Err(named(Failure::invalid("a field of the form comes twice")));
        }
        if !is_file {
            self.field = Some((head.name, Vec::new()));
            return Ok(());
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
    use crate::model::{ChatId, MessageId};

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is asked for")]
    struct Media {
        chat_id: ChatId,
        reply_to: Option<MessageId>,
        caption: Option<String>,
        file: String,
    }

    /// What becomes of a form with these parts, each a head and bytes.
    async fn sent(parts: &[(&str, &str)], before: &str) -> Result<(Bytes, bool), Failure> {
        let data = tempfile::tempdir().expect("a folder");
        let config = HttpConfig {
            max_upload_bytes: 1000,
            ..HttpConfig::default()
        };
        let mut text = before.to_owned();
        for (head, bytes) in parts {
            text.push_str(&format!(
                "--b\r\ncontent-disposition: form-data; {head}\r\n\r\n{bytes}\r\n"
            ));
        }
        text.push_str("--b--\r\n");
        // In pieces: nothing tells beforehand how long it is.
        let pieces: Vec<_> = text
            .as_bytes()
            .chunks(5000)
            .map(|piece| Ok::<_, io::Error>(hyper::body::Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let body = http_body_util::StreamBody::new(futures_util::stream::iter(pieces));
        let allowed = FormFields::of::<Media>();
        let (fields, file) = receive((data.path(), &config), "b", &allowed, body).await?;
        Ok((fields, file.is_some()))
    }

    #[tokio::test]
    async fn a_form_has_the_fields_of_its_body_and_no_others() {
        let file = ("name=file; filename=a", "bytes");
        let (fields, has_file) = sent(
            &[
                ("name=chat_id", " -7 "),
                ("name=reply_to", "8"),
                ("name=caption", "9"),
                file,
            ],
            "",
        )
        .await
        .expect("taken");
        let fields: Value = serde_json::from_slice(&fields).expect("JSON");
        assert_eq!(
            fields,
            serde_json::json!({"chat_id": -7, "reply_to": 8, "caption": "9"})
        );
        assert!(has_file);
        let long = format!("name={}", "x".repeat(8000));
        let big = "x".repeat(1001);
        let text = "x".repeat(FIELDS + 1);
        let preamble = "x".repeat(FIELDS + 70_000);
        for (parts, before, code, field) in [
            (vec![("name=chat", "1")], "", Code::InvalidRequest, "chat"),
            (
                vec![(long.as_str(), "")],
                "",
                Code::InvalidRequest,
                &long[5..5 + TOLD],
            ),
            (
                vec![("name=caption", ""), ("name=caption", "")],
                "",
                Code::InvalidRequest,
                "caption",
            ),
            (vec![file, file], "", Code::InvalidRequest, "file"),
            (
                vec![("name=file", "eA=="), file],
                "",
                Code::InvalidRequest,
                "file",
            ),
            (
                vec![file, ("name=file", "eA==")],
                "",
                Code::InvalidRequest,
                "file",
            ),
            (
                vec![("name=caption; filename=a", "")],
                "",
                Code::InvalidRequest,
                "caption",
            ),
            (
                vec![("name=file; filename=a", big.as_str())],
                "",
                Code::BodyTooLarge,
                "",
            ),
            (vec![("name=caption", text.as_str())], "", Code::BodyTooLarge, ""),
            (vec![file], preamble.as_str(), Code::BodyTooLarge, ""),
        ] {
            let refused = sent(&parts, before)
                .await
                .err()
                .unwrap_or_else(|| panic!("taken: {field}"));
            let told = refused.details.get("field").and_then(Value::as_str);
            assert_eq!((refused.code, told.unwrap_or_default()), (code, field));
        }
    }

    #[tokio::test]
    async fn a_form_of_many_parts_costs_no_memory() {
        let parts: Vec<_> = (0..2000).map(|_| ("name=\"caption\"", "")).collect();
        let refused = sent(&parts, "").await.expect_err("once each");
        assert_eq!(refused.code, Code::InvalidRequest);
    }

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
