//! Logins that are carried into another data centre, where files lie: a ticket is made where the account lives, and a
//! key of the other centre comes with it. Such a guest may fetch files, and is gone when the login is. Where the account
//! lives now it is no guest: an account that has moved carries its login home.

use super::files::Stored;
use super::refusal::Refusal;
use super::state::State;

/// For how long a ticket is good, in milliseconds.
const TICKET_LIFE: i64 = 60_000;

/// What a key comes with into another data centre.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// What has to be shown.
    pub bytes: Vec<u8>,
    user: i64,
    by: i64,
    dc: i32,
    until: i64,
}

impl State {
    /// Makes a ticket for the account of a key, from one data centre to another.
    pub fn make_ticket(&mut self, key: i64, from: i32, to: i32) -> Result<(i64, Vec<u8>), Refusal> {
        let user = self.user_of(key)?;
        if to == from || !self.centres.contains(&to) {
            return Err(Refusal::bad("DC_ID_INVALID"));
        }
        let now = self.now;
        self.keys.tickets.retain(|ticket| ticket.until >= now);
        self.keys.count += 1;
        let parts = (28..32).map(|part| self.derive(part, self.keys.count, now).to_be_bytes());
        let bytes: Vec<u8> = parts.flatten().collect();
        self.keys.tickets.push(Ticket {
            bytes: bytes.clone(),
            user,
            by: key,
            dc: to,
            until: now + TICKET_LIFE,
        });
        Ok((user, bytes))
    }

    /// A key of another data centre comes with a ticket.
    pub fn take_ticket(&mut self, key: i64, dc: i32, user: i64, bytes: &[u8]) -> Result<i64, Refusal> {
        let now = self.now;
        let known = self.keys.tickets.iter().position(|ticket| {
            ticket.bytes == bytes && ticket.user == user && ticket.dc == dc && ticket.until >= now
        });
        let found = known.ok_or(Refusal::bad("AUTH_BYTES_INVALID"))?;
        let ticket = self.keys.tickets.remove(found);
        if self.home(user) == dc {
            self.log_in(key, user)?;
        } else {
            self.keys.known.entry(key).or_default().guest = Some((user, ticket.by));
        }
        self.user_of(key)
    }

    /// Who a guest is, for as long as the login is there that it comes from.
    pub fn guest(&self, key: i64) -> Option<i64> {
        let (user, by) = self.keys.known.get(&key)?.guest?;
        let login = self.keys.known.get(&by)?;
        (login.user == Some(user)).then_some(user)
    }

    /// The data centre where a file lies: where its first poster lives. One that nobody posted lies wherever its
    /// viewer is.
    pub fn centre_of(&self, file: &Stored, viewer: i64) -> i32 {
        let dc = file.dc.filter(|dc| self.centres.contains(dc));
        dc.unwrap_or_else(|| self.home(viewer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_comes_with_a_ticket_and_goes_with_its_login() {
        let mut state = State::new(3);
        state.now = 1_700_000_000_000;
        state.centres = vec![2, 4];
        let ann = state.add_user(None, "+15550001", "Ann", "").expect("a user");
        state.log_in(1, ann).expect("logged in");
        for wrong in [2, 3] {
            let refused = state.make_ticket(1, 2, wrong).expect_err("nowhere to go");
            assert_eq!(refused.name, "DC_ID_INVALID");
        }
        assert!(state.make_ticket(9, 2, 4).is_err(), "nobody's key");
        let (user, bytes) = state.make_ticket(1, 2, 4).expect("a ticket");
        let invalid = Err(Refusal::bad("AUTH_BYTES_INVALID"));
        assert_eq!(state.take_ticket(5, 2, user, &bytes), invalid, "another centre's");
        assert_eq!(state.take_ticket(5, 4, user + 1, &bytes), invalid);
        assert_eq!(state.take_ticket(5, 4, user, &bytes), Ok(ann));
        assert_eq!(state.take_ticket(6, 4, user, &bytes), invalid, "good once");
        assert_eq!((state.user_of(5), state.guest(5)), (Ok(ann), Some(ann)));
        state.end_key(1, "SESSION_REVOKED");
        assert_eq!(
            state.user_of(5),
            Err(Refusal::unauthorized("AUTH_KEY_UNREGISTERED"))
        );
        state.log_in(1, ann).expect("logged in");
        let (user, bytes) = state.make_ticket(1, 2, 4).expect("a ticket");
        state.now += TICKET_LIFE + 1;
        assert_eq!(state.take_ticket(5, 4, user, &bytes), invalid, "too late");
    }
}
