//! Sessions as things that can be carried: brought in from another program, and handed out to one.
//!
//! A key that is brought in is tried at the server before anything of it is stored: what the daemon lists as a session
//! was one a moment ago. It does not keep others from using the same key; Telegram ends a key that it sees in two
//! places, and then the session's state tells.

use grammers_client::InvocationError;
use grammers_client::tl;

use super::account::{Account, NewAccount};
use super::error::TelegramError;
use super::from_tl::username;
use super::handle::{SessionView, Telegram};
use super::manager::Msg;
use super::portable::{Form, Portable, Surroundings};
use super::session::Context;
use super::session_store::{initial, known_option};
use super::side::Side;
use super::tables::{Authorisation, Authorisations, Peer, Peers, StoredState};
use crate::base::{Code, Coded, Retry, Secret, SessionId};
use crate::model::{ChatId, ChatKind};
use crate::ops::audit::{self, Deed, Initiator};
use crate::store::{Batch, Scan, Store, StoreError};

/// Why a session was not brought in, or not handed out.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The text is not what it claims to be.
    #[error("{0}")]
    Form(&'static str),
    /// Nobody is logged in with this key, or not whom the text names.
    #[error("Telegram does not accept the key: {0}")]
    Refused(String),
    /// The key is in use here.
    #[error("a session here uses this key already")]
    InUse(SessionId),
    /// There is no key to hand out.
    #[error("the session is not logged in: there is no key to hand out")]
    NotLoggedIn,
    /// Another step failed.
    #[error(transparent)]
    Telegram(#[from] TelegramError),
}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> Self {
        Self::Telegram(error.into())
    }
}

impl Coded for ImportError {
    fn code(&self) -> Code {
        match self {
            Self::Form(_) => Code::ImportInvalid,
            Self::Refused(_) => Code::ImportRefused,
            Self::InUse(_) => Code::AuthKeyInUse,
            Self::NotLoggedIn => Code::Conflict,
            Self::Telegram(error) => error.code(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Telegram(error) => error.retry(),
            _ => Retry::Never,
        }
    }

    fn details(&self) -> Option<serde_json::Value> {
        match self {
            Self::InUse(id) => Some(serde_json::json!({"session": id})),
            Self::Refused(why) => Some(serde_json::json!({"reason": why})),
            Self::Telegram(error) => error.details(),
            _ => None,
        }
    }
}

/// A key that was tried, with all that a session begins with.
pub(crate) struct Adoption {
    /// What is asked for.
    pub new: NewAccount,
    /// In which form it came.
    pub form: Form,
    /// Who brought it.
    pub by: Initiator,
    /// Its keys.
    pub authorisation: Authorisation,
    /// Telegram's number of the account.
    pub user_id: i64,
    /// Public name, without the at sign.
    pub username: Option<String>,
    /// The phone number, as Telegram tells it.
    pub phone: Option<Secret>,
    /// The account as a peer.
    pub own: Peer,
    /// Its present position.
    pub position: StoredState,
}

impl Telegram {
    /// Adds a session with an authorisation that another program made. It runs afterwards.
    ///
    /// # Errors
    /// A text that is none; a key that Telegram does not accept, or that is in use here.
    pub async fn import(
        &self,
        new: NewAccount,
        form: Form,
        text: &Secret,
        by: Initiator,
    ) -> Result<SessionView, ImportError> {
        if let Some(id) = new.id
            && let Ok(added) = self.view(id)
        {
            return Ok(added);
        }
        let portable = Portable::read(form, text.expose()).map_err(ImportError::Form)?;
        let authorisation = authorisation(&self.context, &portable)?;
        // Tried from two connections at once it would end.
        if let Some(other) = holder(&self.context.store, &authorisation)? {
            return Err(ImportError::InUse(other));
        }
        let adoption = verify(&self.context, (new, form, by), authorisation, portable.user_id).await?;
        let adopted = self
            .context
            .manager
            .call(|reply| Msg::Adopt(Box::new(adoption), reply))
            .await;
        let account: Account = adopted.map_err(|_| TelegramError::Away)??;
        Ok(self.view(account.id)?)
    }

    /// The authorisation of a session in a form for another program. Whoever has it is the account: it is handed out
    /// only once the audit log tells so.
    ///
    /// # Errors
    /// If there is no such session, or nobody is logged in with it.
    pub async fn export(&self, id: SessionId, form: Form, by: Initiator) -> Result<Secret, ImportError> {
        let text = self.written(id, form)?;
        let entry = by.does(Deed::Exported, id).detail("form", form.as_str());
        audit::commit(&self.context.store, Batch::new(), entry).await?;
        Ok(text)
    }

    fn written(&self, id: SessionId, form: Form) -> Result<Secret, ImportError> {
        let account = self.view(id)?.account;
        let kept = self.context.store.get::<Authorisations>(&id)?;
        let home = kept.as_ref().and_then(|kept| kept.home());
        let (Some(option), Some(user_id)) = (home, account.user_id) else {
            return Err(ImportError::NotLoggedIn);
        };
        let Some(key) = option.auth_key.filter(|_| !account.state.is_terminal()) else {
            return Err(ImportError::NotLoggedIn);
        };
        let own = self.context.store.get::<Peers>(&(id, ChatId::user(user_id).0))?;
        let around = Surroundings {
            address: option.ipv4,
            api_id: self.context.config.api_id,
            bot: own.is_some_and(|own| own.bot),
        };
        let portable = Portable {
            dc: option.id,
            key: key.into(),
            user_id: Some(user_id),
        };
        Ok(portable.write(form, &around))
    }
}

/// The session that uses this key, if one does.
pub(super) fn holder(store: &Store, wanted: &Authorisation) -> Result<Option<SessionId>, StoreError> {
    let key = wanted.home().and_then(|option| option.auth_key);
    let rows = store.scan::<Authorisations>(Scan::all(), usize::MAX)?;
    let same = |kept: &Authorisation| kept.dcs.iter().any(|option| option.auth_key == key);
    Ok(rows.into_iter().find(|(_, kept)| same(kept)).map(|(id, _)| id))
}

/// The keys of a session that begins with this one.
fn authorisation(context: &Context, portable: &Portable) -> Result<Authorisation, ImportError> {
    let unknown = ImportError::Form("its data centre is not one that this daemon knows");
    let mut option = known_option(portable.dc, &context.dcs).ok_or(unknown)?;
    option.auth_key = Some(*portable.key);
    let mut kept = initial(&context.dcs);
    kept.home_dc = portable.dc;
    kept.dcs.retain(|known| known.id != option.id);
    kept.dcs.push(option);
    Ok(kept)
}

/// Asks the server whose the key is, over a connection that ends with this.
async fn verify(
    context: &Context,
    (new, form, by): (NewAccount, Form, Initiator),
    authorisation: Authorisation,
    named: Option<i64>,
) -> Result<Adoption, ImportError> {
    // It is never closed; if it were, nothing would cap the connections any more.
    let _turn = context.starts.acquire().await.ok();
    let (side, wire) = Side::new(context, &authorisation);
    let (user, state) = wire.during(ask(&side)).await.map_err(refusal)?;
    if named.is_some_and(|named| named != user.id) {
        return Err(ImportError::Refused("the key is another account's".to_owned()));
    }
    let tl::enums::updates::State::State(state) = state;
    let name = username(user.username.as_ref(), user.usernames.as_ref());
    Ok(Adoption {
        new,
        form,
        by,
        authorisation,
        user_id: user.id,
        phone: user
            .phone
            .map(|phone| Secret::new(format!("+{}", phone.trim_start_matches('+')))),
        own: Peer {
            hash: user.access_hash,
            kind: Some(ChatKind::Private),
            own: true,
            bot: user.bot,
            title: user.first_name.clone(),
            username: name.clone(),
            first_name: user.first_name,
            last_name: user.last_name,
            ..Peer::default()
        },
        username: name,
        position: StoredState {
            pts: state.pts,
            qts: state.qts,
            date: state.date,
            seq: state.seq,
        },
    })
}

async fn ask(side: &Side) -> Result<(tl::types::User, tl::enums::updates::State), TelegramError> {
    let who = tl::functions::users::GetUsers {
        id: vec![tl::enums::InputUser::UserSelf],
    };
    let user = side.invoke(&who).await?.into_iter().next();
    let Some(tl::enums::User::User(user)) = user else {
        return Err(TelegramError::Conflict("Telegram did not say whose the key is"));
    };
    if user.bot {
        let why = "the key is a bot's, and sessions of bots are not built yet: import a user's";
        return Err(TelegramError::Conflict(why));
    }
    let state = side.invoke(&tl::functions::updates::GetState {}).await?;
    Ok((user, state))
}

/// What an error of the trial says about the key.
fn refusal(error: TelegramError) -> ImportError {
    match error {
        // The server has forgotten the key.
        TelegramError::Network(InvocationError::Authentication(_)) => {
            ImportError::Refused("it does not know it".to_owned())
        }
        TelegramError::Expired(state) => ImportError::Refused(state.as_str().to_owned()),
        error => ImportError::Telegram(error),
    }
}

/// The manager's reply to a session that was brought in.
pub(super) type Adopted = ractor::RpcReplyPort<Result<Account, ImportError>>;
