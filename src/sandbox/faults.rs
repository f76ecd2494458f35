//! Scripted trouble: what the server does wrong on demand, and for which call, account or chat.
//!
//! A fault matches calls (or pushes) by method, account and chat, lets the first ones pass, then acts
//! a number of times and is spent. Pure: it decides, others carry out.

use serde::{Deserialize, Serialize};

use super::rpc::Refusal;

/// One fault as the control port takes and shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// Its number, given by the sandbox.
    #[serde(default)]
    pub id: u64,
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: Kind,
    /// Only calls of this method, such as `messages.sendMessage`; a trailing `*` matches a family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Only this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<i64>,
    /// Only calls about, or updates of, this chat (Bot API number, as the account sees it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<i64>,
    /// From which match on it acts; the first is 1.
    #[serde(default = "one")]
    pub nth: u32,
    /// How often it acts; 0 is without end.
    #[serde(default = "one")]
    pub times: u32,
    /// How many calls or pushes matched so far.
    #[serde(default)]
    pub matched: u32,
    /// How often it acted.
    #[serde(default)]
    pub acted: u32,
}

fn one() -> u32 {
    1
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// The call is refused with `FLOOD_WAIT_seconds`.
    FloodWait {
        /// How long.
        seconds: i64,
    },
    /// The call is refused with `SLOWMODE_WAIT_seconds`.
    SlowMode {
        /// How long.
        seconds: i64,
    },
    /// The call is refused with `PEER_FLOOD`.
    PeerFlood,
    /// The call is refused with any other error.
    Error {
        /// The number, such as 500.
        code: i32,
        /// The name.
        name: String,
    },
    /// The connection is cut before the work is done.
    DropBefore,
    /// The connection is cut after the work is done, instead of its answer.
    DropAfter,
    /// The work is done and its answer waits; what it tells others does not.
    LateAnswer {
        /// How long.
        milliseconds: u64,
    },
    /// The work is done and its answer is lost, while the connection stays.
    LostAnswer,
    /// What is sent is taken and removed at once: the answer names an empty message that counts nothing, and no random id.
    RemovedAtOnce,
    /// The call waits before it is worked on.
    Delay {
        /// How long.
        milliseconds: u64,
    },
    /// The call is never answered, the work is not done.
    Silence,
    /// The file reference of the call has expired, and with it all references of that file.
    FileReferenceExpired,
    /// `updates.getDifference` or `updates.getChannelDifference` answers "too long".
    TooLong,
    /// An update is not pushed.
    Gap,
    /// An update is pushed twice.
    Duplicate,
    /// An update is pushed after the next one.
    Reorder,
    /// A connection is refused with a transport error at its first packet under a key.
    TransportError {
        /// The code, such as -404 or -429.
        code: i32,
        /// Whether it comes as a packet of the full transport; Telegram sends it bare there.
        #[serde(default)]
        framed: bool,
    },
    /// At once: all connections are cut and new ones refused for this long; those of the account only, if one is named.
    Outage {
        /// How long.
        milliseconds: u64,
    },
    /// At once: the account's connections are cut (all connections without an account).
    Disconnect,
    /// At once: the account's logins are ended; its calls are refused with this name.
    Revoke {
        /// `AUTH_KEY_UNREGISTERED` if not given; `USER_DEACTIVATED_BAN` and the like.
        #[serde(default = "unregistered")]
        name: String,
    },
    /// At once: the account's keys are forgotten (transport error 404).
    ForgetKey,
    /// At once: the server forgets the account's sessions while their connections stay; pushes are gone until it calls.
    ForgetSession,
    /// At once: the server asks the account's sessions what became of its unacknowledged messages.
    AskStates,
    /// At once: random ids of the account (of all, without one) are forgotten.
    ForgetRandomIds,
    /// At once: the account is told `updatesTooLong` (or, with a chat, `updateChannelTooLong`).
    PushTooLong,
}

fn unregistered() -> String {
    "AUTH_KEY_UNREGISTERED".to_owned()
}

impl Kind {
    /// Whether it acts when it is posted and is not kept.
    pub fn at_once(&self) -> bool {
        matches!(
            self,
            Kind::Outage { .. }
                | Kind::Disconnect
                | Kind::Revoke { .. }
                | Kind::ForgetKey
                | Kind::ForgetSession
                | Kind::AskStates
                | Kind::ForgetRandomIds
                | Kind::PushTooLong
        )
    }

    /// Whether it concerns connections, not calls.
    pub fn of_connections(&self) -> bool {
        matches!(self, Kind::TransportError { .. })
    }

    /// Whether it concerns pushes, not calls.
    pub fn of_pushes(&self) -> bool {
        matches!(self, Kind::Gap | Kind::Duplicate | Kind::Reorder)
    }
}

/// All faults that wait for their moment.
#[derive(Debug, Default)]
pub struct Faults {
    list: Vec<Fault>,
    count: u64,
}

impl Faults {
    /// Adds a fault and answers it with its number.
    pub fn add(&mut self, mut fault: Fault) -> Fault {
        self.count += 1;
        fault.id = self.count;
        fault.matched = 0;
        fault.acted = 0;
        self.list.push(fault.clone());
        fault
    }

    /// All of them, the spent ones too.
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    /// Takes one away, or all; answers how many went.
    pub fn remove(&mut self, id: Option<u64>) -> usize {
        let before = self.list.len();
        self.list.retain(|fault| id.is_some_and(|id| fault.id != id));
        before - self.list.len()
    }

    /// Whether a live fault asks for the chat of a call.
    pub fn ask_for_chat(&self) -> bool {
        self.list.iter().any(|fault| fault.chat.is_some() && fault.live())
    }

    /// What happens to this call, in the order in which the faults were added.
    pub fn on_call(&mut self, method: &str, account: Option<i64>, chat: Option<i64>) -> Vec<Kind> {
        let of_calls = |kind: &Kind| !kind.of_pushes() && !kind.of_connections();
        self.act(|fault| of_calls(&fault.kind) && fault.fits(Some(method), account, chat))
    }

    /// How a connection of this account is refused, if it is.
    pub fn on_connection(&mut self, account: Option<i64>) -> Option<Refusal> {
        let kinds = self.act(|fault| fault.kind.of_connections() && fault.fits(None, account, None));
        kinds.into_iter().find_map(|kind| match kind {
            Kind::TransportError { code, framed } => Some(Refusal { code, framed }),
            _ => None,
        })
    }

    /// What happens to this push.
    pub fn on_push(&mut self, account: i64, chat: Option<i64>) -> Option<Kind> {
        self.act(|fault| fault.kind.of_pushes() && fault.fits(None, Some(account), chat))
            .into_iter()
            .next()
    }

    fn act(&mut self, fits: impl Fn(&Fault) -> bool) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for fault in self.list.iter_mut().filter(|fault| fault.live()) {
            if fits(fault) {
                fault.matched += 1;
                if fault.matched >= fault.nth {
                    fault.acted += 1;
                    kinds.push(fault.kind.clone());
                }
            }
        }
        kinds
    }
}

impl Fault {
    fn live(&self) -> bool {
        self.times == 0 || self.acted < self.times
    }

    fn fits(&self, method: Option<&str>, account: Option<i64>, chat: Option<i64>) -> bool {
        let named = match (&self.method, method) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wanted), Some(method)) => match wanted.strip_suffix('*') {
                Some(family) => method.starts_with(family),
                None => wanted == method,
            },
        };
        named
            && (self.account.is_none() || self.account == account)
            && (self.chat.is_none() || self.chat == chat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> Fault {
        serde_json::from_str(json).expect("a fault")
    }

    #[test]
    fn the_nth_call_is_hit_so_many_times() {
        let mut faults = Faults::default();
        faults.add(fault(
            r#"{"kind":"flood_wait","seconds":3,"method":"messages.sendMessage","nth":2,"times":2}"#,
        ));
        let hits: Vec<bool> = (0..5)
            .map(|_| !faults.on_call("messages.sendMessage", Some(1), None).is_empty())
            .collect();
        assert_eq!(hits, [false, true, true, false, false]);
    }

    #[test]
    fn account_chat_and_method_all_have_to_fit() {
        let mut faults = Faults::default();
        faults.add(fault(
            r#"{"kind":"peer_flood","method":"messages.*","account":7,"chat":-5,"times":0}"#,
        ));
        assert!(faults.on_call("messages.sendMedia", Some(7), Some(-6)).is_empty());
        assert!(faults.on_call("messages.sendMedia", Some(8), Some(-5)).is_empty());
        assert!(faults.on_call("users.getUsers", Some(7), Some(-5)).is_empty());
        assert_eq!(
            faults.on_call("messages.sendMedia", Some(7), Some(-5)),
            [Kind::PeerFlood]
        );
        assert!(faults.ask_for_chat());
    }

    #[test]
    fn pushes_and_calls_are_told_apart() {
        let mut faults = Faults::default();
        faults.add(fault(r#"{"kind":"gap","account":7}"#));
        assert!(faults.on_call("messages.sendMedia", Some(7), None).is_empty());
        assert_eq!(faults.on_push(7, None), Some(Kind::Gap));
        assert_eq!(faults.on_push(7, None), None);
        assert_eq!(faults.remove(None), 1);
    }
}
