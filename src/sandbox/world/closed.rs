//! How a channel refuses those who may not read it, and whose difference fails for a moment.

use super::chat::Role;
use super::refusal::Refusal;
use super::state::State;

/// What the draws of failing differences are made with.
const OF_DIFFERENCES: u64 = 94;

/// One difference of so many fails in each word.
const SELDOM: u64 = 8;

impl State {
    /// The refusal of a channel that an account may not read.
    pub fn closed(&self, account: i64, id: i64) -> Refusal {
        match self.put_out(account, id) {
            true if self.switches.words_when_put_out.decides() => Refusal::other(406, "CHANNEL_PRIVATE"),
            _ => Refusal::bad("CHANNEL_PRIVATE"),
        }
    }

    /// The same where the account asks for the channel's difference.
    pub fn closed_difference(&self, account: i64, id: i64) -> Refusal {
        let known = self.channels.get(&id);
        let public = known.filter(|channel| channel.username.is_some());
        let public =
            public.filter(|_| self.put_out(account, id) && self.switches.words_when_put_out.decides());
        match public {
            Some(channel) if channel.broadcast => Refusal::bad("USER_BANNED_IN_CHANNEL"),
            Some(_) => Refusal::forbidden("CHANNEL_PUBLIC_GROUP_NA"),
            None => self.closed(account, id),
        }
    }

    fn put_out(&self, account: i64, id: i64) -> bool {
        let role = self.channels.get(&id).and_then(|channel| channel.role(account));
        role == Some(Role::Banned)
    }

    /// Whether the difference of a channel fails this time: Telegram's own trouble, which passes.
    pub fn difference_fails(&mut self, account: i64, id: i64) -> Option<Refusal> {
        if !self.switches.differences_fail.shown() {
            return None;
        }
        self.differences += 1;
        let drawn = self
            .derive(OF_DIFFERENCES, account ^ id, self.differences)
            .cast_unsigned();
        let name = match drawn % SELDOM {
            0 => "PERSISTENT_TIMESTAMP_OUTDATED",
            1 => "HISTORY_GET_FAILED",
            _ => return None,
        };
        let decided = self.switches.differences_fail.decides();
        decided.then(|| Refusal::other(500, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_fails_now_and_then_in_two_words() {
        let mut state = State::new(7);
        assert!((0..100).all(|_| state.difference_fails(1, 2).is_none()));
        state.switches.differences_fail.turn(true);
        let failed: Vec<_> = (0..400).filter_map(|_| state.difference_fails(1, 2)).collect();
        assert!((60..140).contains(&failed.len()), "{}", failed.len());
        assert!(failed.iter().any(|it| it.name == "HISTORY_GET_FAILED"));
        assert!(failed.iter().any(|it| it.name != "HISTORY_GET_FAILED"));
    }
}
