//! The numbers of what is new: users, chats, messages, the states of sequences. Small and without holes they read well;
//! on Telegram they are large, and not every one is given to somebody.

use super::state::State;

/// Above this, numbers of new users begin: no 32 bits hold them.
pub const USERS: i64 = 7_000_000_000;

/// Above this, numbers of new basic groups begin.
pub const GROUPS: i64 = 4_500_000_000;

/// Above this, numbers of new channels begin.
pub const CHANNELS: i64 = 2_200_000_000;

/// The most numbers that are left out at a time.
const WIDEST_HOLE: i64 = 3;

impl State {
    /// The number to try for something new; `next` is the one that was given last.
    pub(super) fn number_after(&self, next: i64, least: i64) -> i64 {
        match self.switches.high_numbers.decides() {
            true => next.max(least) + 1 + self.derive(75, next, least).rem_euclid(100_000),
            false => next,
        }
    }

    /// The first number of a sequence of its own: `kind` tells one of them from another.
    pub(super) fn first_number(&self, kind: u64, of: i64) -> i32 {
        match self.switches.high_numbers.decides() {
            true => {
                let above = self.derive(kind, of, 0).rem_euclid(4_000_000);
                i32::try_from(1_000_000 + above).unwrap_or(1_000_000)
            }
            false => 1,
        }
    }

    /// How many numbers of messages are left out before this message's, in a holder's list or a channel.
    pub(super) fn hole(&self, uid: u64, holder: i64) -> i32 {
        let drawn = self
            .derive(76, uid.cast_signed(), holder)
            .rem_euclid(4 * WIDEST_HOLE);
        let hole = i32::try_from(drawn - 3 * WIDEST_HOLE).unwrap_or(0);
        match hole > 0 && self.switches.high_numbers.decides() {
            true => hole,
            false => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::Peer;
    use super::super::posting::Draft;
    use super::*;

    #[test]
    fn high_numbers_do_not_fit_32_bits_and_have_holes() {
        let mut state = State::new(3);
        state.switches.high_numbers.turn(true);
        let ann = state.add_user(None, "", "Ann", "").expect("a user");
        let bob = state.add_user(None, "", "Bob", "").expect("a user");
        assert!(ann > USERS && bob > ann + 1);
        let group = state.add_group(None, ann, "Team", &[bob]).expect("a group");
        assert!(group > i64::from(u32::MAX));
        let channel = state
            .add_channel(None, ann, "News", true, &[bob])
            .expect("a channel");
        assert!(channel > i64::from(i32::MAX));
        assert!(state.channels[&channel].pts > 1_000_000);
        let before = state.accounts[&ann].pts;
        assert!(before >= 1_000_000);
        for n in 0..50 {
            let said = state.post(ann, Peer::Channel(channel), Draft::text(&n.to_string()));
            said.expect("posted");
            let said = state.post(ann, Peer::User(bob), Draft::text(&n.to_string()));
            said.expect("posted");
        }
        assert_eq!(state.accounts[&ann].pts, before + 50, "no event is left out");
        let numbers: Vec<i32> = state.channels[&channel].held.keys().copied().collect();
        assert!(numbers.windows(2).any(|pair| pair[1] > pair[0] + 1));
        assert!(numbers.windows(2).all(|pair| pair[1] > pair[0]));
    }
}
