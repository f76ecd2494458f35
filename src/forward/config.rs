//! The numbers of forwarding.

use serde::Deserialize;

use crate::base::Span;

/// How pairs work.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardConfig {
    /// How long an album waits for a further part after the last one.
    pub album_window: Span,
    /// How long a send may wait at the limiter before the pair does something else.
    pub patience: Span,
    /// A try this long after the first looks for the copy in the destination first.
    pub look_after: Span,
    /// How many of the destination's latest messages are looked through at most.
    pub look_at: usize,
    /// A copy that Telegram says it has, and that is not to be found for this long, is given up: before that, the call
    /// that sent it may still be running.
    pub removed_after: Span,
    /// How often a task is tried before it goes to the dead letters.
    pub attempts: u32,
    /// The pause after the first failed try; it doubles with each further one.
    pub retry_first: Span,
    /// The longest such pause.
    pub retry_max: Span,
    /// How many sends of a pair may be on their way to the disk while it goes on.
    pub window: usize,
    /// How long is remembered which message became which.
    pub remember: Span,
    /// How many events are turned into tasks by one commit at most.
    pub batch: usize,
}

impl Default for ForwardConfig {
    fn default() -> Self {
        Self {
            album_window: Span::millis(2500),
            patience: Span::secs(10),
            look_after: Span::secs(180),
            look_at: 2000,
            removed_after: Span::secs(30),
            attempts: 12,
            retry_first: Span::secs(1),
            retry_max: Span::secs(300),
            window: 64,
            remember: Span::secs(30 * 24 * 3600),
            batch: 512,
        }
    }
}

impl ForwardConfig {
    /// Everything that cannot be, by key.
    pub fn faults(&self) -> Vec<(String, String)> {
        let least = [
            ("attempts", u64::from(self.attempts)),
            ("window", self.window as u64),
            ("batch", self.batch as u64),
        ];
        let nothing = least.iter().filter(|(_, value)| *value == 0);
        nothing
            .map(|(key, _)| (format!("forward.{key}"), "must be at least 1".to_owned()))
            .collect()
    }

    /// Numbers for demo, tests and benches.
    pub fn sandbox() -> Self {
        Self {
            album_window: Span::millis(500),
            retry_first: Span::millis(50),
            retry_max: Span::secs(2),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_which_no_pair_would_move_are_refused() {
        assert_eq!(ForwardConfig::default().faults(), []);
        assert_eq!(ForwardConfig::sandbox().faults(), []);
        let config: ForwardConfig =
            toml::from_str("attempts = 0\nwindow = 0\nbatch = 0\nlook_at = 0").expect("parses");
        let keys: Vec<_> = config.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["forward.attempts", "forward.window", "forward.batch"]);
    }

    #[test]
    fn a_section_names_what_differs() {
        let config: ForwardConfig = toml::from_str("album_window = \"200ms\"\nattempts = 3").expect("parses");
        assert_eq!(config.album_window, Span::millis(200));
        assert_eq!(
            (config.attempts, config.window),
            (3, ForwardConfig::default().window)
        );
        assert!(toml::from_str::<ForwardConfig>("album_window = 200").is_err());
    }
}
