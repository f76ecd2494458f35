//! One number for all rows: the sum of a hash of each, kept up by every commit and compared when the database is
//! opened. Rows that are missing, that came back, or that are old although they are sound each for itself are
//! noticed by it. It guards against accidents and not against somebody who means it.

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hash of one row. It is stored (summed up), so it never changes.
pub(super) fn of_row(key: &[u8], row: &[u8]) -> u64 {
    let mut hash = absorb(FACTOR, key);
    hash = absorb(hash, row);
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(FACTOR);
    hash ^ (hash >> 29)
}

fn absorb(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        hash = step(hash, word);
    }
    hash = step(hash, words.remainder());
    mix(hash ^ bytes.len() as u64)
}

fn step(hash: u64, bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    mix(hash ^ u64::from_le_bytes(word))
}

fn mix(hash: u64) -> u64 {
    let hash = hash.wrapping_mul(FACTOR);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_change_of_a_row_changes_it() {
        let row: Vec<u8> = (0..40).collect();
        let mut seen = HashSet::from([of_row(b"key", &row), of_row(b"kez", &row), of_row(b"ke", &row)]);
        for at in 0..row.len() * 8 {
            let mut other = row.clone();
            other[at / 8] ^= 1 << (at % 8);
            seen.insert(of_row(b"key", &other));
        }
        seen.insert(of_row(b"key", &row[..39]));
        seen.insert(of_row(b"key\0", &row));
        assert_eq!(seen.len(), 3 + 320 + 2);
    }

    /// It is stored: a release that summed up differently would take every database for a damaged one.
    #[test]
    fn it_stays_as_it_is() {
        assert_eq!(of_row(b"", b""), 4089174222052208500);
        assert_eq!(of_row(b"key", b"a row of some bytes"), 15047776001532177191);
    }
}
