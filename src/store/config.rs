//! The store's section of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::base::Span;

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncMode {
    /// When it survives the death of the process. A power cut may take the last seconds.
    Process,
    /// When it survives a power cut.
    #[default]
    Power,
}

/// Where and how state is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The data folder. One process owns it at a time.
    pub folder: PathBuf,
    /// When a commit counts as done.
    pub sync: SyncMode,
    /// How long events stay in the journal. One that a consumer has not read yet stays longer.
    pub retention_hours: u32,
    /// Where automatic exports are made; `exports` in the data folder if not said.
    pub export_folder: Option<PathBuf>,
    /// How often; zero for never.
    pub export_every: Span,
    /// How many of them are kept.
    pub exports_kept: u32,
    /// How long what an export is written to may take nothing until the export is given up.
    pub export_patience: Span,
    /// Memory for sled's page cache; it is a wish, not a limit.
    pub cache_mb: u32,
    /// A file with the seal key; the systemd credential `trunkline-seal` goes before it.
    pub seal_key_file: Option<PathBuf>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("data"),
            sync: SyncMode::Power,
            retention_hours: 72,
            export_folder: None,
            export_every: Span::secs(3600),
            exports_kept: 3,
            export_patience: Span::secs(60),
            cache_mb: 16,
            seal_key_file: None,
        }
    }
}

impl StoreConfig {
    /// The defaults, in this folder.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            ..Self::default()
        }
    }

    /// Where automatic exports are made.
    pub(super) fn exports_in(&self) -> PathBuf {
        match &self.export_folder {
            Some(folder) => folder.clone(),
            None => self.folder.join("exports"),
        }
    }

    /// How long events stay in the journal.
    pub fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.retention_hours) * 3600)
    }
}
