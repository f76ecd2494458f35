//! Photos, documents and other attachments as records of the schema.

use grammers_tl_types::{enums, types};

use super::Viewer;
use crate::sandbox::world::content::{Content, Media, Uid};
use crate::sandbox::world::files::{Attribute, FileKind, Stored, THUMB};
use crate::sandbox::world::pictures;

impl Viewer<'_> {
    /// What is attached to a message.
    pub fn media(&self, media: &Media, origin: Option<Uid>) -> enums::MessageMedia {
        match media {
            Media::File { file, spoiler } => match self.state.files.stored.get(file) {
                Some(file) => self.file(file, *spoiler, origin),
                None => enums::MessageMedia::Empty,
            },
            Media::Geo { latitude, longitude } => types::MessageMediaGeo {
                geo: types::GeoPoint {
                    long: *longitude,
                    lat: *latitude,
                    access_hash: 0,
                    accuracy_radius: None,
                }
                .into(),
            }
            .into(),
            Media::Page { url } if self.has_no_page(url) => enums::MessageMedia::Empty,
            Media::Page { url } => self.page_media(url),
            Media::Poll { poll } => self.poll_media(*poll),
            Media::Contact {
                phone,
                first_name,
                last_name,
            } => types::MessageMediaContact {
                phone_number: phone.clone(),
                first_name: first_name.clone(),
                last_name: last_name.clone(),
                vcard: String::new(),
                user_id: 0,
            }
            .into(),
        }
    }

    /// Media with their time to live, and without a file once that is over.
    pub fn vanishing(&self, media: enums::MessageMedia, content: &Content) -> enums::MessageMedia {
        let gone = content.is_burnt(self.state.now);
        match media {
            enums::MessageMedia::Photo(it) => types::MessageMediaPhoto {
                ttl_seconds: content.ttl_seconds,
                photo: it.photo.filter(|_| !gone),
                ..it
            }
            .into(),
            enums::MessageMedia::Document(it) => types::MessageMediaDocument {
                ttl_seconds: content.ttl_seconds,
                document: it.document.filter(|_| !gone),
                ..it
            }
            .into(),
            other => other,
        }
    }

    fn file(&self, file: &Stored, spoiler: bool, origin: Option<Uid>) -> enums::MessageMedia {
        match &file.kind {
            FileKind::Photo { .. } => types::MessageMediaPhoto {
                spoiler,
                live_photo: false,
                photo: Some(self.photo(file, origin)),
                ttl_seconds: None,
                video: None,
            }
            .into(),
            FileKind::Document { .. } => {
                let word = file.kind.word();
                types::MessageMediaDocument {
                    nopremium: false,
                    spoiler,
                    video: matches!(word, "video" | "video_note"),
                    round: word == "video_note",
                    voice: word == "voice",
                    document: Some(self.document(file, origin)),
                    alt_documents: None,
                    video_cover: None,
                    video_timestamp: None,
                    ttl_seconds: None,
                }
                .into()
            }
        }
    }

    /// A photo: with its sizes, or with one if its bytes were left untouched.
    pub fn photo(&self, file: &Stored, origin: Option<Uid>) -> enums::Photo {
        let (w, h) = match file.kind {
            FileKind::Photo { width, height } => (width, height),
            FileKind::Document { .. } => return types::PhotoEmpty { id: file.id }.into(),
        };
        types::Photo {
            has_stickers: false,
            id: file.id,
            access_hash: self.state.file_hash(self.account, file.id),
            file_reference: self.state.file_reference(self.account, file, origin),
            date: file.date,
            sizes: match file.anew {
                true => photo_sizes(file, w, h),
                false => vec![photo_size(size_letter(w.max(h)), (w, h), file.size)],
            },
            video_sizes: None,
            dc_id: self.state.centre_of(file, self.account),
        }
        .into()
    }

    /// The data centre of a file by its number.
    pub fn file_centre(&self, file: i64) -> i32 {
        let stored = self.state.files.stored.get(&file);
        stored.map_or_else(
            || self.state.home(self.account),
            |file| self.state.centre_of(file, self.account),
        )
    }

    /// A document.
    pub fn document(&self, file: &Stored, origin: Option<Uid>) -> enums::Document {
        let FileKind::Document { mime, attributes } = &file.kind else {
            return types::DocumentEmpty { id: file.id }.into();
        };
        types::Document {
            id: file.id,
            access_hash: self.state.file_hash(self.account, file.id),
            file_reference: self.state.file_reference(self.account, file, origin),
            date: file.date,
            mime_type: mime.clone(),
            size: i64::try_from(file.size).unwrap_or(i64::MAX),
            thumbs: file.thumb.as_ref().map(|thumb| {
                let (w, h) = (thumb.width, thumb.height);
                let stripped = types::PhotoStrippedSize {
                    r#type: "i".to_owned(),
                    bytes: pictures::stripped(w, h),
                };
                vec![stripped.into(), photo_size(THUMB, (w, h), thumb.size)]
            }),
            video_thumbs: None,
            dc_id: self.state.centre_of(file, self.account),
            attributes: attributes.iter().map(attribute).collect(),
        }
        .into()
    }
}

/// The sizes of a photo that was made anew: one so small that it is told at once, and those that can be fetched. The
/// largest can be shown before all of it is there, if it is no small one.
fn photo_sizes(file: &Stored, w: i32, h: i32) -> Vec<enums::PhotoSize> {
    let sizes = pictures::sizes(w, h);
    let stripped = types::PhotoStrippedSize {
        r#type: "i".to_owned(),
        bytes: pictures::stripped(w, h),
    };
    let mut told = vec![stripped.into()];
    for (at, size) in sizes.iter().enumerate() {
        let sides = (size.width, size.height);
        let bytes = pictures::bytes_of(file.size, sizes.len(), at);
        let largest = at + 1 == sizes.len();
        told.push(match largest && at > 0 {
            true => progressive(size.letter, sides, bytes),
            false => photo_size(size.letter, sides, bytes),
        });
    }
    told
}

fn photo_size(letter: &str, (w, h): (i32, i32), bytes: usize) -> enums::PhotoSize {
    types::PhotoSize {
        r#type: letter.to_owned(),
        w,
        h,
        size: i32::try_from(bytes).unwrap_or(i32::MAX),
    }
    .into()
}

/// A size of which the first tenth, the first third and so on can be shown already.
fn progressive(letter: &str, (w, h): (i32, i32), bytes: usize) -> enums::PhotoSize {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    types::PhotoSizeProgressive {
        r#type: letter.to_owned(),
        w,
        h,
        sizes: [bytes / 10, bytes / 3, bytes / 2, bytes].to_vec(),
    }
    .into()
}

/// The letter of a photo size by its longer side.
pub fn size_letter(longer: i32) -> &'static str {
    match longer {
        i32::MIN..=100 => "s",
        101..=320 => "m",
        321..=800 => "x",
        801..=1280 => "y",
        1281.. => "w",
    }
}

fn attribute(attribute: &Attribute) -> enums::DocumentAttribute {
    match attribute {
        Attribute::Image { width: w, height: h } => types::DocumentAttributeImageSize { w: *w, h: *h }.into(),
        Attribute::Animated => enums::DocumentAttribute::Animated,
        Attribute::Sticker { alt } => types::DocumentAttributeSticker {
            mask: false,
            alt: alt.clone(),
            stickerset: enums::InputStickerSet::Empty,
            mask_coords: None,
        }
        .into(),
        Attribute::Video {
            round,
            streaming,
            silent,
            duration,
            width: w,
            height: h,
        } => types::DocumentAttributeVideo {
            round_message: *round,
            supports_streaming: *streaming,
            nosound: *silent,
            duration: *duration,
            w: *w,
            h: *h,
            preload_prefix_size: None,
            video_start_ts: None,
            video_codec: None,
        }
        .into(),
        Attribute::Audio {
            voice,
            duration,
            title,
            performer,
            waveform,
        } => types::DocumentAttributeAudio {
            voice: *voice,
            duration: *duration,
            title: title.clone(),
            performer: performer.clone(),
            waveform: waveform.clone(),
        }
        .into(),
        Attribute::Filename(file_name) => types::DocumentAttributeFilename {
            file_name: file_name.clone(),
        }
        .into(),
    }
}

/// What a client tells about a document, as far as the world keeps it.
pub fn read_attribute(attribute: enums::DocumentAttribute) -> Option<Attribute> {
    use enums::DocumentAttribute as A;
    Some(match attribute {
        A::ImageSize(size) => Attribute::Image {
            width: size.w,
            height: size.h,
        },
        A::Animated => Attribute::Animated,
        A::Sticker(sticker) => Attribute::Sticker { alt: sticker.alt },
        A::Video(video) => Attribute::Video {
            round: video.round_message,
            streaming: video.supports_streaming,
            silent: video.nosound,
            duration: video.duration,
            width: video.w,
            height: video.h,
        },
        A::Audio(audio) => Attribute::Audio {
            voice: audio.voice,
            duration: audio.duration,
            title: audio.title,
            performer: audio.performer,
            waveform: audio.waveform,
        },
        A::Filename(name) => Attribute::Filename(name.file_name),
        A::HasStickers | A::CustomEmoji(_) => return None,
    })
}
