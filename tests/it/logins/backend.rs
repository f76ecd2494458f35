//! A backend that connects its agents' accounts: a key, the routes it knows, and the world behind.

use serde_json::{Value, json};
use trunkline::access::Scope;
use trunkline::app::Daemon;
use trunkline::base::SessionId;
use trunkline::config::Config;
use trunkline::model::SessionState;
use trunkline::store::Table;
use trunkline::store::catalog::{self, Entry};

use crate::control_api::caller::{Answer, Caller};
use crate::stage::{Stage, state, until};

/// See the head of the file.
pub struct Backend {
    pub stage: Stage,
    pub daemon: Daemon,
    pub caller: Caller,
}

impl Backend {
    /// A backend of a daemon whose configuration differs.
    pub async fn with(stage: Stage, change: impl FnOnce(&mut Config)) -> Self {
        let daemon = stage.daemon_with(change).await;
        let caller = Caller::new(&daemon, Scope::Manage, None).await;
        Self {
            stage,
            daemon,
            caller,
        }
    }

    pub async fn new() -> Self {
        Self::with(Stage::new().await, |_| {}).await
    }

    pub async fn post(&self, route: &str, body: Value) -> Answer {
        self.caller.post(&format!("/api/telegram/{route}"), body).await
    }

    pub async fn get(&self, route: &str) -> Answer {
        self.caller.get(&format!("/api/telegram/{route}")).await
    }

    /// Has a code sent to an agent's number; answers the session.
    pub async fn request_code(&self, agent: i64, phone: &str) -> String {
        let sent = self
            .post("request-code", json!({"agent_id": agent, "phone": phone}))
            .await
            .ok();
        session(&sent)
    }

    /// The code that the sandbox sent to a number.
    pub fn code(&self, phone: &str) -> String {
        let digits = phone.trim_start_matches('+').to_owned();
        let code = self
            .stage
            .world
            .world(|world| world.keys.codes.get(&digits).map(|code| code.code.clone()));
        code.expect("a code was sent")
    }

    /// Waits until a session is connected and has caught up.
    pub async fn connected(&self, session: &str) {
        let id = self.daemon.handles.telegram.find(session).expect("known");
        until("the session is connected", || {
            state(&self.daemon, id) == SessionState::Connected
        })
        .await;
    }

    /// Waits until nothing is left of any session.
    pub async fn empty(&self) {
        let telegram = &self.daemon.handles.telegram;
        until("nothing is left behind", || telegram.list().is_empty()).await;
        let kept = self.kept();
        assert!(kept.iter().all(|(_, rows)| *rows == 0), "{kept:?}");
    }

    /// Rows of the tables that hold what belongs to sessions.
    fn kept(&self) -> Vec<(&'static str, u64)> {
        let store = &self.daemon.handles.store;
        let count = |name, counted: Result<u64, _>| (name, counted.expect("counted"));
        vec![
            count("sessions", store.count::<Sessions>()),
            count("session_auth", store.count::<Keys>()),
            count("peers", store.count::<Peers>()),
            count("update_states", store.count::<States>()),
        ]
    }
}

macro_rules! tables {
    ($($name:ident = $entry:ident;)*) => {$(
        pub struct $name;

        impl Table for $name {
            const ENTRY: Entry = catalog::$entry;
            type Key = SessionId;
            type Value = ();
        }
    )*};
}

// Only to be counted.
tables! {
    Sessions = SESSIONS;
    Keys = SESSION_AUTH;
    Peers = PEERS;
    States = UPDATE_STATES;
    SpareKeys = SPARE_KEYS;
}

/// The session in an answer.
pub fn session(answer: &Value) -> String {
    answer["session_id"].as_str().expect("a session").to_owned()
}
