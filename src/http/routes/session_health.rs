//! How a session is, for an operations panel: whether it lives, how it has been of late, and its rest.

use std::collections::HashMap;

use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::access::Scope;
use crate::base::{SessionId, Timestamp};
use crate::http::answer::Json;
use crate::http::binding::Binding;
use crate::http::call::Call;
use crate::http::failure::Failure;
use crate::http::route::{Route, route};
use crate::http::texts::said;
use crate::limiter::{Budgets, Cause, CostClass};
use crate::model::{ChatId, SessionState, Wanted};
use crate::ops::audit::Deed;
use crate::telegram::SessionView;

const TAG: &str = "session health";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(
            TAG,
            Method::GET,
            "/api/telegram-auth/status",
            "Whether a session is connected, and when it last gave a proof of life",
        )
        .of(Binding::Chosen)
        .query::<Chosen>()
        .run(status),
        route(
            TAG,
            Method::POST,
            "/api/telegram-auth/disconnect",
            "Close a session's connection and keep the session, or log it out",
        )
        .scope(Scope::Manage)
        .of(Binding::Chosen)
        .query::<Chosen>()
        .audits(&[Deed::LoggedOut])
        .may_take(disconnect),
        route(
            TAG,
            Method::GET,
            "/api/telegram-auth/session-health",
            "How a session has been of late",
        )
        .of(Binding::Chosen)
        .query::<Chosen>()
        .run(health),
    ]
}

/// Which session.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Chosen {
    /// The session; may be left out if the key may see only one.
    #[expect(dead_code, reason = "dispatch has looked it up")]
    session_id: Option<String>,
}

/// Whether a session is connected.
#[derive(Debug, Serialize, JsonSchema)]
struct AuthStatus {
    connected: bool,
    /// The last proof of life: a ping answered, or an update received. Null before the first.
    #[serde(rename = "lastChecked")]
    #[schemars(required)]
    last_checked: Option<Timestamp>,
}

/// How to part.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Parting {
    /// Whether the authorisation ends, too.
    logout: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Parted {
    success: bool,
    message: &'static str,
}

/// How a session has been of late.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SessionHealth {
    session: SessionId,
    #[schemars(with = "String", extend("format" = "uuid"))]
    session_id: Uuid,
    state: SessionState,
    /// Why it is in this state, as a stable word.
    reason: Option<String>,
    wanted: Wanted,
    since: Timestamp,
    connected: bool,
    /// When Telegram answered or sent something last.
    last_proof: Option<Timestamp>,
    last_ping: Option<LastPing>,
    last_update: Option<LastUpdate>,
    gaps: Gaps,
    /// The longest time since a channel was asked whose messages matter to a pair, an endpoint or a listener; null if
    /// no channel's do.
    poll_lag_s: Option<u64>,
    reconnects_last_hour: u64,
    restarts_last_hour: u64,
    /// Restarts that are still borne before the session is quarantined; null while it does not run.
    restarts_left: Option<u32>,
    /// What Telegram asked to wait for; null while that cannot be told.
    flood_waits: Option<Vec<FloodWait>>,
    queues: Queues,
    /// When the account logged in last; null without an authorisation.
    authorised_at: Option<Timestamp>,
    authorisation_age_seconds: Option<u64>,
    /// The data centre where the account lives; none before its first connection.
    dc: Option<i32>,
}

/// The last ping that was answered.
#[derive(Debug, Serialize, JsonSchema)]
struct LastPing {
    at: Timestamp,
    round_trip_ms: u64,
}

/// The last update.
#[derive(Debug, Serialize, JsonSchema)]
struct LastUpdate {
    at: Timestamp,
    age_seconds: u64,
}

/// Gaps in the updates, since the daemon began.
#[derive(Debug, Serialize, JsonSchema)]
struct Gaps {
    found: u64,
    filled: u64,
}

/// A wait that runs.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct FloodWait {
    /// The class of call; null for every new message.
    class: Option<CostClass>,
    /// The chat; null for the whole account.
    chat: Option<ChatId>,
    until: Timestamp,
}

/// What waits for the session.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
pub(super) struct Queues {
    /// Tasks of pairs that write with it.
    forward_out: u64,
    /// Tasks of pairs that read with it.
    forward_in: u64,
    /// Calls that wait for their turn.
    calls: u64,
}

async fn status(call: Call) -> Result<Json<AuthStatus>, Failure> {
    let view = call.api.telegram.view(call.session()?)?;
    Ok(Json(AuthStatus {
        connected: view.account.state.is_connected(),
        last_checked: view.last_proof,
    }))
}

async fn disconnect(call: Call, parting: Parting) -> Result<Json<Parted>, Failure> {
    let id = call.session()?;
    match parting.logout {
        true => call.api.telegram.log_out(id, call.initiator()?).await?,
        false => call.api.telegram.stop(id).await?,
    };
    Ok(Json(Parted {
        success: true,
        message: said::disconnected(call.language),
    }))
}

async fn health(call: Call) -> Result<Json<SessionHealth>, Failure> {
    let view = call.api.telegram.view(call.session()?)?;
    Ok(Json(Surroundings::look(&call).await.health(&call, view).await))
}

/// What is looked up once for several sessions.
pub(super) struct Surroundings {
    restarts_left: HashMap<SessionId, u32>,
    queues: HashMap<SessionId, Queues>,
    now: Timestamp,
}

impl Surroundings {
    /// Looks around: at what is in memory, and at one supervisor.
    pub(super) async fn look(call: &Call) -> Self {
        let mut queues: HashMap<SessionId, Queues> = HashMap::new();
        for (source, destination, waiting) in call.api.pairs.waiting() {
            queues.entry(source).or_default().forward_in += waiting;
            queues.entry(destination).or_default().forward_out += waiting;
        }
        Self {
            restarts_left: call.api.telegram.restarts_left().await,
            queues,
            now: Timestamp::now(),
        }
    }

    /// How a session has been of late.
    pub(super) async fn health(&self, call: &Call, view: SessionView) -> SessionHealth {
        let (account, now) = (view.account, self.now);
        // The limiter may be away: then its part is not told.
        let budgets = call.api.telegram.limits(account.id).await.ok();
        let mut queues = self.queues.get(&account.id).copied().unwrap_or_default();
        if let Some(budgets) = &budgets {
            queues.calls = budgets.classes.iter().map(|class| class.waiting as u64).sum();
        }
        let authorised = account.user_id.is_some() && !account.state.is_terminal();
        let authorised_at = account.connected_at.filter(|_| authorised);
        SessionHealth {
            session: account.id,
            session_id: account.uuid,
            state: account.state,
            reason: account.reason,
            wanted: account.wanted,
            since: account.since,
            connected: account.state.is_connected(),
            last_proof: view.last_proof,
            last_ping: view.health.last_ping.map(|(at, took)| LastPing {
                at,
                round_trip_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            }),
            last_update: view.last_update.map(|at| LastUpdate {
                at,
                age_seconds: now.since(at).as_secs(),
            }),
            gaps: Gaps {
                found: view.health.gaps_found,
                filled: view.health.gaps_filled,
            },
            poll_lag_s: view.health.poll_lag.map(|lag| lag.as_secs()),
            reconnects_last_hour: view.health.reconnects,
            restarts_last_hour: view.health.restarts,
            restarts_left: self.restarts_left.get(&account.id).copied(),
            flood_waits: budgets.as_ref().map(|budgets| flood_waits(budgets, now)),
            queues,
            authorised_at,
            authorisation_age_seconds: authorised_at.map(|at| now.since(at).as_secs()),
            dc: view.dc,
        }
    }
}

/// The waits that Telegram asked for and that still run.
fn flood_waits(budgets: &Budgets, now: Timestamp) -> Vec<FloodWait> {
    let classes = budgets.classes.iter().filter_map(|class| {
        let asked = matches!(class.cause, Some(Cause::FloodWait | Cause::SlowMode));
        class.next.filter(|_| asked).map(|until| FloodWait {
            class: Some(class.class),
            chat: None,
            until,
        })
    });
    let chats = budgets.waits.iter().map(|wait| FloodWait {
        class: wait.class,
        chat: Some(wait.chat),
        until: wait.until,
    });
    let peer_flood = budgets.peer_flood.iter().map(|rest| FloodWait {
        class: None,
        chat: None,
        until: rest.until,
    });
    let all = classes.chain(chats).chain(peer_flood);
    all.filter(|wait| wait.until > now).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limiter::{ClassBudget, PeerFloodView, Wait};

    #[test]
    fn only_waits_that_telegram_asked_for_and_that_run_are_told() {
        let now = Timestamp(1_000_000);
        let (soon, over) = (
            now.plus(Duration::from_secs(9)),
            now.minus(Duration::from_secs(9)),
        );
        let class = |cause, next| ClassBudget {
            class: CostClass::Resolve,
            next,
            cause,
            slowdown: 1.0,
            waiting: 0,
        };
        let budgets = Budgets {
            classes: vec![
                class(Some(Cause::FloodWait), Some(soon)),
                class(Some(Cause::Budget), Some(soon)),
                class(None, None),
            ],
            waits: vec![Wait {
                chat: ChatId::user(7),
                class: None,
                until: soon,
            }],
            peer_flood: Some(PeerFloodView {
                until: over,
                strikes: 1,
            }),
            ..Budgets::default()
        };
        let told = flood_waits(&budgets, now);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!((told[0].class, told[0].chat), (Some(CostClass::Resolve), None));
        assert_eq!((told[1].class, told[1].chat), (None, Some(ChatId::user(7))));
    }
}
