//! A pair: from which chat to which, how, and what it is doing.

use serde::{Deserialize, Serialize};

use super::error::PairError;
use crate::base::name::is_name;
use crate::base::{Owner, PairId, SessionId, Timestamp};
use crate::model::{ChatId, Message, MessageId};

/// A forum's general topic, which messages do not name.
const GENERAL_TOPIC: MessageId = 1;
/// The longest delay, in seconds.
const LONGEST_DELAY: u32 = 30 * 24 * 3600;
/// The longest name, in characters.
const LONGEST_NAME: usize = 200;

/// Why a pair stops whose session has not met the source (yet).
pub(super) const SOURCE_UNKNOWN: &str = "source_unknown";

/// What is joined to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairKind {
    /// Telegram to Telegram.
    #[default]
    T2t,
    /// Telegram to Discord.
    T2d,
    /// Discord to Telegram.
    D2t,
}

/// A chat as a session sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The session.
    pub session: SessionId,
    /// The chat.
    pub chat: ChatId,
    /// The forum topic, by its first message; 1 is the general one. Of a source: only what stands there is forwarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<MessageId>,
}

/// How messages are passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// As new messages; the source is hidden.
    #[default]
    Copy,
    /// With the header that names the source.
    Forward,
}

/// What becomes of the copy when the source is edited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnEdit {
    /// It is edited too. Forwarded messages cannot be edited: in forward mode edits are passed over.
    #[default]
    Edit,
    /// Nothing.
    Ignore,
}

/// What becomes of the copy when the source is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// It is deleted too.
    #[default]
    Delete,
    /// Nothing.
    Ignore,
}

/// What is forwarded and how it is changed: none exist yet, so that any is refused by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {}

/// What a pair is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairState {
    /// It forwards.
    #[default]
    Running,
    /// Somebody paused it; what arrives is kept.
    Paused,
    /// It stopped itself, for the reason given; what arrives is kept.
    Held,
}

impl PairState {
    /// The name, as the API and events show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Held => "held",
        }
    }
}

/// What a pair has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct PairStats {
    /// Messages copied; each part of an album is one.
    pub forwarded: u64,
    /// Copies edited.
    pub edited: u64,
    /// Copies deleted.
    pub deleted: u64,
    /// Messages of a kind that the destination does not take; each part of an album is one.
    pub skipped: u64,
    /// Tasks that went to the dead letters.
    pub failed: u64,
    /// Tasks that wait.
    pub waiting: u64,
    /// When something was done last.
    pub last_at: Option<Timestamp>,
}

/// A pair.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Pair {
    /// Its id.
    pub id: PairId,
    /// Its name, for people.
    pub name: String,
    /// What it joins.
    pub kind: PairKind,
    /// Where messages come from.
    pub source: Place,
    /// Where they go.
    pub destination: Place,
    /// How they are passed on.
    pub mode: Mode,
    /// Whether copies come without a notification.
    pub silent: bool,
    /// Seconds between a message and its copy.
    pub delay: u32,
    /// What is forwarded and how it is changed.
    pub rules: Rules,
    /// What an edit leads to.
    pub on_edit: OnEdit,
    /// What a deletion leads to.
    pub on_delete: OnDelete,
    /// What it is doing.
    pub state: PairState,
    /// Why it is held.
    pub reason: Option<String>,
    /// What it has done.
    pub stats: PairStats,
    /// Why the first task of its lane failed last; what comes after it waits for it.
    pub last_error: Option<String>,
    /// How often that task was tried without success.
    pub attempts: u32,
    /// When that task is tried next; none if nothing waits.
    pub next_try: Option<Timestamp>,
    /// Whom it belongs to.
    pub owner: Owner,
    /// When it was made; what came before is not forwarded.
    pub created_at: Timestamp,
}

/// How the first task of a pair's lane stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) last_error: Option<String>,
    pub(super) attempts: u32,
    pub(super) next_try: Option<Timestamp>,
}

/// A pair to be made.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPair {
    /// Its name, for people.
    #[serde(default)]
    pub name: String,
    /// What it joins.
    #[serde(default)]
    pub kind: PairKind,
    /// Where messages come from.
    pub source: Place,
    /// Where they go.
    pub destination: Place,
    /// How they are passed on.
    #[serde(default)]
    pub mode: Mode,
    /// Whether copies come without a notification.
    #[serde(default)]
    pub silent: bool,
    /// Seconds between a message and its copy.
    #[serde(default)]
    pub delay: u32,
    /// What is forwarded and how it is changed.
    #[serde(default)]
    pub rules: Rules,
    /// What an edit leads to.
    #[serde(default)]
    pub on_edit: OnEdit,
    /// What a deletion leads to.
    #[serde(default)]
    pub on_delete: OnDelete,
}

/// What may be changed of a pair. Source and destination may not: make another pair.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairPatch {
    /// Its name.
    pub name: Option<String>,
    /// How messages are passed on.
    pub mode: Option<Mode>,
    /// Whether copies come without a notification.
    pub silent: Option<bool>,
    /// Seconds between a message and its copy; what waits already keeps its time.
    pub delay: Option<u32>,
    /// What is forwarded and how it is changed.
    pub rules: Option<Rules>,
    /// What an edit leads to.
    pub on_edit: Option<OnEdit>,
    /// What a deletion leads to.
    pub on_delete: Option<OnDelete>,
}

/// A pair as it is stored: all but what it has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PairRow {
    pub(super) id: PairId,
    pub(super) name: String,
    pub(super) kind: PairKind,
    pub(super) source: Place,
    /// The basic group that became the source: what was said there may be told later than that it moved.
    #[serde(default)]
    pub(super) former: Option<ChatId>,
    pub(super) destination: Place,
    pub(super) mode: Mode,
    pub(super) silent: bool,
    pub(super) delay: u32,
    #[serde(default)]
    pub(super) rules: Rules,
    pub(super) on_edit: OnEdit,
    pub(super) on_delete: OnDelete,
    pub(super) state: PairState,
    pub(super) reason: Option<String>,
    /// Whether it is held because its account is: it goes on as soon as the account does.
    #[serde(default)]
    pub(super) halted: bool,
    pub(super) owner: Owner,
    pub(super) created_at: Timestamp,
    /// The last event before it was made; 0 in one of a release that told by the time.
    #[serde(default)]
    pub(super) after: u64,
}

impl PairRow {
    pub(super) fn new(
        id: PairId,
        new: NewPair,
        owner: Owner,
        now: Timestamp,
        after: u64,
    ) -> Result<Self, PairError> {
        let row = Self {
            id,
            name: new.name,
            kind: new.kind,
            source: new.source,
            former: None,
            destination: new.destination,
            mode: new.mode,
            silent: new.silent,
            delay: new.delay,
            rules: new.rules,
            on_edit: new.on_edit,
            on_delete: new.on_delete,
            state: PairState::Running,
            reason: None,
            halted: false,
            owner,
            created_at: now,
            after,
        };
        row.check()?;
        Ok(row)
    }

    /// It stops until its source is met.
    pub(super) fn await_source(&mut self) {
        (self.state, self.reason) = (PairState::Held, Some(SOURCE_UNKNOWN.to_owned()));
    }

    /// Whether it stopped only because its session has not met the source.
    pub(super) fn awaits_source(&self) -> bool {
        self.state == PairState::Held && self.reason.as_deref() == Some(SOURCE_UNKNOWN)
    }

    pub(super) fn patched(&self, patch: PairPatch) -> Result<Self, PairError> {
        let row = Self {
            name: patch.name.unwrap_or_else(|| self.name.clone()),
            mode: patch.mode.unwrap_or(self.mode),
            silent: patch.silent.unwrap_or(self.silent),
            delay: patch.delay.unwrap_or(self.delay),
            rules: patch.rules.unwrap_or_else(|| self.rules.clone()),
            on_edit: patch.on_edit.unwrap_or(self.on_edit),
            on_delete: patch.on_delete.unwrap_or(self.on_delete),
            ..self.clone()
        };
        row.check()?;
        Ok(row)
    }

    /// Whether a message of its source chat is forwarded: one of its topic, if it names one.
    pub(super) fn takes(&self, message: &Message) -> bool {
        let topic = self.source.topic;
        topic.is_none_or(|topic| topic == message.thread.unwrap_or(GENERAL_TOPIC))
    }

    /// Whether it would name messages of this chat by numbers that mean others to the account that forwards them.
    pub(super) fn misnames(&self, chat: ChatId) -> bool {
        let apart = self.source.session != self.destination.session;
        apart && self.mode == Mode::Forward && !chat.is_channel()
    }

    /// Whether an event, which became known then, was there before the pair.
    pub(super) fn is_younger_than(&self, seq: u64, seen: Timestamp) -> bool {
        match self.after {
            0 => seen < self.created_at,
            after => seq <= after,
        }
    }

    fn check(&self) -> Result<(), PairError> {
        if self.kind != PairKind::T2t {
            return Err(PairError::Invalid(
                "this release joins Telegram to Telegram only: kind must be t2t",
            ));
        }
        let places = [self.source, self.destination];
        if !places.iter().all(|place| place.chat.can_be()) {
            return Err(PairError::Invalid(
                "chat: no chat has this number; they are numbered as the Bot API does",
            ));
        }
        if places
            .iter()
            .any(|place| place.topic.is_some_and(|topic| topic < 1))
        {
            return Err(PairError::Invalid(
                "topic: the number of the message that begins it; 1 is the general one",
            ));
        }
        let chats = [Some(self.source.chat), self.former];
        if chats.into_iter().flatten().any(|chat| self.misnames(chat)) {
            return Err(PairError::Invalid(
                "mode: between two sessions, forward is for sources that are channels or supergroups, and were no basic group \
                 while this pair was there, since each account numbers its private chats and basic groups for itself; use \
                 copy, or one session",
            ));
        }
        if self.delay > LONGEST_DELAY {
            return Err(PairError::Invalid("delay: at most 2592000 seconds (30 days)"));
        }
        if !(self.name.is_empty() || is_name(&self.name, LONGEST_NAME)) {
            return Err(PairError::Invalid(
                "name: at most 200 characters, none of them a control character",
            ));
        }
        Ok(())
    }

    pub(super) fn show(&self, stats: PairStats, head: Head) -> Pair {
        Pair {
            id: self.id,
            name: self.name.clone(),
            kind: self.kind,
            source: self.source,
            destination: self.destination,
            mode: self.mode,
            silent: self.silent,
            delay: self.delay,
            rules: self.rules.clone(),
            on_edit: self.on_edit,
            on_delete: self.on_delete,
            state: self.state,
            reason: self.reason.clone(),
            stats,
            last_error: head.last_error,
            attempts: head.attempts,
            next_try: head.next_try,
            owner: self.owner.clone(),
            created_at: self.created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_pair(more: &str) -> Result<NewPair, serde_json::Error> {
        let session = SessionId::generate();
        serde_json::from_str(&format!(
            r#"{{"source":{{"session":"{session}","chat":-1001}},"destination":{{"session":"{session}","chat":7}}{more}}}"#
        ))
    }

    fn made(more: &str) -> Result<PairRow, PairError> {
        let new = new_pair(more).expect("parses");
        PairRow::new(PairId::generate(), new, Owner::admin(), Timestamp(0), 0)
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let pair = made("").expect("valid");
        assert_eq!(
            (pair.mode, pair.on_edit, pair.on_delete),
            (Mode::Copy, OnEdit::Edit, OnDelete::Delete)
        );
        assert_eq!(
            (pair.state, pair.delay, pair.silent),
            (PairState::Running, 0, false)
        );
    }

    #[test]
    fn unknown_fields_and_rules_are_refused_by_name() {
        let error = new_pair(r#","colour":"red""#).expect_err("unknown");
        assert!(error.to_string().contains("colour"));
        let error = new_pair(r#","rules":{"regex":"x"}"#).expect_err("unknown");
        assert!(error.to_string().contains("regex"));
        assert!(serde_json::from_str::<PairPatch>(r#"{"source":{}}"#).is_err());
    }

    #[test]
    fn no_pair_names_messages_by_numbers_of_another_account() {
        let row = made("").expect("valid");
        let forward = || PairPatch {
            mode: Some(Mode::Forward),
            ..PairPatch::default()
        };
        let channel = -1_000_000_000_001;
        for (chat, former, apart, allowed) in [
            (-4_000, None, false, true),
            (-4_000, None, true, false),
            (77, None, true, false),
            (channel, None, true, true),
            // What was said in the group it was may still wait.
            (channel, Some(-4_000), false, true),
            (channel, Some(-4_000), true, false),
        ] {
            let mut row = row.clone();
            row.source.chat = ChatId(chat);
            row.former = former.map(ChatId);
            if apart {
                row.destination.session = SessionId::generate();
            }
            assert_eq!(
                row.patched(forward()).is_ok(),
                allowed,
                "{chat}, {former:?}, {apart}"
            );
            assert!(row.patched(PairPatch::default()).is_ok(), "copy mode may");
            let row = PairRow {
                mode: Mode::Forward,
                ..row
            };
            assert_eq!(
                row.misnames(ChatId(-4_000)),
                apart,
                "whatever the source is by now"
            );
        }
    }

    #[test]
    fn what_is_not_there_yet_is_refused_clearly() {
        for more in [r#","kind":"t2d""#, r#","kind":"d2t""#, r#","delay":2592001"#] {
            assert!(made(more).is_err(), "{more}");
        }
        for more in [r#","name":"a\u0000b""#, r#","name":"a\nb""#, r#","name":" ""#] {
            assert!(made(more).is_err(), "{more}");
        }
        for chat in [0, -1_000_000_000_000, i64::MIN, i64::MAX] {
            let mut new = new_pair("").expect("parses");
            new.destination.chat = ChatId(chat);
            assert!(
                PairRow::new(PairId::generate(), new, Owner::admin(), Timestamp(0), 0).is_err(),
                "{chat}"
            );
        }
    }

    #[test]
    fn a_patch_changes_only_what_it_names() {
        let pair = made(r#","delay":5,"silent":true"#).expect("valid");
        let patch: PairPatch = serde_json::from_str(r#"{"delay":9}"#).expect("parses");
        let patched = pair.patched(patch).expect("valid");
        assert_eq!(patched, PairRow { delay: 9, ..pair });
    }

    #[test]
    fn the_stored_form_leads_back() {
        let pair = made("").expect("valid");
        let bytes = rmp_serde::to_vec_named(&pair).expect("written");
        assert_eq!(rmp_serde::from_slice::<PairRow>(&bytes).expect("read"), pair);
    }
}
