//! grammers' `Session` over the store.
//!
//! It owns a session's home DC and DC options (in memory, since grammers asks on every request) and
//! reads peers and update state from the store. The update state that grammers would save by itself
//! runs ahead of what is stored, so only the very first state is taken from it; all later ones are
//! saved by the pump, in the commit of their events. The addresses of a self-hosted server stay as
//! configured, whatever the server says of itself. The key of an account that is logged in is never
//! replaced by one that grammers made because the server said that it does not know the old one.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::{Arc, RwLock};

use grammers_session::types::{ChannelState, DcOption, PeerId, PeerInfo, UpdateState, UpdatesState};
use grammers_session::{BoxFuture, Session, SessionData};

use super::config::DcConfig;
use super::tables::{Accounts, Authorisation, Authorisations, Peers, StoredState, UpdateStates, chat_of};
use crate::base::SessionId;
use crate::model::ChatId;
use crate::store::{Batch, Scan, Store, StoreError};

/// Why something was not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotKept {
    /// The store failed.
    #[error("the store did not keep it")]
    Store(#[from] StoreError),
    /// The session is logged in with another key.
    #[error("another key is in use")]
    OtherKey,
}

/// A session's side of the store, as grammers wants it.
pub(crate) struct SessionStore {
    store: Store,
    id: SessionId,
    configured: Arc<[DcConfig]>,
    held: RwLock<Authorisation>,
}

impl SessionStore {
    /// Loads what is stored of a session, or begins with the known addresses.
    pub fn load(store: Store, id: SessionId, configured: Arc<[DcConfig]>) -> Result<Self, StoreError> {
        let stored = store.get::<Authorisations>(&id)?;
        let held = stored.unwrap_or_else(|| initial(&configured));
        Ok(Self {
            store,
            id,
            configured,
            held: RwLock::new(held),
        })
    }

    /// The auth key of a DC, if there is one.
    pub fn has_key(&self, dc: i32) -> bool {
        self.read(|held| {
            held.dcs
                .iter()
                .any(|option| option.id == dc && option.auth_key.is_some())
        })
    }

    /// Keeps an auth key made elsewhere.
    pub async fn set_auth_key(&self, dc: i32, key: [u8; 256]) -> Result<(), StoreError> {
        let option = self.read(|held| held.dcs.iter().find(|option| option.id == dc).cloned());
        if let Some(mut option) = option {
            option.auth_key = Some(key);
            self.keep_option(option).await?;
        }
        Ok(())
    }

    /// The keys as they are held.
    pub fn authorisation(&self) -> Authorisation {
        self.read(Authorisation::clone)
    }

    /// The account lives at this DC, and its key there is authorised.
    ///
    /// # Errors
    /// If the store did not keep it.
    pub async fn move_home(&self, there: DcOption) -> Result<(), StoreError> {
        self.change(|held| {
            held.home_dc = there.id;
            held.dcs.retain(|option| option.id != there.id);
            held.dcs.push(there);
            true
        })
        .await
    }

    /// The address of the home DC and its key, if both are known.
    pub fn home(&self) -> Option<(SocketAddr, [u8; 256])> {
        let option = self.dc_option(self.home_dc_id().ok()?).ok().flatten()?;
        Some((SocketAddr::V4(option.ipv4), option.auth_key?))
    }

    /// Whether this option would take the place of the key that the account is logged in with.
    fn ousts_a_login(&self, option: &DcOption) -> Result<bool, StoreError> {
        let home = self.read(|held| held.home_dc);
        let former = self.read(|held| held.home().and_then(|held| held.auth_key));
        let other = option.id == home && former.is_some() && former != option.auth_key;
        Ok(other && (self.store.get::<Accounts>(&self.id)?).is_some_and(|account| account.is_authorised()))
    }

    fn read<T>(&self, read: impl FnOnce(&Authorisation) -> T) -> T {
        read(&self.held.read().expect("nothing panics under this lock"))
    }

    /// Changes what is held, then stores it.
    async fn change(&self, change: impl FnOnce(&mut Authorisation) -> bool) -> Result<(), StoreError> {
        let changed = {
            let mut held = self.held.write().expect("nothing panics under this lock");
            change(&mut held).then(|| held.clone())
        };
        if let Some(held) = changed {
            let mut batch = Batch::new();
            batch.put::<Authorisations>(&self.id, &held);
            self.store.commit(batch).await?;
        }
        Ok(())
    }

    async fn keep_option(&self, option: DcOption) -> Result<(), StoreError> {
        self.change(
            |held| match held.dcs.iter_mut().find(|known| known.id == option.id) {
                Some(known) if *known == option => false,
                Some(known) => {
                    *known = option;
                    true
                }
                None => {
                    held.dcs.push(option);
                    true
                }
            },
        )
        .await
    }

    fn load_states(&self) -> Result<UpdatesState, StoreError> {
        let mut state = UpdatesState::default();
        for ((_, channel), stored) in self
            .store
            .scan::<UpdateStates>(Scan::prefix(&self.id), usize::MAX)?
        {
            if channel == 0 {
                (state.pts, state.qts) = (stored.pts, stored.qts);
                (state.date, state.seq) = (stored.date, stored.seq);
            } else {
                state.channels.push(ChannelState {
                    id: channel,
                    pts: stored.pts,
                });
            }
        }
        Ok(state)
    }
}

/// What a session begins with: the known addresses, and no key.
pub(super) fn initial(configured: &[DcConfig]) -> Authorisation {
    if configured.is_empty() {
        let data = SessionData::default();
        return Authorisation {
            home_dc: data.home_dc,
            dcs: data.dc_options.into_values().collect(),
        };
    }
    let dcs: Vec<_> = configured.iter().map(|dc| option(dc.id, dc.address)).collect();
    Authorisation {
        home_dc: configured[0].id,
        dcs,
    }
}

/// The option of a data centre that is known from the start.
pub(super) fn known_option(dc: i32, configured: &[DcConfig]) -> Option<DcOption> {
    initial(configured).dcs.into_iter().find(|option| option.id == dc)
}

/// A DC option of an address of either family; grammers wants both.
fn option(id: i32, address: SocketAddr) -> DcOption {
    let (ipv4, ipv6) = match address {
        SocketAddr::V4(v4) => (v4, SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0)),
        SocketAddr::V6(v6) => {
            let v4 = v6.ip().to_ipv4().unwrap_or(std::net::Ipv4Addr::UNSPECIFIED);
            (SocketAddrV4::new(v4, v6.port()), v6)
        }
    };
    DcOption {
        id,
        ipv4,
        ipv6,
        auth_key: None,
    }
}

impl Session for SessionStore {
    type Error = NotKept;

    fn home_dc_id(&self) -> Result<i32, NotKept> {
        Ok(self.read(|held| held.home_dc))
    }

    fn set_home_dc_id(&self, dc_id: i32) -> BoxFuture<'_, Result<(), NotKept>> {
        let change = self.change(move |held| std::mem::replace(&mut held.home_dc, dc_id) != dc_id);
        Box::pin(async move { Ok(change.await?) })
    }

    fn dc_option(&self, dc_id: i32) -> Result<Option<DcOption>, NotKept> {
        let stored = self.read(|held| held.dcs.iter().find(|option| option.id == dc_id).cloned());
        let configured = self.configured.iter().find(|dc| dc.id == dc_id);
        Ok(match (stored, configured) {
            (Some(stored), Some(dc)) => Some(DcOption {
                auth_key: stored.auth_key,
                ..option(dc_id, dc.address)
            }),
            (None, Some(dc)) => Some(option(dc_id, dc.address)),
            (stored, None) => stored,
        })
    }

    fn set_dc_option(&self, dc_option: &DcOption) -> BoxFuture<'_, Result<(), NotKept>> {
        let mut kept = dc_option.clone();
        if let Some(dc) = self.configured.iter().find(|dc| dc.id == kept.id) {
            kept = DcOption {
                auth_key: kept.auth_key,
                ..option(dc.id, dc.address)
            };
        }
        Box::pin(async move {
            if self.ousts_a_login(&kept)? {
                return Err(NotKept::OtherKey);
            }
            Ok(self.keep_option(kept).await?)
        })
    }

    fn peer(&self, peer: PeerId) -> BoxFuture<'_, Result<Option<PeerInfo>, NotKept>> {
        let read = || -> Result<_, StoreError> {
            let chat = match chat_of(peer) {
                Some(chat) => Some(chat),
                None => self.own_chat()?,
            };
            let Some(chat) = chat else { return Ok(None) };
            let stored = self.store.get::<Peers>(&(self.id, chat.0))?;
            Ok(stored.map(|peer| peer.info(chat)))
        };
        let found = read();
        Box::pin(async move { Ok(found?) })
    }

    fn cache_peer(&self, info: PeerInfo) -> BoxFuture<'_, Result<(), NotKept>> {
        Box::pin(async move {
            let Some(chat) = chat_of(info.id()) else {
                return Ok(());
            };
            let mut peer = self.store.get::<Peers>(&(self.id, chat.0))?.unwrap_or_default();
            let before = peer.clone();
            peer.take(&info);
            if peer == before {
                return Ok(());
            }
            let mut batch = Batch::new();
            batch.put::<Peers>(&(self.id, chat.0), &peer);
            Ok(self.store.commit(batch).await.map(drop)?)
        })
    }

    fn updates_state(&self) -> BoxFuture<'_, Result<UpdatesState, NotKept>> {
        let state = self.load_states();
        Box::pin(async move { Ok(state?) })
    }

    fn set_update_state(&self, update: UpdateState) -> BoxFuture<'_, Result<(), NotKept>> {
        Box::pin(async move {
            let UpdateState::All(state) = update else {
                return Ok(());
            };
            let mut batch = Batch::new();
            let stored = StoredState {
                pts: state.pts,
                qts: state.qts,
                date: state.date,
                seq: state.seq,
            };
            batch.put::<UpdateStates>(&(self.id, 0), &stored);
            Ok(self.store.commit(batch).await.map(drop)?)
        })
    }
}

impl SessionStore {
    /// The account's own chat; none before its first login.
    fn own_chat(&self) -> Result<Option<ChatId>, StoreError> {
        let account = self.store.get::<Accounts>(&self.id)?;
        Ok(account.and_then(|account| account.user_id).map(ChatId::user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_either_family_becomes_an_option() {
        let v4 = option(2, "127.0.0.1:443".parse().expect("an address"));
        assert_eq!(v4.ipv4.port(), 443);
        assert_eq!(v4.ipv6.ip().to_ipv4(), Some(std::net::Ipv4Addr::LOCALHOST));
        let v6 = option(2, "[::1]:444".parse().expect("an address"));
        assert_eq!(v6.ipv6.port(), 444);
    }

    #[test]
    fn a_configured_server_is_the_only_one() {
        let dc = DcConfig {
            id: 3,
            address: "127.0.0.1:443".parse().expect("an address"),
        };
        let first = initial(&[dc]);
        assert_eq!((first.home_dc, first.dcs.len()), (3, 1));
        assert_eq!(initial(&[]).dcs.len(), 5);
    }
}
