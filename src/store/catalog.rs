//! Every table of the store, by name and prefix. This is the only place where a prefix is chosen.
//!
//! All tables live in one tree, so that one commit may touch any of them atomically; the first byte
//! of a key says which table it belongs to. A prefix is never given to another table, also not
//! after its table is gone. To add a table, add a line; the store's own tables stand below 0x20. 0x05 and 0x07
//! were given to ones that are gone.

/// One table: its name, its prefix, and whether its values are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, for errors, metrics and `store check`.
    pub name: &'static str,
    /// The first byte of its keys.
    pub prefix: u8,
    /// Whether its values are encrypted with the installation's seal key.
    pub sealed: bool,
    /// Whether it has rows of an earlier release that are not; they are as good as others.
    pub once_open: bool,
}

macro_rules! catalog {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal, $text:literal, $sealed:ident;)*) => {
        $($(#[$doc])* pub const $name: Entry = Entry {
            name: $text,
            prefix: $prefix,
            sealed: !matches!(catalog!(@ $sealed), Sealing::Never),
            once_open: matches!(catalog!(@ $sealed), Sealing::Lately),
        };)*

        /// Every table.
        pub const ALL: &[Entry] = &[$($name,)*];
    };
    (@ open) => { Sealing::Never };
    (@ sealed) => { Sealing::Always };
    (@ sealed_lately) => { Sealing::Lately };
}

enum Sealing {
    Never,
    Always,
    Lately,
}

catalog! {
    /// Generation, sequence numbers and row count, rewritten by every commit.
    META = 0x01, "meta", open;
    /// How far each consumer has read the journal.
    CURSORS = 0x02, "cursors", open;
    /// Events by sequence number. Sealed: messages bear names and texts.
    JOURNAL = 0x03, "journal", sealed;
    /// Keys of known events, to drop repeated ones.
    KNOWN_EVENTS = 0x04, "known_events", open;
    /// Tasks by lane and number. Sealed: they hold the texts that are to be sent.
    TASKS = 0x06, "tasks", sealed_lately;
    /// Discarded tasks by time. Sealed as tasks are.
    DEAD_LETTERS = 0x08, "dead_letters", sealed_lately;
    /// Further parts of values that are too long for one row.
    PARTS = 0x09, "parts", open;
    /// Rows that failed their checksum, as they were found.
    QUARANTINE = 0x0a, "quarantine", open;
    /// Secrets of this installation.
    INSTALLATION = 0x0b, "installation", sealed;
    /// When the store was restored, and what was lost by it.
    RESTORES = 0x0c, "restores", open;
    /// The seal key being replaced: both keys, each sealed by the other.
    SEAL_ROTATION = 0x0d, "seal_rotation", open;
    /// Where a discarded task is, by id.
    DEAD_IDS = 0x0e, "dead_ids", open;

    /// Sessions: name, phone, owner, wanted and observed state, login under way.
    SESSIONS = 0x20, "sessions", sealed;
    /// Authorisation keys and home DCs of sessions.
    SESSION_AUTH = 0x21, "session_auth", sealed;
    /// Update states of sessions and their channels.
    UPDATE_STATES = 0x22, "update_states", open;
    /// Users and chats a session knows, with names and access hashes.
    PEERS = 0x23, "peers", sealed;
    /// The highest message number stored of each chat.
    HIGH_WATER = 0x24, "high_water", open;
    /// Messages whose deletion is known.
    TOMBSTONES = 0x25, "tombstones", open;
    /// Which chat a message of a private chat or basic group stands in.
    MESSAGE_CHATS = 0x26, "message_chats", open;
    /// Above which messages something was left out by Telegram and is still to be read.
    LEFT_OUT = 0x27, "left_out", open;
    /// Rotations of auth keys under way, with the fresh and the former keys.
    ROTATIONS = 0x28, "rotations", sealed;
    /// When sessions were last active.
    SESSION_ACTIVITY = 0x29, "session_activity", open;
    /// Keys that no session has any more, to be ended at Telegram.
    SPARE_KEYS = 0x2a, "spare_keys", sealed;
    /// In which form an edited message was told last.
    TOLD_EDITS = 0x2b, "told_edits", open;
    /// Messages that wait for what Telegram left out before them.
    HELD_MESSAGES = 0x2c, "held_messages", sealed;
    /// Tokens by which accounts log in again without a code.
    FUTURE_TOKENS = 0x2d, "future_tokens", sealed;

    /// Flood waits and other memory of the rate limiter.
    LIMITS = 0x30, "limits", open;
    /// What was spent of hourly and daily budgets.
    SPENT = 0x31, "spent", open;

    /// Forwarding pairs.
    PAIRS = 0x40, "pairs", open;
    /// Which message became which, one row a part.
    MESSAGE_MAP = 0x41, "message_map", open;
    /// The message map read backwards.
    MESSAGE_MAP_BACK = 0x42, "message_map_back", open;
    /// Counters of pairs.
    PAIR_STATS = 0x43, "pair_stats", open;
    /// Albums that are being gathered.
    ALBUMS = 0x44, "albums", open;

    /// Webhook endpoints.
    ENDPOINTS = 0x50, "endpoints", sealed;
    /// Signing secrets of webhook endpoints.
    ENDPOINT_SECRETS = 0x51, "endpoint_secrets", sealed;
    /// Deliveries with their attempts.
    DELIVERIES = 0x52, "deliveries", open;
    /// Work in the background for endpoints: recovering, clearing away.
    WEBHOOK_ERRANDS = 0x53, "webhook_errands", open;
    /// Counters of endpoints.
    ENDPOINT_STATS = 0x54, "endpoint_stats", open;
    /// What receivers answered to the last attempts of deliveries.
    DELIVERY_ANSWERS = 0x55, "delivery_answers", sealed;

    /// Incidents.
    INCIDENTS = 0x60, "incidents", open;
    /// Open incidents by kind and subject.
    OPEN_INCIDENTS = 0x61, "open_incidents", open;
    /// The audit log. Sealed: it says who did what from where.
    AUDIT = 0x62, "audit", sealed;

    /// API keys, hashed.
    API_KEYS = 0x70, "api_keys", open;
    /// Answers kept under an idempotency key. Sealed: they say what was asked for and made.
    IDEMPOTENCY = 0x71, "idempotency", sealed_lately;
    /// API keys by the public part of their texts.
    API_KEY_LOOKUPS = 0x72, "api_key_lookups", open;
    /// When API keys were last used.
    API_KEY_USES = 0x73, "api_key_uses", open;
    /// Answers under idempotency keys by time.
    IDEMPOTENCY_TIMES = 0x74, "idempotency_times", open;
}

/// The table that a key's first byte names.
pub fn of_prefix(prefix: u8) -> Option<Entry> {
    ALL.iter().copied().find(|entry| entry.prefix == prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prefix_and_no_name_is_given_twice() {
        for (at, entry) in ALL.iter().enumerate() {
            for other in &ALL[at + 1..] {
                assert_ne!(entry.prefix, other.prefix, "{} and {}", entry.name, other.name);
                assert_ne!(entry.name, other.name);
            }
            assert_eq!(of_prefix(entry.prefix), Some(*entry));
        }
    }
}
