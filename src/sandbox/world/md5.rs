//! MD5 (RFC 1321), which a client may send with a small file. It proves nothing but that no part was mixed up.

/// How far each step turns, by its round and its place in it.
const TURNS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The sum of bytes, in hexadecimal.
pub fn md5(bytes: &[u8]) -> String {
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    let bits = (bytes.len() as u64).wrapping_mul(8);
    padded.extend(bits.to_le_bytes());
    let constants: Vec<u32> = (1..=64_u32)
        .map(|step| (f64::from(step).sin().abs() * 4_294_967_296.0) as u32)
        .collect();
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded.chunks_exact(64) {
        mix(&mut state, block, &constants);
    }
    let sum: Vec<u8> = state.iter().flat_map(|word| word.to_le_bytes()).collect();
    super::files::hex(&sum)
}

fn mix(state: &mut [u32; 4], block: &[u8], constants: &[u32]) {
    let words: Vec<u32> = block
        .chunks_exact(4)
        .map(|word| {
            word.iter()
                .rev()
                .fold(0, |number, byte| (number << 8) | u32::from(*byte))
        })
        .collect();
    let [mut a, mut b, mut c, mut d] = *state;
    for (step, constant) in constants.iter().enumerate() {
        let (mixed, word) = match step / 16 {
            0 => ((b & c) | (!b & d), step),
            1 => ((d & b) | (!d & c), 5 * step + 1),
            2 => (b ^ c ^ d, 3 * step + 5),
            _ => (c ^ (b | !d), 7 * step),
        };
        let sum = a
            .wrapping_add(mixed)
            .wrapping_add(*constant)
            .wrapping_add(words[word % 16]);
        let turned = sum.rotate_left(TURNS[step / 16][step % 4]);
        (a, d, c, b) = (d, c, b, b.wrapping_add(turned));
    }
    for (kept, added) in state.iter_mut().zip([a, b, c, d]) {
        *kept = kept.wrapping_add(added);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_its_own_document_come_out() {
        assert_eq!(md5(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(md5(b"message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
        let long = b"12345678901234567890123456789012345678901234567890123456789012345678901234567890";
        assert_eq!(md5(long), "57edf4a22be3c955ac49da2e2107b67a");
    }
}
