//! Where the data folder is, as every command finds it.

use std::path::{Path, PathBuf};

/// The data folder: as given, else systemd's, else the user's.
pub fn folder(given: Option<&Path>) -> PathBuf {
    let from = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(folder) = given {
        return folder.to_owned();
    }
    if let Some(folder) = from("STATE_DIRECTORY") {
        return folder;
    }
    let data = from("XDG_DATA_HOME").or_else(|| Some(from("HOME")?.join(".local/share")));
    data.unwrap_or_else(|| PathBuf::from(".")).join("trunkline")
}
