//! Files that come in parts: the rules for each part, and the whole one put together.

use std::collections::BTreeMap;

use super::md5::md5;
use super::refusal::Refusal;
use super::state::State;

/// The largest part.
const PART_MAX: usize = 524_288;

/// How long after its last part or its last use an upload is forgotten, in milliseconds.
const UPLOAD_KEPT: i64 = 3_600_000;

/// How many parts a file may have.
const PARTS_MAX: i32 = 4_000;

/// A larger file comes in big parts.
const SMALL: usize = 10 * 1024 * 1024;

/// A part as a client sends it.
#[derive(Debug)]
pub struct Part {
    /// The client's number of the file.
    pub file: i64,
    /// Its place in the file.
    pub number: i32,
    /// Of a big file: how many parts it has, or -1 if that is not known yet.
    pub total: Option<i32>,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// A file that comes in parts.
#[derive(Debug, Default)]
pub struct Upload {
    parts: BTreeMap<i32, Vec<u8>>,
    /// How many there are to be, once a big part told it.
    total: Option<i32>,
    /// The size of all but the last, once it is known.
    size: Option<usize>,
    /// When the last part came or it was used last, in milliseconds.
    at: i64,
}

impl Upload {
    /// Whether a part may be added to those that are there. Answers the size of all but the last, as far as it is known
    /// then.
    fn check(&self, part: &Part) -> Result<Option<usize>, Refusal> {
        let told = part.total.filter(|total| *total != -1);
        if told.is_some_and(|total| !(1..=PARTS_MAX).contains(&total))
            || told.zip(self.total).is_some_and(|(told, known)| told != known)
        {
            return Err(Refusal::bad("FILE_PARTS_INVALID"));
        }
        let total = told.or(self.total);
        if total.is_some_and(|total| part.number >= total) {
            return Err(Refusal::bad("FILE_PART_INVALID"));
        }
        // All but the last have one size. Only the furthest one that is there may turn out not to be the last.
        let furthest = self.parts.last_key_value();
        let furthest = furthest.map(|(number, bytes)| (*number, bytes.len()));
        let furthest = furthest.filter(|(number, _)| *number != part.number);
        let last = furthest.map_or(part.number, |(number, _)| number.max(part.number));
        let last = total.map_or(last, |total| total - 1);
        let concerned = [furthest, Some((part.number, part.bytes.len()))];
        let mut concerned = concerned.into_iter().flatten();
        let full = concerned.clone().find(|(number, _)| *number < last);
        let Some(size) = self.size.or(full.map(|(_, size)| size)) else {
            return Ok(None);
        };
        if concerned.any(|(number, length)| length > size || (number < last && length < size)) {
            return Err(Refusal::bad("FILE_PART_SIZE_CHANGED"));
        }
        if !fits(size) {
            return Err(Refusal::bad("FILE_PART_SIZE_INVALID"));
        }
        let before = usize::try_from(part.number).unwrap_or(0) * size;
        if part.total.is_none() && before >= SMALL {
            return Err(Refusal::bad("FILE_PART_INVALID"));
        }
        Ok(Some(size))
    }
}

/// Whether parts may have that size.
fn fits(size: usize) -> bool {
    size > 0 && size.is_multiple_of(1024) && PART_MAX.is_multiple_of(size)
}

impl State {
    /// Takes one part of a file; the same part again replaces the first.
    pub fn save_part(&mut self, account: i64, part: Part) -> Result<(), Refusal> {
        if part.bytes.is_empty() {
            return Err(Refusal::bad("FILE_PART_EMPTY"));
        }
        if part.bytes.len() > PART_MAX {
            return Err(Refusal::bad("FILE_PART_TOO_BIG"));
        }
        if !(0..PARTS_MAX).contains(&part.number) {
            return Err(Refusal::bad("FILE_PART_INVALID"));
        }
        let now = self.now;
        let uploads = &mut self.files.uploads;
        if !uploads.contains_key(&(account, part.file)) {
            uploads.retain(|_, upload| now - upload.at < UPLOAD_KEPT);
        }
        let upload = uploads.entry((account, part.file)).or_default();
        if self.switches.part_rules.decides() {
            upload.size = upload.check(&part)?;
        }
        upload.at = now;
        upload.total = part.total.filter(|total| *total != -1).or(upload.total);
        upload.parts.insert(part.number, part.bytes);
        Ok(())
    }

    /// Puts a file together out of its parts, which stay: it may be used again. A small one has a sum, which may be
    /// empty.
    pub fn assemble(
        &mut self,
        account: i64,
        file: i64,
        parts: i32,
        sum: Option<&str>,
    ) -> Result<Vec<u8>, Refusal> {
        if !(1..=PARTS_MAX).contains(&parts) {
            return Err(Refusal::bad("FILE_PARTS_INVALID"));
        }
        let strict = self.switches.part_rules.decides();
        let upload = self.files.uploads.get(&(account, file));
        let upload = upload.ok_or(Refusal::bad("FILE_PART_0_MISSING"))?;
        let held = &upload.parts;
        if strict && upload.total.is_some_and(|total| total != parts) {
            return Err(Refusal::bad("FILE_PARTS_INVALID"));
        }
        let size = held.get(&0).map_or(0, Vec::len);
        if parts > 1 && size > 0 && !fits(size) {
            return Err(Refusal::bad("FILE_PART_SIZE_INVALID"));
        }
        let mut whole = Vec::with_capacity(size * usize::try_from(parts).unwrap_or(0));
        for number in 0..parts {
            let part = held
                .get(&number)
                .ok_or_else(|| Refusal::other(400, format!("FILE_PART_{number}_MISSING")))?;
            let last = number + 1 == parts || !held.contains_key(&(number + 1));
            if (!last && part.len() != size) || part.len() > size {
                return Err(Refusal::bad("FILE_PART_SIZE_CHANGED"));
            }
            whole.extend_from_slice(part);
        }
        if strict && sum.is_some() && whole.len() > SMALL {
            return Err(Refusal::bad("FILE_PARTS_INVALID"));
        }
        let sum = sum.filter(|sum| !sum.is_empty());
        let right = |sum: &str| match strict {
            true => sum.eq_ignore_ascii_case(&md5(&whole)),
            false => sum.len() == 32 && sum.chars().all(|c| c.is_ascii_hexdigit()),
        };
        if sum.is_some_and(|sum| !right(sum)) {
            return Err(Refusal::bad("MD5_CHECKSUM_INVALID"));
        }
        let now = self.now;
        if let Some(upload) = self.files.uploads.get_mut(&(account, file)) {
            upload.at = now;
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save(state: &mut State, number: i32, total: Option<i32>, size: usize) -> Result<(), Refusal> {
        let bytes = vec![number.unsigned_abs() as u8 + 1; size];
        let part = Part {
            file: 9,
            number,
            total,
            bytes,
        };
        state.save_part(1, part)
    }

    #[test]
    fn parts_come_in_any_order_and_must_all_be_there() {
        let mut state = State::new(1);
        save(&mut state, 1, None, 10).expect("saved");
        let missing = state.assemble(1, 9, 2, None);
        assert_eq!(missing, Err(Refusal::other(400, "FILE_PART_0_MISSING")));
        save(&mut state, 0, None, 1024).expect("saved");
        let missing = state.assemble(1, 9, 3, None);
        assert_eq!(missing, Err(Refusal::other(400, "FILE_PART_2_MISSING")));
        let whole = state.assemble(1, 9, 2, None).expect("whole");
        assert_eq!((whole.len(), whole[0], whole[1024]), (1034, 1, 2));
    }

    #[test]
    fn each_part_keeps_the_rules() {
        let mut state = State::new(1);
        let refused = |it: Result<(), Refusal>| it.expect_err("refused").name;
        assert_eq!(refused(save(&mut state, 0, None, 0)), "FILE_PART_EMPTY");
        assert_eq!(
            refused(save(&mut state, 0, None, PART_MAX + 1)),
            "FILE_PART_TOO_BIG"
        );
        assert_eq!(refused(save(&mut state, -1, None, 9)), "FILE_PART_INVALID");
        assert_eq!(refused(save(&mut state, PARTS_MAX, None, 9)), "FILE_PART_INVALID");
        save(&mut state, 2, None, 2048).expect("saved");
        assert_eq!(refused(save(&mut state, 3, None, 4096)), "FILE_PART_SIZE_CHANGED");
        assert_eq!(refused(save(&mut state, 1, None, 1024)), "FILE_PART_SIZE_CHANGED");
        save(&mut state, 3, None, 100).expect("the last");
        assert_eq!(refused(save(&mut state, 4, None, 2048)), "FILE_PART_SIZE_CHANGED");
        assert_eq!(refused(save(&mut state, 9000, None, 1)), "FILE_PART_INVALID");
        let mut state = State::new(1);
        save(&mut state, 0, None, 3 * 1024).expect("it may be the last");
        assert_eq!(refused(save(&mut state, 1, None, 9)), "FILE_PART_SIZE_INVALID");
        let mut state = State::new(1);
        save(&mut state, 0, None, PART_MAX).expect("saved");
        assert_eq!(refused(save(&mut state, 20, None, PART_MAX)), "FILE_PART_INVALID");
        state.switches.part_rules.turn(false);
        save(&mut state, 20, None, 9).expect("at the end only");
    }

    #[test]
    fn big_parts_know_how_many_there_are() {
        let mut state = State::new(1);
        let refused = |it: Result<(), Refusal>| it.expect_err("refused").name;
        assert_eq!(refused(save(&mut state, 0, Some(0), 9)), "FILE_PARTS_INVALID");
        assert_eq!(refused(save(&mut state, 3, Some(3), 9)), "FILE_PART_INVALID");
        assert_eq!(
            refused(save(&mut state, 0, Some(3), 1000)),
            "FILE_PART_SIZE_INVALID"
        );
        save(&mut state, 0, Some(-1), 1024).expect("not known yet");
        save(&mut state, 30, Some(31), 1024).expect("saved");
        assert_eq!(refused(save(&mut state, 1, Some(30), 1024)), "FILE_PARTS_INVALID");
        assert_eq!(
            state.assemble(1, 9, 30, None),
            Err(Refusal::bad("FILE_PARTS_INVALID"))
        );
    }

    #[test]
    fn a_small_file_has_the_sum_that_is_told_and_no_more_than_ten_mebibytes() {
        let mut state = State::new(1);
        save(&mut state, 0, None, 3).expect("saved");
        let wrong = state.assemble(1, 9, 1, Some("d41d8cd98f00b204e9800998ecf8427e"));
        assert_eq!(wrong, Err(Refusal::bad("MD5_CHECKSUM_INVALID")));
        let sum = md5(&[1, 1, 1]);
        assert_eq!(state.assemble(1, 9, 1, Some(&sum)), Ok(vec![1; 3]));
        for number in 0..21 {
            save(&mut state, number, Some(21), PART_MAX).expect("saved");
        }
        let small = state.assemble(1, 9, 21, Some(""));
        assert_eq!(small, Err(Refusal::bad("FILE_PARTS_INVALID")));
        assert!(state.assemble(1, 9, 21, None).is_ok());
    }

    #[test]
    fn an_upload_may_be_used_again_until_it_is_forgotten() {
        let mut state = State::new(1);
        let other = |file| Part {
            file,
            number: 0,
            total: None,
            bytes: vec![1],
        };
        save(&mut state, 0, None, 1024).expect("saved");
        state.now = UPLOAD_KEPT - 1;
        let whole = state.assemble(1, 9, 1, None).expect("whole");
        state.now += UPLOAD_KEPT - 1;
        state.save_part(1, other(11)).expect("saved");
        assert_eq!(state.assemble(1, 9, 1, None), Ok(whole), "used a while ago");
        state.now += UPLOAD_KEPT;
        state.save_part(1, other(10)).expect("saved");
        assert_eq!(
            state.assemble(1, 9, 1, None),
            Err(Refusal::bad("FILE_PART_0_MISSING"))
        );
        assert!(state.assemble(1, 10, 1, None).is_ok());
    }
}
