//! A QR as a picture: black modules on white, a quiet zone around them, one bit a pixel.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use qrcode::{Color, EcLevel, QrCode};

/// Pixels along a module's side.
const SCALE: usize = 8;

/// Modules of white around the code, as the standard demands.
const QUIET: usize = 4;

/// The picture as a PNG; none if the text is too long for a QR.
pub fn png(text: &str) -> Option<Vec<u8>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let (width, modules) = (code.width(), code.to_colors());
    let side = (width + 2 * QUIET) * SCALE;
    let dark = |x: usize, y: usize| {
        let (x, y) = (x.wrapping_sub(QUIET), y.wrapping_sub(QUIET));
        x < width && y < width && modules[y * width + x] == Color::Dark
    };
    let mut rows = Vec::with_capacity(side * side.div_ceil(8));
    for y in 0..side {
        let mut row = vec![0xff_u8; side.div_ceil(8)];
        for x in (0..side).filter(|x| dark(x / SCALE, y / SCALE)) {
            row[x / 8] &= !(0x80 >> (x % 8));
        }
        rows.extend(row);
    }
    let side = u32::try_from(side).ok()?;
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    encoder.write_header().ok()?.write_image_data(&rows).ok()?;
    Some(out)
}

/// The picture as a URL that a page can show as it is.
pub fn data_url(text: &str) -> Option<String> {
    Some(format!("data:image/png;base64,{}", STANDARD.encode(png(text)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_the_code_within_a_quiet_zone() {
        let text = "tg://login?token=AQLjLp1pCVYUV1Hs0SWzIhBMbjSqqR4GVvtTAm5G8eQ";
        let picture = png(text).expect("a picture");
        let mut reader = png::Decoder::new(std::io::Cursor::new(picture))
            .read_info()
            .expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        let frame = reader.next_frame(&mut pixels).expect("a frame");
        let light = |x: usize, y: usize| pixels[y * frame.line_size + x / 8] & (0x80 >> (x % 8)) != 0;
        let code = QrCode::with_error_correction_level(text, EcLevel::M).expect("a code");
        let side = frame.width as usize / SCALE;
        assert_eq!(side, code.width() + 2 * QUIET);
        for y in 0..side {
            for x in 0..side {
                let inside = (QUIET..side - QUIET).contains(&x) && (QUIET..side - QUIET).contains(&y);
                let dark = inside && code[(x - QUIET, y - QUIET)] == Color::Dark;
                for (px, py) in [(0, 0), (SCALE - 1, SCALE - 1)] {
                    assert_ne!(light(x * SCALE + px, y * SCALE + py), dark, "module {x},{y}");
                }
            }
        }
        assert!(png(&"x".repeat(5000)).is_none());
    }
}
