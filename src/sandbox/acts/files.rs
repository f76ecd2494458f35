//! Files that are made up or brought along: pictures and documents to attach.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::sandbox::world::files::{Attribute, FileKind};
use crate::sandbox::world::{Refusal, State};

/// A file to attach: one of `base64` and `generate`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewFile {
    /// Its bytes.
    pub base64: Option<String>,
    /// Or: bytes made of this number, always the same for the same one.
    pub generate: Option<u64>,
    /// How many bytes to generate (documents).
    pub size: Option<usize>,
    /// The measures of a generated picture.
    pub width: Option<u32>,
    /// The measures of a generated picture.
    pub height: Option<u32>,
    /// A document's name.
    pub name: Option<String>,
    /// A document's MIME type.
    pub mime: Option<String>,
    /// A document's kind: `video`, `audio`, `voice`, `sticker`, `animation`, `video_note`.
    pub kind: Option<String>,
    /// Seconds, for what plays.
    pub duration: Option<i32>,
}

impl State {
    /// Keeps a picture; answers the world's number of it.
    pub fn new_photo(&mut self, new: &NewFile) -> Result<i64, Refusal> {
        let bytes = match &new.base64 {
            Some(text) => decode(text)?,
            None => picture(
                new.width.unwrap_or(320),
                new.height.unwrap_or(240),
                new.generate.unwrap_or(0),
            )?,
        };
        self.keep_photo(bytes)
    }

    /// Keeps a document; answers the world's number of it.
    pub(super) fn new_document(&mut self, new: &NewFile) -> Result<i64, Refusal> {
        let bytes = match &new.base64 {
            Some(text) => decode(text)?,
            None => noise(new.size.unwrap_or(1024), new.generate.unwrap_or(0)),
        };
        let duration = new.duration.unwrap_or(1);
        let sides = |round| Attribute::Video {
            round,
            streaming: true,
            silent: false,
            duration: f64::from(duration),
            width: 320,
            height: 320,
        };
        let sound = |voice| Attribute::Audio {
            voice,
            duration,
            title: None,
            performer: None,
            waveform: None,
        };
        let (mime, attribute) = match new.kind.as_deref() {
            None | Some("document") => ("application/octet-stream", None),
            Some("video") => ("video/mp4", Some(sides(false))),
            Some("video_note") => ("video/mp4", Some(sides(true))),
            Some("animation") => ("video/mp4", Some(Attribute::Animated)),
            Some("audio") => ("audio/mpeg", Some(sound(false))),
            Some("voice") => ("audio/ogg", Some(sound(true))),
            Some("sticker") => (
                "image/webp",
                Some(Attribute::Sticker {
                    alt: "🙂".to_owned()
                }),
            ),
            Some(_) => return Err(Refusal::bad("MEDIA_INVALID")),
        };
        let mime = new.mime.clone().unwrap_or_else(|| mime.to_owned());
        let name = new.name.clone().map(Attribute::Filename);
        let attributes = attribute.into_iter().chain(name).collect();
        Ok(self.keep_file(bytes, FileKind::Document { mime, attributes }))
    }
}

fn decode(text: &str) -> Result<Vec<u8>, Refusal> {
    STANDARD
        .decode(text)
        .map_err(|_| Refusal::bad("FILE_CONTENT_TYPE_INVALID"))
}

/// Bytes that look random and depend on nothing but size and seed.
fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// A small picture (PNG) that depends on nothing but its measures and the seed.
pub fn picture(width: u32, height: u32, seed: u64) -> Result<Vec<u8>, Refusal> {
    let failed = || Refusal::bad("PHOTO_INVALID_DIMENSIONS");
    if !(1..=2048).contains(&width) || !(1..=2048).contains(&height) {
        return Err(failed());
    }
    let tint = noise(3, seed);
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let shade = |part: u32, whole: u32| u8::try_from(part * 255 / whole.max(1)).unwrap_or(255);
            pixels.extend([
                shade(x, width) ^ tint[0],
                shade(y, height) ^ tint[1],
                shade(x + y, width + height) ^ tint[2],
            ]);
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|_| failed())?;
    writer.write_image_data(&pixels).map_err(|_| failed())?;
    writer.finish().map_err(|_| failed())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::world::pictures::measure;

    #[test]
    fn a_generated_picture_is_a_picture_and_always_the_same() {
        let one = picture(64, 48, 3).expect("a picture");
        assert_eq!(measure(&one), Some((64, 48)));
        assert_eq!(one, picture(64, 48, 3).expect("a picture"));
        assert_ne!(one, picture(64, 48, 4).expect("a picture"));
        assert!(picture(0, 4, 1).is_err());
    }
}
