//! SHA-1 and SHA-256 over pieces, as the protocol writes them: `SHA1(a + b + c)`.

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// SHA-1 of the pieces put together.
pub fn sha1(pieces: &[&[u8]]) -> [u8; 20] {
    let mut hasher = Sha1::new();
    pieces.iter().for_each(|piece| hasher.update(piece));
    hasher.finalize().into()
}

/// SHA-256 of the pieces put together.
pub fn sha256(pieces: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    pieces.iter().for_each(|piece| hasher.update(piece));
    hasher.finalize().into()
}

/// `N` bytes of a slice from `from` on.
///
/// # Panics
/// If the slice ends before: offsets are constants of the protocol.
pub fn part<const N: usize>(bytes: &[u8], from: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[from..from + N]);
    out
}
