//! An account that lives at another data centre now: Telegram sends every call on there (`USER_MIGRATE_n`). The
//! authorisation is carried over to a key of that place, and the session goes on with it.
//!
//! Until then nothing changes. Not promised: that Telegram lets it be carried over; if it refuses for good the
//! authorisation has ended, and a new login goes to the right place.

use std::sync::Arc;
use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use grammers_client::session::Session;
use grammers_client::tl;
use tokio::time::{Instant, sleep_until};

use super::{Context, Observation};
use crate::base::Timestamp;
use crate::model::Refusal;
use crate::model::SessionState;
use crate::telegram::error::TelegramError;
use crate::telegram::link::Link;
use crate::telegram::pauses::pauses;
use crate::telegram::session_store::{SessionStore, known_option};
use crate::telegram::side::{Side, fresh_keys};

/// After so many refusals in a row the authorisation counts as ended.
const REFUSALS: u32 = 5;

/// An account that is sent on again so soon is not followed at once: two homes that name each other would have it moving
/// for ever.
const SETTLED: Duration = Duration::from_secs(600);

/// What is known of moves, over several connections.
pub(super) struct Move {
    pauses: ExponentialBackoff,
    refusals: u32,
    not_before: Instant,
    /// The pauses between one move and the next, and when the last one was.
    between: ExponentialBackoff,
    moved: Option<Instant>,
}

impl Default for Move {
    fn default() -> Self {
        Self {
            pauses: pauses(Duration::from_secs(1), 1.5, Duration::from_secs(60)),
            refusals: 0,
            not_before: Instant::now(),
            between: between(),
            moved: None,
        }
    }
}

/// Ten seconds after the first move, five minutes at most.
fn between() -> ExponentialBackoff {
    pauses(Duration::from_secs(10), 2.0, Duration::from_secs(300))
}

impl Move {
    /// It was carried over.
    fn succeeded(&mut self) {
        let now = Instant::now();
        let mut between = match self.moved {
            Some(moved) if now - moved < SETTLED => self.between.clone(),
            _ => self::between(),
        };
        let pause = between.next_backoff().unwrap_or_default();
        *self = Self {
            not_before: now + pause,
            between,
            moved: Some(now),
            ..Self::default()
        };
    }

    /// It was not carried over.
    fn failed(&mut self, error: &TelegramError) {
        let wait = match error.class() {
            Refusal::Wait { until, .. } => until.since(Timestamp::now()),
            Refusal::Uncertain => Duration::ZERO,
            // The old home sends on the very call that is to carry it over, too.
            Refusal::Unavailable if error.rpc_name().is_none() => Duration::ZERO,
            _ => {
                self.refusals += 1;
                Duration::ZERO
            }
        };
        let usual = self.pauses.next_backoff().unwrap_or(Duration::from_secs(60));
        self.not_before = Instant::now() + wait.max(usual);
    }
}

/// Waits for word that the account lives elsewhere, and has the session live there. Returns when the next connection
/// goes there.
pub(super) async fn follow(context: &Context, link: &Link, session: &Arc<SessionStore>, moving: &mut Move) {
    loop {
        let dc = link.until_elsewhere().await;
        if session.home_dc_id().is_ok_and(|home| home == dc) {
            continue;
        }
        sleep_until(moving.not_before).await;
        match Box::pin(carry_over(context, link, session, dc)).await {
            Ok(()) => {
                tracing::info!(session = %link.id, dc, "the account lives at another data centre now");
                moving.succeeded();
                return;
            }
            Err(error) => {
                tracing::warn!(session = %link.id, dc, %error, "the account was not carried over");
                moving.failed(&error);
            }
        }
        if moving.refusals >= REFUSALS {
            let word = "USER_MIGRATE".to_owned();
            link.observe(Observation::Ended(SessionState::BadCredentials, word));
            return std::future::pending().await;
        }
        // Calls that are made meanwhile say so again, and others may not come.
        link.note_elsewhere(dc);
    }
}

async fn carry_over(
    context: &Context,
    link: &Link,
    session: &SessionStore,
    dc: i32,
) -> Result<(), TelegramError> {
    let mut there = session.authorisation();
    there.home_dc = dc;
    if there.home().is_none() {
        let unknown = TelegramError::Conflict("the account lives at a data centre that is not known here");
        there.dcs.push(known_option(dc, &context.dcs).ok_or(unknown)?);
    }
    let there = fresh_keys(context, &there).await.map_err(|error| {
        tracing::info!(dc, %error, "no key of the account's new home");
        TelegramError::Away
    })?;
    let (number, wire) = link.wire()?;
    let export = tl::functions::auth::ExportAuthorization { dc_id: dc };
    let exported = link.invoke_by((number, &wire), &export).await;
    // Of the old home: what it says of the authorisation is so.
    let tl::enums::auth::ExportedAuthorization::Authorization(ticket) =
        exported.map_err(|error| link.failed(error))?;
    let (side, wire) = Side::new(context, &there);
    let import = tl::functions::auth::ImportAuthorization {
        id: ticket.id,
        bytes: ticket.bytes,
    };
    let imported = async { side.invoke(&import).await.map(drop) };
    Box::pin(wire.during(imported)).await?;
    let mut home = there.home().cloned().ok_or(TelegramError::Away)?;
    home.auth_key = Some(side.key().ok_or(TelegramError::Away)?);
    Ok(session.move_home(home).await?)
}
