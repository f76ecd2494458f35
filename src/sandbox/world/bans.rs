//! Bans that end: who was put out of a channel or may not write there gets back what it may do, and nobody is told.

use super::chat::Role;
use super::refusal::Refusal;
use super::state::State;

/// What ends sooner or later than this, in seconds from now, never ends.
const SHORTEST: i32 = 30;
const LONGEST: i32 = 366 * 86_400;

impl State {
    /// Lets a member's ban or muteness end at a time, in seconds; 0 for never.
    pub fn limit_ban(&mut self, id: i64, user: i64, until: i32) -> Result<(), Refusal> {
        let now = self.date();
        let ends = (now.saturating_add(SHORTEST)..=now.saturating_add(LONGEST)).contains(&until);
        let member = self.channel_mut(id)?.members.get_mut(&user);
        let barred = member.filter(|member| matches!(member.role, Role::Banned | Role::Muted));
        if let Some(member) = barred.filter(|_| ends) {
            member.until = Some(until);
            self.bans
                .retain(|(_, channel, barred)| (*channel, *barred) != (id, user));
            self.bans.push((until, id, user));
        }
        Ok(())
    }

    /// Ends the bans whose time has come.
    pub fn end_bans(&mut self) {
        let now = self.date();
        if self.bans.iter().all(|(until, ..)| *until > now) {
            return;
        }
        let (due, left) = std::mem::take(&mut self.bans)
            .into_iter()
            .partition(|(until, ..)| *until <= now);
        self.bans = left;
        let due: Vec<(i32, i64, i64)> = due;
        for (until, id, user) in due {
            let member = (self.channels.get_mut(&id)).and_then(|channel| channel.members.get_mut(&user));
            let Some(member) = member.filter(|member| member.until == Some(until)) else {
                continue;
            };
            member.until = None;
            member.role = match member.role {
                Role::Banned => Role::Left,
                Role::Muted => Role::Member,
                role => role,
            };
        }
    }
}
