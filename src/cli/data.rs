//! Where the data folder is, as every command finds it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::Config;

/// There is no folder to keep the state in.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no data folder: name one with --data-dir or store.folder (STATE_DIRECTORY, XDG_DATA_HOME and HOME are not set)"
)]
pub struct NoFolder;

/// The data folder: as given, else as the configuration names it, else where such folders are.
pub fn folder_of(config: &Config, given: Option<&Path>) -> Result<PathBuf, NoFolder> {
    match given {
        None if config.folder_is_named => Ok(config.store.folder.clone()),
        given => folder(given),
    }
}

/// The data folder of a command that reads no configuration: as given, else systemd's, else the user's.
pub fn folder(given: Option<&Path>) -> Result<PathBuf, NoFolder> {
    match given {
        Some(folder) => Ok(folder.to_owned()),
        None => found(|name| std::env::var_os(name)).ok_or(NoFolder),
    }
}

/// Where such folders are, by these variables. Secrets are kept there, so it is never a place that nobody named.
fn found(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    // Of several the first is the state's: a unit that is given another one keeps its own.
    let state = set("STATE_DIRECTORY")
        .and_then(|all| std::env::split_paths(&all).find(|path| !path.as_os_str().is_empty()));
    state.or_else(|| {
        // A relative one is to be passed over.
        let data = set("XDG_DATA_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let data = data.or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/share")));
        Some(data?.join("trunkline"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Option<PathBuf> {
        found(|name| {
            let set = variables.iter().find(|(known, _)| *known == name);
            set.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_folder_is_the_first_that_is_named_and_never_a_guess() {
        let home = ("HOME", "/home/ann");
        for (variables, wanted) in [
            (&[("STATE_DIRECTORY", "/a:/b"), home][..], Some("/a")),
            (&[("STATE_DIRECTORY", ":/b"), home], Some("/b")),
            (
                &[("STATE_DIRECTORY", ":"), home],
                Some("/home/ann/.local/share/trunkline"),
            ),
            (&[("XDG_DATA_HOME", "/x"), home], Some("/x/trunkline")),
            (
                &[("XDG_DATA_HOME", "x"), home],
                Some("/home/ann/.local/share/trunkline"),
            ),
            (&[("HOME", "")], None),
            (&[], None),
        ] {
            assert_eq!(with(variables), wanted.map(PathBuf::from), "{variables:?}");
        }
    }

    #[test]
    fn a_named_folder_is_taken_as_it_is_written() {
        let config = Config::from_text("[store]\nfolder = \"data\"\n").expect("right");
        assert_eq!(folder_of(&config, None).ok(), Some(PathBuf::from("data")));
        let given = Path::new("/given");
        assert_eq!(folder_of(&config, Some(given)).ok(), Some(given.to_owned()));
    }
}
