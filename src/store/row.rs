//! A value as rows: `version, crc32, form, payload`.
//!
//! The checksum covers the key too, so that a row found under another key is not taken for its own, and the version
//! byte, so that a flipped one is told from a row of a later release (which must keep these first five bytes).
//! Values over [`CHUNK`] are compressed if that helps, and spread over part rows of the same commit
//! if they still are: pages of sled must stay small, as large ones leave its log and are never synced.
//! Reading never panics, whatever the bytes.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use zeroize::{Zeroize, Zeroizing};

use super::catalog;
use super::seal::Seal;

/// The form of rows that this release writes.
pub(super) const VERSION: u8 = 1;
/// The most bytes of payload in one row.
pub(super) const CHUNK: usize = 3072;
/// The most bytes of a packed value.
pub(super) const VALUE_LIMIT: usize = 4 << 20;
/// The most parts of a value; sealing adds some bytes to it.
const MOST_PARTS: usize = VALUE_LIMIT / CHUNK + 2;
/// The most bytes a compressed value may grow to: no row may take all memory.
const INFLATE_LIMIT: u64 = 64 << 20;
const HEADER: usize = 6;

const DEFLATED: u8 = 1;
const SEALED: u8 = 2;
const SPREAD: u8 = 4;
const PART: u8 = 8;

/// Why bytes are not served as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// They are damaged.
    Bad(&'static str),
    /// The seal key does not fit, or there is none.
    Seal,
    /// They are sound, and of a form that is not known here.
    Version(u8),
}

/// A value ready to be framed: compressed and sealed as it shall be.
#[derive(Debug)]
pub(super) struct Packed {
    form: u8,
    payload: Vec<u8>,
}

impl Packed {
    /// Compresses a long value.
    pub fn new(mut plain: Vec<u8>) -> Self {
        if plain.len() > CHUNK {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            if let Ok(deflated) = encoder.write_all(&plain).and_then(|()| encoder.finish())
                && deflated.len() < plain.len()
            {
                plain.zeroize();
                return Self {
                    form: DEFLATED,
                    payload: deflated,
                };
            }
        }
        Self {
            form: 0,
            payload: plain,
        }
    }

    /// Encrypts it for this table and key.
    pub fn sealed(mut self, seal: &Seal, table: &str, key: &[u8]) -> Self {
        let payload = seal.seal(table, key, &self.payload);
        self.payload.zeroize();
        Self {
            form: self.form | SEALED,
            payload,
        }
    }

    /// Its length.
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// Writes it as rows: the one under `key`, then the further parts.
    pub fn rows(self, key: Vec<u8>, mut put: impl FnMut(Vec<u8>, Vec<u8>)) {
        if self.payload.len() <= CHUNK {
            let row = frame(&key, self.form, &[&self.payload]);
            put(key, row);
            return;
        }
        let parts = self.payload.chunks(CHUNK);
        let count = u16::try_from(parts.len()).unwrap_or(u16::MAX).to_le_bytes();
        let whole = crc32fast::hash(&self.payload).to_le_bytes();
        for (at, part) in parts.enumerate() {
            let part_key = part_key(&key, u16::try_from(at).unwrap_or(u16::MAX));
            let row = frame(&part_key, PART, &[part]);
            put(part_key, row);
        }
        let row = frame(&key, self.form | SPREAD, &[&count, &whole]);
        put(key, row);
    }
}

/// The key of a further part.
pub(super) fn part_key(key: &[u8], at: u16) -> Vec<u8> {
    let mut part = Vec::with_capacity(key.len() + 3);
    part.push(catalog::PARTS.prefix);
    part.extend_from_slice(key);
    part.extend_from_slice(&at.to_be_bytes());
    part
}

/// How many further parts the row under a key has; zero if it is damaged.
pub(super) fn parts_of(row: &[u8]) -> u16 {
    match row.get(HEADER - 1) {
        Some(form) if form & SPREAD != 0 => match row.get(HEADER..HEADER + 2) {
            Some(count) => u16::from_le_bytes([count[0], count[1]]),
            None => 0,
        },
        _ => 0,
    }
}

fn checksum(key: &[u8], version: u8, form: u8, parts: &[&[u8]]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(&[version, form]);
    for part in parts {
        crc.update(part);
    }
    crc.finalize()
}

fn frame(key: &[u8], form: u8, parts: &[&[u8]]) -> Vec<u8> {
    frame_as(VERSION, key, form, parts)
}

fn frame_as(version: u8, key: &[u8], form: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut row = Vec::with_capacity(HEADER + parts.iter().map(|part| part.len()).sum::<usize>());
    row.push(version);
    row.extend_from_slice(&checksum(key, version, form, parts).to_le_bytes());
    row.push(form);
    for part in parts {
        row.extend_from_slice(part);
    }
    row
}

/// Checks a row; gives its form and payload.
fn unframe<'a>(key: &[u8], row: &'a [u8]) -> Result<(u8, &'a [u8]), Fault> {
    let Some((header, payload)) = row.split_at_checked(HEADER) else {
        return Err(Fault::Bad("it is too short"));
    };
    let crc = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    if crc != checksum(key, header[0], header[5], &[payload]) {
        return Err(Fault::Bad("its checksum differs"));
    }
    if header[0] != VERSION {
        return Err(Fault::Version(header[0]));
    }
    Ok((header[5], payload))
}

/// Whether the bytes under a key are no row, or one that was changed.
pub(super) fn is_damaged(key: &[u8], row: &[u8]) -> bool {
    matches!(unframe(key, row), Err(Fault::Bad(_)))
}

/// Whether a further part is sound in itself.
pub(super) fn is_sound_part(key: &[u8], row: &[u8]) -> bool {
    matches!(unframe(key, row), Ok((PART, _)))
}

/// The value that a row holds, its further parts fetched with `part`; `None` if those belong to
/// another writing of the value, and the caller shall read anew.
pub(super) fn open(
    table: &catalog::Entry,
    key: &[u8],
    row: &[u8],
    seal: Option<&Seal>,
    mut part: impl FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Result<Option<Vec<u8>>, Fault> {
    let (form, payload) = unframe(key, row)?;
    let joined;
    let payload = if form & SPREAD == 0 {
        payload
    } else {
        let Ok(&[low, high, a, b, c, d]) = <&[u8; 6]>::try_from(payload) else {
            return Err(Fault::Bad("it lists no parts"));
        };
        let count = u16::from_le_bytes([low, high]);
        if usize::from(count) > MOST_PARTS {
            return Err(Fault::Bad("it lists too many parts"));
        }
        let mut whole = Vec::new();
        for at in 0..count {
            let part_key = part_key(key, at);
            let Some(row) = part(&part_key) else {
                return Ok(None);
            };
            match unframe(&part_key, &row)? {
                (PART, bytes) => whole.extend_from_slice(bytes),
                _ => return Err(Fault::Bad("a part of it is none")),
            }
        }
        if crc32fast::hash(&whole) != u32::from_le_bytes([a, b, c, d]) {
            return Ok(None);
        }
        joined = whole;
        &joined
    };
    let unsealed;
    let payload = match (form & SEALED != 0, seal) {
        (false, _) if table.sealed && !table.once_open => return Err(Fault::Bad("it is not sealed")),
        (false, _) => payload,
        (true, None) => return Err(Fault::Seal),
        (true, Some(seal)) => {
            unsealed = Zeroizing::new(seal.unseal(table.name, key, payload).ok_or(Fault::Seal)?);
            &unsealed
        }
    };
    if form & DEFLATED == 0 {
        return Ok(Some(payload.to_vec()));
    }
    let mut plain = Vec::new();
    match DeflateDecoder::new(payload)
        .take(INFLATE_LIMIT)
        .read_to_end(&mut plain)
    {
        Ok(_) => Ok(Some(plain)),
        Err(_) => Err(Fault::Bad("it cannot be inflated")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    fn written(plain: &[u8], key: &[u8], seal: Option<&Seal>) -> HashMap<Vec<u8>, Vec<u8>> {
        let mut rows = HashMap::new();
        let mut packed = Packed::new(plain.to_vec());
        if let Some(seal) = seal {
            packed = packed.sealed(seal, "pairs", key);
        }
        packed.rows(key.to_vec(), |key, row| {
            assert!(row.len() <= 4096);
            rows.insert(key, row);
        });
        rows
    }

    fn read(
        rows: &HashMap<Vec<u8>, Vec<u8>>,
        key: &[u8],
        seal: Option<&Seal>,
    ) -> Result<Option<Vec<u8>>, Fault> {
        open(&catalog::PAIRS, key, &rows[key], seal, |part| {
            rows.get(part).cloned()
        })
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 7u64;
        (0..len)
            .map(|_| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                state.to_be_bytes()[0]
            })
            .collect()
    }

    #[test]
    fn long_values_are_spread_and_read_back() {
        let seal = Seal::new(&Zeroizing::new([3; 32]));
        for len in [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK, 100_000] {
            for seal in [None, Some(&seal)] {
                let plain = noise(len);
                let rows = written(&plain, b"\x40key", seal);
                assert_eq!(read(&rows, b"\x40key", seal), Ok(Some(plain)));
            }
        }
        assert_eq!(
            written(&[7; 50_000], b"\x40key", None).len(),
            1,
            "compression suffices"
        );
        let rows = written(&noise(9 * CHUNK), b"\x40key", None);
        assert_eq!(parts_of(&rows[b"\x40key".as_slice()]), 9);
    }

    #[test]
    fn a_missing_or_foreign_part_is_noticed() {
        let mut rows = written(&noise(5000), b"\x40key", None);
        let other = written(&[noise(100), noise(4900)].concat(), b"\x40key", None);
        let first = part_key(b"\x40key", 0);
        rows.insert(first.clone(), other[&first].clone());
        assert_eq!(read(&rows, b"\x40key", None), Ok(None));
        rows.remove(&first);
        assert_eq!(read(&rows, b"\x40key", None), Ok(None));
    }

    #[test]
    fn a_row_of_another_release_is_named() {
        let row = frame_as(9, b"\x40key", 0, &[b"text"]);
        let answer = open(&catalog::PAIRS, b"\x40key", &row, None, |_| None);
        assert_eq!(answer, Err(Fault::Version(9)));
    }

    #[test]
    fn what_an_earlier_release_did_not_seal_is_read_where_that_may_be() {
        let (key, seal) = (b"\x06key", Seal::new(&Zeroizing::new([3; 32])));
        let rows = written(b"plain", key, None);
        let read = |table| open(table, key, &rows[key.as_slice()], Some(&seal), |_| None);
        assert_eq!(read(&catalog::TASKS), Ok(Some(b"plain".to_vec())));
        assert_eq!(read(&catalog::SESSION_AUTH), Err(Fault::Bad("it is not sealed")));
    }

    #[test]
    fn more_parts_than_a_value_has_are_not_gathered() {
        let key = b"\x40key";
        let row = frame(key, SPREAD, &[&u16::MAX.to_le_bytes(), &[0; 4]]);
        let mut fetched = 0;
        let answer = open(&catalog::PAIRS, key, &row, None, |part| {
            fetched += 1;
            Some(frame(part, PART, &[&[0; CHUNK]]))
        });
        assert_eq!((answer, fetched), (Err(Fault::Bad("it lists too many parts")), 0));
        let seal = Seal::new(&Zeroizing::new([3; 32]));
        let rows = written(&noise(VALUE_LIMIT), key, Some(&seal));
        assert!(read(&rows, key, Some(&seal)).is_ok_and(|plain| plain.is_some()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(row: Vec<u8>, form: u8, sound: bool) {
            let key = b"\x40key";
            let row = if sound { frame(key, form, &[&row]) } else { row };
            let _unused = open(&catalog::PAIRS, key, &row, None, |_| Some(row.clone()));
            let _unused = parts_of(&row);
        }

        #[test]
        fn a_flipped_bit_is_never_served(plain: Vec<u8>, at: prop::sample::Index, bit in 0u8..8) {
            let mut rows = written(&plain, b"\x40key", None);
            let row = rows.get_mut(b"\x40key".as_slice()).expect("is there");
            let at = at.index(row.len());
            row[at] ^= 1 << bit;
            prop_assert!(matches!(read(&rows, b"\x40key", None), Err(Fault::Bad(_))));
        }

        #[test]
        fn a_row_under_another_key_is_refused(plain: Vec<u8>) {
            let rows = written(&plain, b"\x40key", None);
            let row = &rows[b"\x40key".as_slice()];
            prop_assert!(open(&catalog::PAIRS, b"\x40kez", row, None, |_| None).is_err());
        }
    }
}
