//! The end of a login that succeeded: the session's record becomes that of a logged-in account.

use grammers_client::tl;

use super::call::Admitted;
use super::login_event;
use crate::base::{Secret, Timestamp};
use crate::limiter::CostClass;
use crate::model::{ChatId, ChatKind};
use crate::ops::audit::{Deed, Entry};
use crate::store::Batch;
use crate::telegram::error::TelegramError;
use crate::telegram::from_tl::username;
use crate::telegram::future_tokens;
use crate::telegram::limits;
use crate::telegram::link::Link;
use crate::telegram::logins::Ending;
use crate::telegram::session::Context;
use crate::telegram::session::resume;
use crate::telegram::session::state::{self, Observation};
use crate::telegram::tables::{Peer, Peers, StoredState, UpdateStates};

/// Makes the record that of a logged-in account, from whom the server says it is.
///
/// # Errors
/// The session is another account's: nothing is changed then. No connection; the store did not keep it. The process is where it was then, and the key belongs to the account:
/// the next try finds that out.
pub(super) async fn complete(
    context: &Context,
    link: &Link,
    admitted: Admitted,
) -> Result<(), TelegramError> {
    let tl::enums::User::User(user) = admitted.user else {
        return Err(TelegramError::Conflict("Telegram did not say who logged in"));
    };
    if link.account().is_anothers(user.id) {
        return Err(TelegramError::LoginEnded(Ending::AnotherAccount));
    }
    let request = tl::functions::updates::GetState {};
    let answer = limits::made(&context.limiter, link, CostClass::Other, &request).await?;
    let tl::enums::updates::State::State(state) = answer;
    let name = username(user.username.as_ref(), user.usernames.as_ref());
    let own = Peer {
        hash: user.access_hash,
        kind: Some(ChatKind::Private),
        own: true,
        bot: user.bot,
        title: user.first_name.clone(),
        username: name.clone(),
        first_name: user.first_name.clone(),
        last_name: user.last_name.clone(),
        ..Peer::default()
    };
    let stored = StoredState {
        pts: state.pts,
        qts: state.qts,
        date: state.date,
        seq: state.seq,
    };
    let stored = resume::position(context, link, stored)?;
    let mut batch = Batch::new();
    batch.put::<Peers>(&(link.id, ChatId::user(user.id).0), &own);
    batch.put::<UpdateStates>(&(link.id, 0), &stored);
    context.store.commit(batch).await?;
    let entry = Entry::by_daemon(Deed::LoggedIn, link.id).detail("user_id", user.id);
    link.change_audited(&context.store, Some(entry), |account| {
        account.logged_in(user.id, Timestamp::now());
        account.username = name;
        if let Some(phone) = user.phone {
            account.phone = Some(Secret::new(format!("+{}", phone.trim_start_matches('+'))));
        }
        account.login = None;
        account.for_login = false;
        account.shown_until = None;
        account.dialogs_read = false;
        let mut events = vec![login_event("complete")];
        if let Some((to, reason)) = state::next(account.state, &Observation::LoggedIn) {
            events.push(account.enter(to, reason));
        }
        ((), events)
    })
    .await?;
    // The account is logged in with or without it.
    if let Err(error) = future_tokens::keep(&context.store, &link.account(), admitted.token).await {
        tracing::warn!(session = %link.id, %error, "a token for a later login was not kept");
    }
    context
        .limiter
        .in_use_since(link.id, link.account().in_use_since());
    Ok(())
}
