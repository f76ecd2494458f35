//! What a connection tells Telegram of us, and how it is driven.

use std::num::NonZeroUsize;

use grammers_client::sender::{ConnectionParams, NoRetries};

use super::config::TelegramConfig;

/// The parameters of every connection.
pub(crate) fn params(config: &TelegramConfig) -> ConnectionParams {
    ConnectionParams {
        device_model: "trunkline".to_owned(),
        system_version: std::env::consts::OS.to_owned(),
        app_version: env!("CARGO_PKG_VERSION").to_owned(),
        system_lang_code: "en".to_owned(),
        lang_code: "en".to_owned(),
        use_ipv6: false,
        // Flood waits belong to the limiter, other retries to the lanes.
        retry_policy: Box::new(NoRetries),
        updates_channel_capacity: NonZeroUsize::new(config.updates_buffer).unwrap_or(NonZeroUsize::MIN),
        __non_exhaustive: (),
    }
}
