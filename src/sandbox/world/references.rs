//! File references: what a client shows to have a file that it saw. One belongs to an account, and to the message in
//! which the account saw the file; it ends after a time, and with that message.
//!
//! Nothing is kept: a reference says what it is for, and is signed with the world's secret. Without the switch
//! `file_references_end` all accounts have the same one, until a fault makes it expire.

use super::content::Uid;
use super::files::Stored;
use super::place::Place;
use super::refusal::Refusal;
use super::state::State;

/// The length of the form that says more than how often the file's references were made to expire.
const WHOLE: usize = 28;

/// What a reference says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    /// How often the file's references had been made to expire.
    epoch: u32,
    /// When it was handed out, in milliseconds.
    issued: i64,
    /// The message in which the file was seen; 0 for none.
    origin: Uid,
}

impl State {
    /// The reference to a file that an account is handed out at present, with the message in which it sees it. It
    /// changes after half of its life, so that what is shown twice at about the same time is the same.
    pub fn file_reference(&self, viewer: i64, file: &Stored, origin: Option<Uid>) -> Vec<u8> {
        if !self.switches.file_references_end.decides() {
            return self.lasting(file.id, file.epoch);
        }
        let step = (self.settings.file_reference_life / 2).max(1);
        let said = Said {
            epoch: file.epoch,
            issued: self.now - self.now.rem_euclid(step),
            origin: origin.unwrap_or_default(),
        };
        self.signed(viewer, file.id, said)
    }

    /// Whether a reference to a file is good for an account.
    pub fn check_reference(&self, viewer: i64, file: &Stored, reference: &[u8]) -> Result<(), Refusal> {
        let (expired, invalid) = (
            Err(Refusal::bad("FILE_REFERENCE_EXPIRED")),
            Err(Refusal::bad("FILE_REFERENCE_INVALID")),
        );
        let Some(epoch) = reference.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)) else {
            return match reference.is_empty() {
                true => Err(Refusal::bad("FILE_REFERENCE_EMPTY")),
                false => invalid,
            };
        };
        if epoch > file.epoch {
            return invalid;
        }
        if reference == self.lasting(file.id, epoch) {
            return match epoch == file.epoch && !self.switches.file_references_end.decides() {
                true => Ok(()),
                false => expired,
            };
        }
        match read(reference) {
            Some(said) if reference == self.signed(viewer, file.id, said) => {
                match self.is_good(viewer, file, said) {
                    true => Ok(()),
                    false => expired,
                }
            }
            _ => invalid,
        }
    }

    fn is_good(&self, viewer: i64, file: &Stored, said: Said) -> bool {
        let in_time = self.now - said.issued <= self.settings.file_reference_life;
        let there = said.origin == Uid::default() || self.sees(viewer, said.origin);
        said.epoch == file.epoch && in_time && there
    }

    /// Whether an account still has a message before its eyes, with what it carries.
    fn sees(&self, viewer: i64, uid: Uid) -> bool {
        let Some(content) = self
            .contents
            .get(&uid)
            .filter(|content| content.deleted_at.is_none() && !content.is_burnt(self.now))
        else {
            return false;
        };
        match content.place {
            Place::Channel(id) => self
                .channels
                .get(&id)
                .is_some_and(|channel| channel.readable_by(viewer)),
            _ => content.number_for(viewer).is_some(),
        }
    }

    fn lasting(&self, file: i64, epoch: u32) -> Vec<u8> {
        let mut reference = epoch.to_be_bytes().to_vec();
        reference.extend(self.derive(31, file, i64::from(epoch)).to_be_bytes());
        reference
    }

    fn signed(&self, viewer: i64, file: i64, said: Said) -> Vec<u8> {
        let origin = said.origin.cast_signed();
        let whom = self.derive(33, viewer, origin);
        let what = self.derive(34, file, said.issued ^ i64::from(said.epoch).rotate_left(48));
        let mut reference = said.epoch.to_be_bytes().to_vec();
        reference.extend(said.issued.to_be_bytes());
        reference.extend(origin.to_be_bytes());
        reference.extend(self.derive(35, whom, what).to_be_bytes());
        reference
    }
}

fn read(reference: &[u8]) -> Option<Said> {
    let reference: &[u8; WHOLE] = reference.try_into().ok()?;
    let long = |at: usize| -> Option<i64> {
        let bytes = reference.get(at..at + 8)?.first_chunk()?;
        Some(i64::from_be_bytes(*bytes))
    };
    Some(Said {
        epoch: u32::from_be_bytes(*reference.first_chunk()?),
        issued: long(4)?,
        origin: long(12)?.cast_unsigned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::files::FileKind;
    use super::*;

    fn state() -> (State, i64) {
        let mut state = State::new(1);
        state.now = 1_700_000_000_000;
        let kind = FileKind::Document {
            mime: "text/plain".into(),
            attributes: vec![],
        };
        let id = state.keep_file(b"x".to_vec(), kind);
        (state, id)
    }

    #[test]
    fn a_reference_is_its_accounts_and_ends_with_its_time() {
        let (mut state, id) = state();
        let file = state.files.stored[&id].clone();
        let reference = state.file_reference(1, &file, None);
        assert_eq!(state.check_reference(1, &file, &reference), Ok(()));
        let invalid = Err(Refusal::bad("FILE_REFERENCE_INVALID"));
        assert_eq!(state.check_reference(2, &file, &reference), invalid);
        assert_eq!(state.check_reference(1, &file, b"abc"), invalid);
        assert_eq!(state.check_reference(1, &file, &[0; 28]), invalid);
        let empty = Err(Refusal::bad("FILE_REFERENCE_EMPTY"));
        assert_eq!(state.check_reference(1, &file, b""), empty);
        state.now += state.settings.file_reference_life + 1;
        let expired = Err(Refusal::bad("FILE_REFERENCE_EXPIRED"));
        assert_eq!(state.check_reference(1, &file, &reference), expired);
        let fresh = state.file_reference(1, &file, None);
        assert_eq!(state.check_reference(1, &file, &fresh), Ok(()));
    }

    #[test]
    fn a_reference_ends_with_the_message_in_which_it_was_seen() {
        let (state, id) = state();
        let file = state.files.stored[&id].clone();
        let reference = state.file_reference(1, &file, Some(77));
        let expired = Err(Refusal::bad("FILE_REFERENCE_EXPIRED"));
        assert_eq!(state.check_reference(1, &file, &reference), expired);
    }

    #[test]
    fn a_lasting_reference_is_everybodys_until_the_switch_is_turned() {
        let (mut state, id) = state();
        state.switches.file_references_end.turn(false);
        let file = state.files.stored[&id].clone();
        let reference = state.file_reference(1, &file, Some(77));
        assert_eq!(state.check_reference(2, &file, &reference), Ok(()));
        state.switches.file_references_end.turn(true);
        let expired = Err(Refusal::bad("FILE_REFERENCE_EXPIRED"));
        assert_eq!(state.check_reference(2, &file, &reference), expired);
    }
}
