//! What changed about users and chats themselves, as updates of the schema: at once, and with the next difference for
//! who was away.

use grammers_tl_types::{enums, types};

use super::Viewer;
use crate::sandbox::world::names::Collectible;
use crate::sandbox::world::{Passing, Peer};

impl Viewer<'_> {
    /// What is told at once.
    pub(super) fn standing_update(&self, passing: &Passing) -> Option<enums::Update> {
        if let Passing::Opened { channel, ids } = passing {
            self.name(Peer::Channel(*channel));
            let update = types::UpdateChannelReadMessagesContents {
                channel_id: *channel,
                top_msg_id: None,
                saved_peer_id: None,
                messages: ids.clone(),
            };
            return Some(update.into());
        }
        Some(match *passing {
            Passing::MemberCame {
                group,
                user,
                inviter,
                version,
            } => {
                self.name_all(&[Peer::Group(group), Peer::User(user), Peer::User(inviter)]);
                let member = self.state.groups.get(&group)?.members.get(&user);
                types::UpdateChatParticipantAdd {
                    chat_id: group,
                    user_id: user,
                    inviter_id: inviter,
                    date: member.map_or_else(|| self.state.date(), |member| member.since),
                    version,
                }
                .into()
            }
            Passing::MemberGone { group, user, version } => {
                self.name_all(&[Peer::Group(group), Peer::User(user)]);
                types::UpdateChatParticipantDelete {
                    chat_id: group,
                    user_id: user,
                    version,
                }
                .into()
            }
            Passing::MemberAdmin {
                group,
                user,
                admin,
                version,
            } => {
                self.name_all(&[Peer::Group(group), Peer::User(user)]);
                types::UpdateChatParticipantAdmin {
                    chat_id: group,
                    user_id: user,
                    is_admin: admin,
                    version,
                }
                .into()
            }
            Passing::Group { group } => {
                self.name(Peer::Group(group));
                types::UpdateChat { chat_id: group }.into()
            }
            Passing::ChannelOpened { channel } => {
                self.name(Peer::Channel(channel));
                let first = self.state.channels.get(&channel)?.log.front();
                types::UpdateReadChannelInbox {
                    folder_id: None,
                    channel_id: channel,
                    max_id: 0,
                    still_unread_count: 0,
                    pts: first.map_or(1, |entry| entry.pts - entry.count),
                }
                .into()
            }
            Passing::Available { channel } => self.available(channel)?,
            Passing::UserName { user } => {
                self.name(Peer::User(user));
                let account = self.state.accounts.get(&user)?;
                let chosen = account.username.as_deref();
                types::UpdateUserName {
                    user_id: user,
                    first_name: account.first_name.clone(),
                    last_name: account.last_name.clone(),
                    usernames: listed(chosen, &account.collectibles),
                }
                .into()
            }
            Passing::User { user } => {
                self.name(Peer::User(user));
                types::UpdateUser { user_id: user }.into()
            }
            _ => return None,
        })
    }

    /// What changed about chats since a date, for somebody who was away: each one as it is now.
    pub fn standings(&self, since: i32) -> Vec<enums::Update> {
        let account = self.state.accounts.get(&self.account);
        let known = account.into_iter().flat_map(|account| &account.standings);
        let changed: Vec<_> = known.filter(|(_, standing)| standing.date >= since).collect();
        if changed.is_empty() || !self.state.switches.told_while_away.decides() {
            return Vec::new();
        }
        changed
            .into_iter()
            .flat_map(|(peer, standing)| {
                self.name(*peer);
                let (update, cleared) = match *peer {
                    Peer::Channel(channel) => {
                        let cleared = (standing.cleared >= since).then(|| self.available(channel));
                        let update = types::UpdateChannel { channel_id: channel }.into();
                        (Some(update), cleared.flatten())
                    }
                    Peer::Group(chat_id) => (Some(types::UpdateChat { chat_id }.into()), None),
                    Peer::User(_) => (None, None),
                };
                update.into_iter().chain(cleared)
            })
            .collect()
    }

    /// From which message on a channel's history is shown.
    fn available(&self, id: i64) -> Option<enums::Update> {
        let channel = self.state.channels.get(&id)?;
        self.name(Peer::Channel(id));
        let update = types::UpdateChannelAvailableMessages {
            channel_id: id,
            available_min_id: channel.hidden_from(self.account),
        };
        Some(update.into())
    }

    fn name_all(&self, peers: &[Peer]) {
        for peer in peers {
            self.name(*peer);
        }
    }
}

/// The names of a user or channel as its record has them: the one that was chosen stands alone, or in the list of all as
/// soon as there is a collectible one.
pub fn usernames(
    chosen: Option<&str>,
    bought: &[Collectible],
) -> (Option<String>, Option<Vec<enums::Username>>) {
    match bought {
        [] => (chosen.map(str::to_owned), None),
        _ => (None, Some(listed(chosen, bought))),
    }
}

/// Names as a list has them: the one that was chosen first.
pub(super) fn listed(chosen: Option<&str>, bought: &[Collectible]) -> Vec<enums::Username> {
    let name = |editable, active, name: &str| {
        enums::Username::from(types::Username {
            editable,
            active,
            deletable: false,
            expired: false,
            username: name.to_owned(),
        })
    };
    let chosen = chosen.map(|chosen| name(true, true, chosen));
    let bought = bought.iter().map(|it| name(false, it.active, &it.name));
    chosen.into_iter().chain(bought).collect()
}
