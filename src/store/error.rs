//! What can go wrong in the store.

use std::io;
use std::path::PathBuf;

use crate::base::{Code, Coded, Retry};

/// A step of the store that failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not open (any more, or yet). Of a commit: whether it was stored is not known.
    #[error("the store is not available: {why}")]
    Unavailable {
        /// What it waits for or what it died of.
        why: String,
    },
    /// The disk refused. Of a commit: whether it was stored is not known.
    #[error("the disk refused: {why}")]
    Disk {
        /// Whether it is full, or says so.
        full: bool,
        /// What it said.
        why: String,
    },
    /// A precondition did not hold; nothing of the batch was stored.
    #[error("a precondition on {table} did not hold")]
    Conflict {
        /// The table it was about.
        table: &'static str,
    },
    /// A row failed its checksum. It was moved aside and is not served until it is written anew.
    #[error("a row of {table} is damaged and was moved aside")]
    BadRow {
        /// Its table.
        table: &'static str,
    },
    /// A row is sound but in a form of another release.
    #[error("a row of {table} has the form {version}, which this release does not know")]
    UnknownVersion {
        /// Its table.
        table: &'static str,
        /// Its version byte.
        version: u8,
    },
    /// A row is sound but does not fit its type.
    #[error("a row of {table} does not fit its type")]
    Decode {
        /// Its table.
        table: &'static str,
        /// Why.
        #[source]
        source: rmp_serde::decode::Error,
    },
    /// A value cannot be written.
    #[error("a value for {table} cannot be written")]
    Encode {
        /// Its table.
        table: &'static str,
        /// Why.
        #[source]
        source: rmp_serde::encode::Error,
    },
    /// A value or batch is over the limit.
    #[error("{what} is too large: {size}, at most {limit}")]
    TooLarge {
        /// What is.
        what: &'static str,
        /// How large.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Another process has the folder.
    #[error("the data folder {} is in use by another process; stop it first", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// A file of the folder cannot be used.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The database cannot be opened.
    #[error(
        "the database in {} is damaged ({what}); import the last export into an empty folder, or move the folder \
         away and start anew",
        folder.display()
    )]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// What was found.
        what: String,
    },
    /// A page of the open database cannot be read; the others can.
    #[error("a page of the database is damaged ({what})")]
    DamagedPage {
        /// What was found.
        what: String,
    },
    /// The database holds less than it did.
    #[error(
        "the database in {} lost data: {what}; import the last export into an empty folder, or, to go on with what \
         is left, remove the file {} and start again",
        folder.display(), folder.join("ledger").display()
    )]
    Shrunk {
        /// The folder.
        folder: PathBuf,
        /// What was expected and what was found.
        what: String,
    },
    /// The seal key is missing, malformed or not the one of this data.
    #[error("{what}")]
    SealKey {
        /// What is wrong with it, and where it came from.
        what: String,
    },
    /// A stream is not an export, or a damaged one.
    #[error("the export cannot be imported: {what}")]
    BadExport {
        /// What is wrong with it.
        what: String,
    },
}

impl StoreError {
    pub(super) fn unavailable(why: impl ToString) -> Self {
        Self::Unavailable { why: why.to_string() }
    }

    /// What the disk said of the database's files.
    pub(super) fn disk(error: &io::Error) -> Self {
        Self::Disk {
            full: is_full(error),
            why: error.to_string(),
        }
    }

    /// Whether it is the disk that refused: trouble that may pass, and no reason to end.
    pub(super) fn is_of_disk(&self) -> bool {
        matches!(self, Self::Disk { .. } | Self::File { .. })
    }

    /// Whether the database itself is damaged, as far as can be seen.
    pub(super) fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. } | Self::DamagedPage { .. } | Self::Shrunk { .. }
        )
    }

    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}

/// Whether a disk, a quota or a limit leaves no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

impl Coded for StoreError {
    fn code(&self) -> Code {
        match self {
            Self::Unavailable { .. } | Self::Locked { .. } | Self::File { .. } | Self::Damaged { .. } => {
                Code::StoreUnavailable
            }
            Self::Shrunk { .. } | Self::SealKey { .. } | Self::DamagedPage { .. } | Self::Disk { .. } => {
                Code::StoreUnavailable
            }
            Self::Conflict { .. } => Code::Conflict,
            Self::TooLarge { .. } => Code::BodyTooLarge,
            Self::BadExport { .. } => Code::InvalidRequest,
            Self::BadRow { .. } | Self::UnknownVersion { .. } | Self::Decode { .. } | Self::Encode { .. } => {
                Code::Internal
            }
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Unavailable { .. } | Self::Locked { .. } | Self::File { .. } | Self::Disk { .. } => {
                Retry::Backoff
            }
            _ => Retry::Never,
        }
    }
}
