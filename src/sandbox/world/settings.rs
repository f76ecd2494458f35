//! What can be set otherwise than on Telegram, so that a test need not wait.

use serde::{Deserialize, Serialize};

/// Ten years.
const LONGEST: i64 = 10 * 366 * 86_400_000;

/// Times, in milliseconds, and sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long the token of a QR code is good.
    pub login_token_life: i64,
    /// How long a login code is good.
    pub code_life: i64,
    /// How long a code is on its way before it is sent the next one; one in other sessions is there at once.
    pub resend_after: i64,
    /// How old a login has to be to end others.
    pub fresh_login: i64,
    /// How long a random id is remembered; a repeat after that is a new message.
    pub remember_random_ids: i64,
    /// How long a file reference is good.
    pub file_reference_life: i64,
    /// How long a server salt is the current one; whole seconds.
    pub salt_life: i64,
    /// How far back an account's or a channel's events can be asked for; who missed more is told so ("too long").
    pub events_kept: i32,
    /// How long the page behind a link is pending.
    pub preview_delay: i64,
    /// The longest time between a part of an album and the one before it.
    pub album_gap: i64,
    /// By how much the server's clock is ahead of the machine's, or behind; whole seconds.
    pub clock_offset: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            login_token_life: 30_000,
            code_life: 300_000,
            resend_after: 120_000,
            fresh_login: 86_400_000,
            remember_random_ids: 600_000,
            file_reference_life: 10_800_000,
            salt_life: 1_800_000,
            events_kept: 50_000,
            preview_delay: 200,
            album_gap: 2_000,
            clock_offset: 0,
        }
    }
}

/// Some of them.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// See [`Settings::login_token_life`].
    pub login_token_life: Option<i64>,
    /// See [`Settings::code_life`].
    pub code_life: Option<i64>,
    /// See [`Settings::resend_after`].
    pub resend_after: Option<i64>,
    /// See [`Settings::fresh_login`].
    pub fresh_login: Option<i64>,
    /// See [`Settings::remember_random_ids`].
    pub remember_random_ids: Option<i64>,
    /// See [`Settings::file_reference_life`].
    pub file_reference_life: Option<i64>,
    /// See [`Settings::salt_life`].
    pub salt_life: Option<i64>,
    /// See [`Settings::events_kept`].
    pub events_kept: Option<i32>,
    /// See [`Settings::preview_delay`].
    pub preview_delay: Option<i64>,
    /// See [`Settings::album_gap`].
    pub album_gap: Option<i64>,
    /// See [`Settings::clock_offset`].
    pub clock_offset: Option<i64>,
}

impl Change {
    /// The first of them that is out of bounds: a time is nothing to ten years, a size is not negative.
    pub fn unsound(&self) -> Option<&'static str> {
        let times = [
            ("login_token_life", self.login_token_life),
            ("code_life", self.code_life),
            ("resend_after", self.resend_after),
            ("fresh_login", self.fresh_login),
            ("remember_random_ids", self.remember_random_ids),
            ("file_reference_life", self.file_reference_life),
            ("salt_life", self.salt_life),
            ("preview_delay", self.preview_delay),
            ("album_gap", self.album_gap),
        ];
        let wrong = |time: Option<i64>| time.is_some_and(|time| !(0..=LONGEST).contains(&time));
        if self
            .clock_offset
            .is_some_and(|offset| offset.unsigned_abs() > LONGEST.unsigned_abs())
        {
            return Some("clock_offset");
        }
        let time = times.into_iter().find(|(_, time)| wrong(*time));
        let size = self.events_kept.filter(|kept| *kept < 0);
        time.map(|it| it.0).or(size.map(|_| "events_kept"))
    }
}

impl Settings {
    /// Sets what is given.
    pub fn change(&mut self, change: Change) {
        self.login_token_life = change.login_token_life.unwrap_or(self.login_token_life);
        self.code_life = change.code_life.unwrap_or(self.code_life);
        self.clock_offset = change.clock_offset.unwrap_or(self.clock_offset);
        self.resend_after = change.resend_after.unwrap_or(self.resend_after);
        self.fresh_login = change.fresh_login.unwrap_or(self.fresh_login);
        self.remember_random_ids = change.remember_random_ids.unwrap_or(self.remember_random_ids);
        self.events_kept = change.events_kept.unwrap_or(self.events_kept);
        self.preview_delay = change.preview_delay.unwrap_or(self.preview_delay);
        self.album_gap = change.album_gap.unwrap_or(self.album_gap);
        self.salt_life = change.salt_life.unwrap_or(self.salt_life);
        self.file_reference_life = change.file_reference_life.unwrap_or(self.file_reference_life);
    }
}
