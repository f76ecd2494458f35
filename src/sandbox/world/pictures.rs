//! Pictures as Telegram makes them anew: measured by their header, other bytes than were uploaded, several sizes.
//!
//! Nothing is decoded: what is in a picture stays as it is, and a remark in it, as each format has one, makes other
//! bytes of it, a few more for each larger size. So all sizes show the same, and one beyond the largest size is told as
//! smaller than it is. A PNG stays one, though all are told as JPEG.

use std::borrow::Cow;
use std::ops::Range;

use super::refusal::Refusal;

/// The longest side of a picture; a larger one is made smaller.
const LONGEST: i32 = 2560;

/// Width and height together, at most.
const BOTH: i32 = 10_000;

/// So many times its shorter side is the longer one, at most.
const RATIO: i64 = 20;

/// The sizes of a picture by their longer side.
const SIZES: [(&str, i32); 4] = [("m", 320), ("x", 800), ("y", 1280), ("w", LONGEST)];

/// What pictures may be called.
const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "gif", "webp", "bmp"];

/// One size of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Its letter.
    pub letter: &'static str,
    /// Its width.
    pub width: i32,
    /// Its height.
    pub height: i32,
}

/// The sizes of a picture, smallest first.
pub fn sizes(width: i32, height: i32) -> Vec<Size> {
    let longer = width.max(height);
    let mut sizes = Vec::new();
    let mut before = 0;
    for (letter, side) in SIZES {
        if longer > before {
            let (width, height) = within(width, height, side);
            sizes.push(Size {
                letter,
                width,
                height,
            });
        }
        before = side;
    }
    sizes
}

/// Width and height so that neither is beyond a side.
fn within(width: i32, height: i32, side: i32) -> (i32, i32) {
    let longer = width.max(height);
    if longer <= side {
        return (width, height);
    }
    let part = |length: i32| i64::from(length) * i64::from(side) / i64::from(longer);
    let part = |length| i32::try_from(part(length)).unwrap_or(side).max(1);
    (part(width), part(height))
}

/// Whether a picture may be called so.
pub fn check_name(name: &str) -> Result<(), Refusal> {
    let extension = name.rsplit_once('.').map(|(_, end)| end.to_lowercase());
    let known = extension.is_some_and(|end| EXTENSIONS.contains(&end.as_str()));
    known.then_some(()).ok_or(Refusal::bad("PHOTO_EXT_INVALID"))
}

/// A picture made anew: its bytes, its width and its height.
pub fn anew(bytes: &[u8]) -> Result<(Vec<u8>, i32, i32), Refusal> {
    let failed = Refusal::bad("IMAGE_PROCESS_FAILED");
    let (width, height) = measure(bytes).ok_or(failed.clone())?;
    let (longer, shorter) = (width.max(height), width.min(height));
    if shorter <= 0 || width.saturating_add(height) > BOTH || i64::from(longer) > i64::from(shorter) * RATIO {
        return Err(Refusal::bad("PHOTO_INVALID_DIMENSIONS"));
    }
    let (width, height) = within(width, height, LONGEST);
    let largest = sizes(width, height).len();
    let parts = remarked(bytes, 0, largest).ok_or(failed)?;
    Ok((parts.concat(), width, height))
}

/// Some of the bytes of one size of a picture that was made anew, as far as there are so many; none if it has no such
/// size.
pub fn of_size(
    bytes: &[u8],
    (width, height): (i32, i32),
    letter: &str,
    wanted: Range<usize>,
) -> Option<Vec<u8>> {
    let sizes = sizes(width, height);
    let at = sizes.iter().position(|size| size.letter == letter)?;
    match at + 1 == sizes.len() {
        true => Some(cut(&[bytes.into()], wanted)),
        false => Some(cut(&remarked(bytes, sizes.len(), at + 1)?, wanted)),
    }
}

/// How many bytes a size of a picture takes, smallest first; the largest is the picture itself.
pub fn bytes_of(whole: usize, sizes: usize, at: usize) -> usize {
    whole - (sizes - at - 1) * STEP
}

/// A picture so small that it is told with the message: its sides and what would be drawn.
pub fn stripped(width: i32, height: i32) -> Vec<u8> {
    let (width, height) = within(width, height, 40);
    let side = |length: i32| u8::try_from(length).unwrap_or(40);
    [&[1, side(height), side(width)], [0x73; 24].as_slice()].concat()
}

/// So many bytes of a remark are added for each larger size.
const STEP: usize = 16;

/// Some of the bytes of what stands in parts, as far as there are so many.
pub fn cut(parts: &[Cow<'_, [u8]>], wanted: Range<usize>) -> Vec<u8> {
    let mut found = Vec::new();
    let mut before = 0;
    for part in parts {
        let from = wanted.start.saturating_sub(before).min(part.len());
        let to = wanted.end.saturating_sub(before).min(part.len());
        found.extend_from_slice(part.get(from..to).unwrap_or_default());
        before += part.len();
    }
    found
}

/// The parts of a picture with another remark: of one that is for `old` sizes (none has 0), one for `new` of them.
fn remarked(bytes: &[u8], old: usize, new: usize) -> Option<Vec<Cow<'_, [u8]>>> {
    let place = place(bytes)?;
    let length = |sizes: usize| match sizes {
        0 => 0,
        sizes => remark(place.format, sizes).len(),
    };
    let (head, tail) = (bytes.get(..place.at)?, bytes.get(place.at + length(old)..)?);
    let remark = remark(place.format, new);
    let whole = head.len() + remark.len() + tail.len();
    let mut parts = match place.format {
        // Its header tells how long it is.
        Format::Webp => {
            let size = u32::try_from(whole - 8).ok()?.to_le_bytes();
            vec![head[..4].into(), size.to_vec().into(), head[8..].into()]
        }
        _ => vec![head.into()],
    };
    parts.extend([remark.into(), tail.into()]);
    Some(parts)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Png,
    Jpeg,
    Gif,
    Webp,
}

/// Where a remark stands in a picture.
struct Place {
    format: Format,
    at: usize,
}

/// A remark as a format has it, longer for more sizes.
fn remark(format: Format, sizes: usize) -> Vec<u8> {
    let text = vec![b'.'; sizes * STEP];
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    match format {
        Format::Png => {
            let named = [b"tEXtComment\0".as_slice(), &text].concat();
            let length = u32::try_from(named.len() - 4).unwrap_or(0).to_be_bytes();
            let sum = crc32fast::hash(&named).to_be_bytes();
            [length.as_slice(), &named, &sum].concat()
        }
        Format::Jpeg => [&[0xff, 0xfe, 0, length + 2], text.as_slice()].concat(),
        Format::Gif => [&[0x21, 0xfe, length], text.as_slice(), &[0]].concat(),
        Format::Webp => [b"NOTE".as_slice(), &[length, 0, 0, 0], &text].concat(),
    }
}

fn place(bytes: &[u8]) -> Option<Place> {
    let (format, at) = match bytes {
        // Behind the header, which has always the same length.
        [0x89, b'P', b'N', b'G', ..] => (Format::Png, 33),
        [0xff, 0xd8, ..] => (Format::Jpeg, 2),
        [b'G', b'I', b'F', ..] => {
            let flags = *bytes.get(10)?;
            let colours = if flags & 0x80 == 0 { 0 } else { 2 << (flags & 7) };
            (Format::Gif, 13 + 3 * colours)
        }
        [b'R', b'I', b'F', b'F', ..] => {
            let chunk = usize::try_from(little(bytes.get(16..20)?)).ok()?;
            (Format::Webp, 20 + chunk + chunk % 2)
        }
        _ => return None,
    };
    (at <= bytes.len()).then_some(Place { format, at })
}

fn big(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

fn little(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

/// Width and height of a picture by its header; `None` if it is none, or ends before that.
pub fn measure(bytes: &[u8]) -> Option<(i32, i32)> {
    let number = |read: fn(&[u8]) -> u32, at: usize, count: usize| -> Option<i32> {
        i32::try_from(read(bytes.get(at..at + count)?)).ok()
    };
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Some((number(big, 16, 4)?, number(big, 20, 4)?));
    }
    if bytes.starts_with(b"GIF8") {
        return Some((number(little, 6, 2)?, number(little, 8, 2)?));
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        let less = |at: usize| Some(number(little, at, 3)? + 1);
        return match bytes.get(12..16)? {
            b"VP8X" => Some((less(24)?, less(27)?)),
            b"VP8 " => Some((number(little, 26, 2)? & 0x3fff, number(little, 28, 2)? & 0x3fff)),
            b"VP8L" => {
                let packed = little(bytes.get(21..25)?);
                let side = |shift: u32| i32::try_from((packed >> shift) & 0x3fff).ok();
                Some((side(0)? + 1, side(14)? + 1))
            }
            _ => None,
        };
    }
    if !bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        return None;
    }
    let mut at = 2;
    while let (Some(0xff), Some(marker)) = (bytes.get(at), bytes.get(at + 1)) {
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            return Some((number(big, at + 7, 2)?, number(big, at + 5, 2)?));
        }
        at += 2 + usize::try_from(number(big, at + 2, 2)?).ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::acts::picture;

    fn jpeg(width: u16, height: u16) -> Vec<u8> {
        let ([a, b], [c, d]) = (height.to_be_bytes(), width.to_be_bytes());
        let head = [
            0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0, 0xff, 0xc0, 0, 11, 8, a, b, c, d,
        ];
        head.to_vec()
    }

    #[test]
    fn a_picture_is_measured_by_its_header() {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend([0, 0, 1, 0, 0, 0, 0, 2]);
        assert_eq!(measure(&png), Some((256, 2)));
        assert_eq!(measure(b"hello"), None);
        assert_eq!(measure(&jpeg(7, 5)), Some((7, 5)));
        assert_eq!(measure(&jpeg(7, 5)[..10]), None, "it ends before");
        assert_eq!(measure(b"GIF89a\x20\x01\x10\0"), Some((288, 16)));
        let webp = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x3f\0\0\x1f\0\0";
        assert_eq!(measure(webp), Some((64, 32)));
    }

    #[test]
    fn a_picture_has_sizes_by_its_longer_side() {
        let told = |width, height| -> Vec<(&str, i32, i32)> {
            let sizes = sizes(width, height);
            sizes.iter().map(|it| (it.letter, it.width, it.height)).collect()
        };
        assert_eq!(told(60, 40), [("m", 60, 40)]);
        assert_eq!(told(320, 240), [("m", 320, 240)]);
        assert_eq!(
            told(400, 1000),
            [("m", 128, 320), ("x", 320, 800), ("y", 400, 1000)]
        );
        assert_eq!(told(2560, 100).last(), Some(&("w", 2560, 100)));
    }

    #[test]
    fn a_picture_made_anew_is_a_picture_of_other_bytes_in_every_size() {
        let uploaded = picture(400, 900, 3).expect("a picture");
        let (made, width, height) = anew(&uploaded).expect("made");
        assert_eq!((width, height), (400, 900));
        let sizes = sizes(width, height);
        for (at, size) in sizes.iter().enumerate() {
            let bytes = of_size(&made, (width, height), size.letter, ALL).expect("a size");
            let end = of_size(&made, (width, height), size.letter, 20..usize::MAX);
            assert_eq!(end.as_deref(), bytes.get(20..));
            assert_eq!(bytes.len(), bytes_of(made.len(), sizes.len(), at), "{size:?}");
            assert!(bytes.len() > uploaded.len());
            let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes))
                .read_info()
                .expect("a PNG");
            let mut pixels = vec![0; reader.output_buffer_size().expect("small")];
            reader.next_frame(&mut pixels).expect("a PNG");
        }
        assert_eq!(of_size(&made, (width, height), "w", ALL), None);
        for uploaded in [
            jpeg(3000, 1500),
            b"GIF89a\x20\x01\x10\0\x80\0\0abcdef\x3b".to_vec(),
        ] {
            let (made, width, height) = anew(&uploaded).expect("made");
            let largest = sizes_of(width, height);
            assert_eq!(
                of_size(&made, (width, height), largest, ALL).as_ref(),
                Some(&made)
            );
            assert!(measure(&made).is_some() && made != uploaded);
        }
        assert_eq!(anew(&jpeg(3000, 1500)).map(|it| (it.1, it.2)), Ok((2560, 1280)));
    }

    const ALL: Range<usize> = 0..usize::MAX;

    fn sizes_of(width: i32, height: i32) -> &'static str {
        sizes(width, height).last().map_or("", |size| size.letter)
    }

    #[test]
    fn what_is_no_picture_or_of_no_shape_is_refused() {
        let refused = |bytes: &[u8]| anew(bytes).expect_err("refused").name;
        assert_eq!(refused(b"hello"), "IMAGE_PROCESS_FAILED");
        assert_eq!(refused(&jpeg(9000, 1001)), "PHOTO_INVALID_DIMENSIONS");
        assert_eq!(refused(&jpeg(2100, 100)), "PHOTO_INVALID_DIMENSIONS");
        assert_eq!(refused(&jpeg(2001, 100)), "PHOTO_INVALID_DIMENSIONS");
        assert_eq!(refused(&jpeg(0, 100)), "PHOTO_INVALID_DIMENSIONS");
        assert!(check_name("a.JPG").is_ok());
        for name in ["a", "a.txt", ""] {
            assert_eq!(check_name(name), Err(Refusal::bad("PHOTO_EXT_INVALID")));
        }
    }
}
