//! What the server finds out about an uploaded document itself: what is silent or a GIF is an animation, a small WebP a
//! sticker, an image has measures. Read from headers; nothing is decoded or made anew, so a GIF stays one.

use super::files::Attribute;
use super::pictures::measure;

/// The longest side of a sticker.
const STICKER: i32 = 512;

/// How a client wants its upload to be taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// As a file, whatever is in it.
    pub force_file: bool,
    /// As a video, though it has no sound.
    pub nosound_video: bool,
}

/// What is told about a document in the end.
pub fn probe(mime: &str, told: Vec<Attribute>, bytes: &[u8], wish: Wish) -> Vec<Attribute> {
    let mut told = told;
    if wish.force_file {
        told.retain(|attribute| matches!(attribute, Attribute::Filename(_) | Attribute::Image { .. }));
    }
    let sides = measure(bytes).filter(|_| mime.starts_with("image/"));
    if let Some((width, height)) = sides {
        told.retain(|attribute| !matches!(attribute, Attribute::Image { .. }));
        told.insert(0, Attribute::Image { width, height });
    }
    if wish.force_file {
        return told;
    }
    let sticker = told.iter().any(|it| matches!(it, Attribute::Sticker { .. }));
    match (mime, sides) {
        ("image/gif", Some(_)) => add(&mut told, Attribute::Animated),
        ("image/webp", Some((width, height))) if width.max(height) <= STICKER && !sticker => {
            told.push(Attribute::Sticker { alt: String::new() });
        }
        _ => {}
    }
    let mut moves = false;
    let heard = hears(bytes);
    for attribute in &mut told {
        if let Attribute::Video {
            round: false, silent, ..
        } = attribute
        {
            *silent = heard.map_or(*silent, |heard| !heard);
            moves = *silent && mime == "video/mp4";
        }
    }
    if moves && !wish.nosound_video {
        add(&mut told, Attribute::Animated);
    }
    told
}

fn add(told: &mut Vec<Attribute>, attribute: Attribute) {
    if !told.contains(&attribute) {
        told.push(attribute);
    }
}

/// Whether an MP4 has a track of sound; `None` if it is none.
fn hears(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes.get(4..8).filter(|name| *name == b"ftyp").map(|_| bytes)?;
    while let (Some(size), Some(name)) = (rest.get(..4), rest.get(4..8)) {
        let size = size.iter().fold(0, |size, byte| (size << 8) | usize::from(*byte));
        let whole = rest.get(..size).filter(|whole| whole.len() >= 8)?;
        if name == b"moov" {
            let handlers = whole.windows(16).filter(|it| it.starts_with(b"hdlr"));
            return Some(handlers.into_iter().any(|it| &it[12..] == b"soun"));
        }
        rest = &rest[size..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mp4(handlers: &[&[u8; 4]]) -> Vec<u8> {
        let boxed = |name: &[u8; 4], inner: &[u8]| {
            let size = u32::try_from(inner.len() + 8).expect("small").to_be_bytes();
            [size.as_slice(), name, inner].concat()
        };
        let tracks: Vec<u8> = handlers
            .iter()
            .flat_map(|it| boxed(b"hdlr", &[[0; 8].as_slice(), *it].concat()))
            .collect();
        [
            boxed(b"ftyp", b"isom"),
            boxed(b"mdat", b"soun"),
            boxed(b"moov", &tracks),
        ]
        .concat()
    }

    fn video(silent: bool) -> Attribute {
        Attribute::Video {
            round: false,
            streaming: true,
            silent,
            duration: 1.0,
            width: 32,
            height: 32,
        }
    }

    #[test]
    fn what_has_no_sound_is_an_animation_unless_it_is_to_be_a_video() {
        let (silent, heard) = (mp4(&[b"vide"]), mp4(&[b"vide", b"soun"]));
        assert_eq!(
            (hears(&silent), hears(&heard), hears(b"noise")),
            (Some(false), Some(true), None)
        );
        let told = |bytes: &[u8], wish| probe("video/mp4", vec![video(false)], bytes, wish);
        assert_eq!(told(&silent, Wish::default()), [video(true), Attribute::Animated]);
        assert_eq!(told(&heard, Wish::default()), [video(false)]);
        assert_eq!(told(b"noise", Wish::default()), [video(false)]);
        let as_video = Wish {
            nosound_video: true,
            ..Wish::default()
        };
        assert_eq!(told(&silent, as_video), [video(true)]);
        let as_file = Wish {
            force_file: true,
            ..Wish::default()
        };
        assert_eq!(told(&silent, as_file), []);
        let round = Attribute::Video {
            round: true,
            streaming: false,
            silent: false,
            duration: 1.0,
            width: 32,
            height: 32,
        };
        assert_eq!(
            probe("video/mp4", vec![round.clone()], &silent, Wish::default()),
            [round]
        );
    }

    #[test]
    fn images_are_measured_and_gifs_and_small_webps_are_more_than_that() {
        let gif = b"GIF89a\x20\x00\x10\0\0\0\0";
        let webp = b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x3f\0\0\x1f\0\0";
        let image = |width, height| Attribute::Image { width, height };
        let told = |mime, bytes: &[u8]| probe(mime, vec![], bytes, Wish::default());
        assert_eq!(told("image/gif", gif), [image(32, 16), Attribute::Animated]);
        let sticker = Attribute::Sticker { alt: String::new() };
        assert_eq!(told("image/webp", webp), [image(64, 32), sticker]);
        assert_eq!(told("image/png", b"noise"), []);
        let as_file = Wish {
            force_file: true,
            ..Wish::default()
        };
        let name = Attribute::Filename("a.gif".into());
        let kept = probe("image/gif", vec![name.clone(), Attribute::Animated], gif, as_file);
        assert_eq!(kept, [image(32, 16), name]);
    }
}
