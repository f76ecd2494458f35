//! What a listener wants: from the query to a filter that is asked for every frame. Pure.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::cursor::Cursor;
use super::frame::What;
use crate::access::{Principal, Scope};
use crate::base::{Code, SessionId};
use crate::http::failure::Failure;
use crate::model::EventKind;

/// What a listener may ask for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WsQuery {
    /// `*` for every session the key may see (as if left out), or ids with commas between them.
    pub session: Option<String>,
    /// Names with commas between them: event types, patterns such as `message.*`, `status`, `error`, `pool_status`,
    /// `session_rotation`. All but `pool_status` if left out, or for `*`.
    pub events: Option<String>,
    /// The cursor of the last frame that was seen: what came since is told first. Only what is new if left out.
    pub since: Option<String>,
    /// A ticket of `POST /api/ws-ticket`, for those who cannot send headers.
    pub ticket: Option<String>,
}

/// No query names more.
const MOST: usize = 500;

/// What a listener wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// None for all, also for what belongs to no session.
    pub sessions: Option<BTreeSet<SessionId>>,
    kinds: u64,
    /// Whether `status` frames are wanted.
    pub status: bool,
    error: bool,
    rotation: bool,
    /// Whether `pool_status` frames are wanted.
    pub pool: bool,
    /// Where to go on; at what is new if nothing is said.
    pub since: Option<Cursor>,
}

fn bit(kind: EventKind) -> u64 {
    1 << (kind as u32)
}

/// What only an admin may hear of, as with the routes.
fn for_admins(kind: EventKind) -> bool {
    matches!(kind, EventKind::IncidentOpened | EventKind::IncidentResolved)
}

impl Wanted {
    /// Whether messages are wanted.
    pub fn has_messages(&self) -> bool {
        let kinds = [
            EventKind::MessageNew,
            EventKind::MessageEdited,
            EventKind::MessageDeleted,
        ];
        kinds.into_iter().any(|kind| self.kinds & bit(kind) != 0)
    }

    /// Reads a query. `named` finds a session that exists for the caller.
    pub fn read(
        query: &WsQuery,
        caller: &Principal,
        named: impl Fn(&str) -> Result<SessionId, Failure>,
    ) -> Result<Self, Failure> {
        let mut wanted = Self {
            sessions: caller.sessions.clone(),
            kinds: 0,
            status: false,
            error: false,
            rotation: false,
            pool: false,
            since: None,
        };
        if let Some(text) = &query.session
            && list(text, "session")?.iter().all(|name| *name != "*")
        {
            let sessions: Result<_, _> = list(text, "session")?.into_iter().map(named).collect();
            wanted.sessions = Some(sessions?);
        }
        for name in list(query.events.as_deref().unwrap_or("*"), "events")? {
            wanted.add(name, caller)?;
        }
        if let Some(text) = &query.since {
            let cursor = text.parse().map_err(|_| {
                Failure::invalid("since must be the cursor of a frame").detail("field", "since")
            });
            wanted.since = Some(cursor?);
        }
        Ok(wanted)
    }

    fn add(&mut self, name: &str, caller: &Principal) -> Result<(), Failure> {
        match name {
            "status" => self.status = true,
            "error" => self.error = true,
            "session_rotation" => self.rotation = true,
            "pool_status" => self.pool = true,
            "*" => (self.status, self.error, self.rotation) = (true, true, true),
            _ => {}
        }
        let is_frame = matches!(name, "status" | "error" | "session_rotation" | "pool_status");
        if let Some(kind) = EventKind::parse(name) {
            if for_admins(kind) && !caller.may(Scope::Admin) {
                return Err(forbidden());
            }
            self.kinds |= bit(kind);
            return Ok(());
        }
        let pattern = match name {
            "*" => Some(""),
            _ => name.strip_suffix('*').filter(|start| start.ends_with('.')),
        };
        let fitting: Vec<_> = EventKind::TABLE
            .iter()
            .filter(|(_, known)| pattern.is_some_and(|start| known.starts_with(start)))
            .map(|(kind, _)| *kind)
            .collect();
        if fitting.is_empty() && !is_frame {
            return Err(Failure::invalid("events names something that is no event").detail("field", "events"));
        }
        let admin = caller.may(Scope::Admin);
        if !admin && !fitting.is_empty() && fitting.iter().all(|kind| for_admins(*kind)) {
            return Err(forbidden());
        }
        let allowed = fitting.iter().filter(|kind| admin || !for_admins(**kind));
        let kinds = allowed.fold(0, |kinds, kind| kinds | bit(*kind));
        self.kinds |= kinds;
        Ok(())
    }

    /// Whether a frame about a session (or about none) is wanted.
    pub fn wants(&self, what: What, session: Option<SessionId>) -> bool {
        let by_kind = match what {
            What::Status => self.status,
            What::Error => self.error,
            What::Rotation => self.rotation,
            What::Own(kind) => self.kinds & bit(kind) != 0,
        };
        by_kind && self.concerns(session)
    }

    /// Whether what belongs to a session (or to none) is of interest at all.
    pub fn concerns(&self, session: Option<SessionId>) -> bool {
        match (&self.sessions, session) {
            (None, _) => true,
            (Some(wanted), Some(session)) => wanted.contains(&session),
            (Some(_), None) => false,
        }
    }
}

fn forbidden() -> Failure {
    Failure::new(Code::Forbidden).detail("scope", Scope::Admin.as_str())
}

/// The names of a list with commas.
fn list<'a>(text: &'a str, field: &'static str) -> Result<Vec<&'a str>, Failure> {
    let names: Vec<_> = text.split(',').map(str::trim).collect();
    if names.len() > MOST || names.iter().any(|name| name.is_empty()) {
        let reason = format!("{field} must be one to {MOST} names with commas between them");
        return Err(Failure::invalid(reason).detail("field", field));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::{KeyId, Owner};
    use crate::http::query::Query;

    fn caller(scope: Scope, sessions: Option<BTreeSet<SessionId>>) -> Principal {
        Principal {
            key: KeyId::generate(),
            owner: Owner::admin(),
            scope,
            sessions,
        }
    }

    fn read(query: &str, caller: &Principal) -> Result<Wanted, Failure> {
        let query: WsQuery = Query::read(query)?;
        Wanted::read(&query, caller, |name| {
            let id = name.parse().map_err(|_| Failure::not_found())?;
            if caller.sees(id) {
                Ok(id)
            } else {
                Err(Failure::not_found())
            }
        })
    }

    #[test]
    fn nothing_said_is_all_but_the_pool() {
        let reader = caller(Scope::Read, None);
        let wanted = read("", &reader).expect("fits");
        let session = Some(SessionId::generate());
        for what in [
            What::Status,
            What::Error,
            What::Rotation,
            What::Own(EventKind::MessageNew),
        ] {
            assert!(wanted.wants(what, session) && wanted.wants(what, None));
        }
        assert!(!wanted.pool && wanted.since.is_none());
        assert!(
            !wanted.wants(What::Own(EventKind::IncidentOpened), None),
            "the scope is read"
        );
        let admin = read("events=*", &caller(Scope::Admin, None)).expect("fits");
        assert!(admin.wants(What::Own(EventKind::IncidentOpened), None));
    }

    #[test]
    fn only_what_is_named_is_told() {
        let reader = caller(Scope::Read, None);
        let (one, other) = (SessionId::generate(), SessionId::generate());
        let query = format!("session={one}&events=message.*,pool_status&since=7.1");
        let wanted = read(&query, &reader).expect("fits");
        assert!(wanted.wants(What::Own(EventKind::MessageEdited), Some(one)) && wanted.pool);
        assert!(!wanted.wants(What::Own(EventKind::MessageEdited), Some(other)));
        assert!(!wanted.wants(What::Own(EventKind::MessageEdited), None));
        assert!(!wanted.wants(What::Status, Some(one)));
        assert!(!wanted.wants(What::Own(EventKind::SessionState), Some(one)));
        assert_eq!(wanted.since, Some(Cursor::within(7, 1)));
    }

    #[test]
    fn a_bound_key_hears_of_its_sessions_alone() {
        let (one, other) = (SessionId::generate(), SessionId::generate());
        let bound = caller(Scope::Send, Some(BTreeSet::from([one])));
        for query in ["", "session=*"] {
            let wanted = read(query, &bound).expect("fits");
            assert!(wanted.concerns(Some(one)) && !wanted.concerns(Some(other)) && !wanted.concerns(None));
        }
        let refused = read(&format!("session={one},{other}"), &bound).expect_err("not its own");
        assert_eq!(refused.code, Code::NotFound);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let reader = caller(Scope::Read, None);
        for (query, code) in [
            ("colour=red", Code::InvalidRequest),
            ("events=", Code::InvalidRequest),
            ("events=message", Code::InvalidRequest),
            ("events=message.gone", Code::InvalidRequest),
            ("events=mess*", Code::InvalidRequest),
            ("events=status,,error", Code::InvalidRequest),
            ("events=status&events=error", Code::InvalidRequest),
            ("events=incident.opened", Code::Forbidden),
            ("events=incident.*", Code::Forbidden),
            ("since=yesterday", Code::InvalidRequest),
            ("since=", Code::InvalidRequest),
            ("session=", Code::InvalidRequest),
            ("session=ses_nothing", Code::NotFound),
        ] {
            assert_eq!(
                read(query, &reader).map_err(|failure| failure.code),
                Err(code),
                "{query}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_query_widens_what_a_bound_key_sees(query in "(session|events|since|x)?=?[*.,a-z0-9_&=%]{0,60}") {
            let own = SessionId::generate();
            let bound = caller(Scope::Manage, Some(BTreeSet::from([own])));
            if let Ok(wanted) = read(&query, &bound) {
                prop_assert!(!wanted.concerns(None) && !wanted.concerns(Some(SessionId::generate())));
                prop_assert!(!wanted.wants(What::Own(EventKind::IncidentOpened), Some(own)));
            }
        }
    }
}
