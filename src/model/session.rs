//! The states of a session, and what is wanted of it.

use serde::{Deserialize, Serialize};

/// Whether a session shall run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// It shall be connected.
    Running,
    /// It shall rest.
    Stopped,
}

/// What a session is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// It rests, as wanted.
    Stopped,
    /// Somebody is logging in.
    LoggingIn,
    /// The connection is being made.
    Connecting,
    /// Connected; what was missed is being fetched.
    CatchingUp,
    /// Connected, with recent proof of life.
    Connected,
    /// Connected, receives, may not send.
    Restricted,
    /// Connected, receives; Telegram has frozen the account, which may do nothing else.
    Frozen,
    /// The network is away; it tries again by itself.
    TransientDisconnect,
    /// The authorisation is not accepted (any more).
    BadCredentials,
    /// It was logged out.
    LoggedOut,
    /// The account is banned or deleted.
    Banned,
    /// It failed too often and waits for a release.
    Quarantined,
}

impl SessionState {
    /// Every state, for metrics.
    pub const ALL: [Self; 12] = [
        Self::Stopped,
        Self::LoggingIn,
        Self::Connecting,
        Self::CatchingUp,
        Self::Connected,
        Self::Restricted,
        Self::Frozen,
        Self::TransientDisconnect,
        Self::BadCredentials,
        Self::LoggedOut,
        Self::Banned,
        Self::Quarantined,
    ];

    /// The name, as the API and the metrics show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::LoggingIn => "logging_in",
            Self::Connecting => "connecting",
            Self::CatchingUp => "catching_up",
            Self::Connected => "connected",
            Self::Restricted => "restricted",
            Self::Frozen => "frozen",
            Self::TransientDisconnect => "transient_disconnect",
            Self::BadCredentials => "bad_credentials",
            Self::LoggedOut => "logged_out",
            Self::Banned => "banned",
            Self::Quarantined => "quarantined",
        }
    }

    /// Whether the API says `"connected": true`.
    pub fn is_connected(self) -> bool {
        matches!(
            self,
            Self::CatchingUp | Self::Connected | Self::Restricted | Self::Frozen
        )
    }

    /// Whether the authorisation ended: no retry heals that, only a new login.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::BadCredentials | Self::LoggedOut | Self::Banned)
    }
}

/// What a login under way waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoginStep {
    /// A QR code is shown.
    DisplayQr,
    /// The code that Telegram sent.
    InputCode,
    /// The account's password.
    InputPassword,
    /// Nothing any more.
    Complete,
}
