//! Basic groups that become supergroups: the old one stays as it was and refuses whatever would change it, the new one
//! begins with the same members and a sequence of its own.

use super::chat::Role;
use super::content::Action;
use super::place::{Peer, Place};
use super::posting::Draft;
use super::refusal::Refusal;
use super::state::{Passing, State};

impl State {
    /// Makes a supergroup of a basic group; answers its number.
    pub fn migrate(&mut self, by: i64, id: i64) -> Result<i64, Refusal> {
        let group = self.group(id)?.clone();
        if group.migrated_to.is_some() {
            return Err(Refusal::bad("CHAT_ID_INVALID"));
        }
        if group.role(by) != Some(Role::Creator) {
            return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
        }
        let members: Vec<i64> = group.present().filter(|member| *member != by).collect();
        let channel = self.add_channel(None, by, &group.title, false, &members)?;
        let last = self.dialog(by, Peer::Group(id));
        let last = last.and_then(|dialog| dialog.ids.last().copied());
        let now = self.date();
        let new = self.channel_mut(channel)?;
        new.about.clone_from(&group.about);
        new.noforwards = group.noforwards;
        new.photo = group.photo;
        new.migrated_from = Some((id, last.unwrap_or(0)));
        for (user, member) in &group.members {
            if member.role == Role::Admin {
                new.set_role(*user, Role::Admin, by, now);
            }
        }
        self.post(
            by,
            Peer::Group(id),
            Draft::service(Action::MigratedTo { channel }),
        )?;
        let old = self.group_mut(id)?;
        old.migrated_to = Some(channel);
        old.version += 1;
        for member in self.audience(Place::Channel(channel)) {
            self.mention(member, Passing::Group { group: id });
            self.mention(member, Passing::Channel { channel });
            self.mention(member, Passing::ChannelOpened { channel });
        }
        let from = Action::MigratedFrom {
            title: group.title,
            group: id,
        };
        self.post(by, Peer::Channel(channel), Draft::service(from))?;
        Ok(channel)
    }

    /// Refuses what would change a basic group that has become a supergroup.
    pub fn not_migrated(&self, id: i64, name: &'static str) -> Result<(), Refusal> {
        match self.group(id)?.migrated_to {
            Some(_) => Err(Refusal::bad(name)),
            None => Ok(()),
        }
    }
}
