//! `trunkline store`: check, import and restore a stopped store's data folder, export a running one.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

use super::client::{CliError, Client, Target};
use super::show::{self, Column};
use super::{data, on_this_thread, over_api};
use crate::base::chain;
use crate::config::Config;
use crate::store::{self, StoreConfig};

/// Check, import, restore or export the stored state.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trunkline store check                          every row, while the daemon is stopped
  trunkline store export backup.trunkline        a consistent copy from the running daemon
  trunkline store import backup.trunkline --data-dir /var/lib/trunkline-new
  trunkline store restore                        from the last automatic export, while the daemon is stopped
  trunkline store rotate-seal --new-key FILE     another key for what is sealed, while the daemon is stopped

An export holds sealed values as they are: keep the seal key too, and apart from it.")]
pub struct Store {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Verify every row of a stopped store; repairs nothing
    Check(Offline),
    /// Read an export into an empty data folder
    Import {
        /// The export
        file: PathBuf,
        #[command(flatten)]
        offline: Offline,
    },
    /// Replace a stopped store by an export: the one given, or the last automatic one
    Restore {
        /// The export
        file: Option<PathBuf>,
        #[command(flatten)]
        offline: Offline,
    },
    /// Replace the key that seals secrets at rest, of a stopped store; begun and cut off, it is carried on with
    RotateSeal {
        /// A file with the new key (openssl rand -hex 32); not needed where the key was made in the data folder
        #[arg(long, value_name = "FILE")]
        new_key: Option<PathBuf>,
        #[command(flatten)]
        offline: Offline,
    },
    /// Write a consistent copy of the running daemon's store to a file
    Export {
        /// The file, which must not exist
        file: PathBuf,
    },
}

/// Where a stopped daemon's configuration is.
#[derive(Debug, clap::Args)]
pub(super) struct Offline {
    /// The daemon's configuration file, for its data folder and seal key
    #[arg(long, value_name = "FILE", env = "TRUNKLINE_CONFIG")]
    config: Option<PathBuf>,
}

impl Offline {
    pub(super) fn config(&self, target: &Target) -> Result<StoreConfig, CliError> {
        let here = |error: &dyn std::error::Error| CliError::Here(chain(error));
        let mut config = Config::load(self.config.as_deref()).map_err(|error| here(&error))?;
        let folder = data::folder_of(&config, target.data_dir.as_deref());
        config.store.folder = folder.map_err(|error| here(&error))?;
        Ok(config.store)
    }
}

impl Store {
    pub(super) fn run(self, target: &Target) -> Result<(), CliError> {
        match self.what {
            What::Check(offline) => check(&offline.config(target)?, target.json),
            What::Import { file, offline } => import(&offline.config(target)?, &file, target.json),
            What::Restore { file, offline } => {
                restore(&offline.config(target)?, file.as_deref(), target.json)
            }
            What::RotateSeal { new_key, offline } => {
                rotate_seal(&offline.config(target)?, new_key.as_deref(), target.json)
            }
            What::Export { file } => over_api(target, |client| export(client, file, target.json)),
        }
    }
}

fn check(config: &StoreConfig, as_json: bool) -> Result<(), CliError> {
    let report = store::check(config).map_err(|error| CliError::Here(chain(&error)))?;
    if as_json {
        show::json(&json!(report))?;
    } else {
        let rows = report.tables.iter().map(|table| json!(table)).collect();
        show::list(
            rows,
            &[("TABLE", "/table"), ("ROWS", "/rows"), ("BYTES", "/bytes")],
            false,
        )?;
        if !report.findings.is_empty() {
            let columns: &[Column] = &[("TABLE", "/table"), ("KEY", "/key"), ("WHAT", "/what")];
            show::line("")?;
            show::list(
                report.findings.iter().map(|found| json!(found)).collect(),
                columns,
                false,
            )?;
        }
        if !report.unsealed {
            show::line("no seal key was given: sealed values were checked for damage only")?;
        }
    }
    if report.faults > 0 {
        return Err(CliError::Here(format!(
            "{} of {} rows are wrong",
            report.faults, report.rows
        )));
    }
    if as_json {
        Ok(())
    } else {
        show::line(&format!("all {} rows are sound", report.rows))
    }
}

fn import(config: &StoreConfig, file: &Path, as_json: bool) -> Result<(), CliError> {
    let source = File::open(file).map_err(at(file))?;
    let done =
        store::import(config, BufReader::new(source)).map_err(|error| CliError::Here(chain(&error)))?;
    let folder = config.folder.display();
    let text = format!(
        "{} rows are in {folder}; the seal key is not part of an export: give the former one",
        done.rows
    );
    show::done(&text, &json!(done), as_json)
}

fn restore(config: &StoreConfig, file: Option<&Path>, as_json: bool) -> Result<(), CliError> {
    let done = store::restore_by_hand(config, file).map_err(|error| CliError::Here(chain(&error)))?;
    let lost = done
        .commits
        .map_or("an unknown number of".to_owned(), |commits| commits.to_string());
    let aside = done.aside.as_deref().unwrap_or("nowhere: there was nothing");
    let text = format!("restored; at least {lost} commits are lost; what was there is kept in {aside}");
    show::done(&text, &json!(done), as_json)
}

fn rotate_seal(config: &StoreConfig, new_key: Option<&Path>, as_json: bool) -> Result<(), CliError> {
    let rotated = on_this_thread(store::rotate_seal(config, new_key))?;
    let done = rotated.map_err(|error| CliError::Here(chain(&error)))?;
    let next = match done.in_place {
        true => "the new key is in the data folder's seal.key",
        false => "give the daemon the new key now; with its first start the former one is worth nothing here",
    };
    let text = format!(
        "{} values are sealed anew; {next}. Exports of before need the former key",
        done.rows
    );
    show::done(&text, &json!(done), as_json)
}

async fn export(client: Client, path: PathBuf, as_json: bool) -> Result<(), CliError> {
    let mut response = client.send(Method::GET, "/api/admin/export", None).await?;
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(at(&path))?;
    let mut file = BufWriter::new(file);
    let mut bytes = 0;
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|error| CliError::Here(format!("the export broke off: {error}")))?;
        let Some(chunk) = chunk else { break };
        file.write_all(&chunk).map_err(at(&path))?;
        bytes += chunk.len();
    }
    let file = file.into_inner().map_err(|error| at(&path)(error.into_error()))?;
    file.sync_all().map_err(at(&path))?;
    let text = format!(
        "{bytes} bytes are in {}; import checks that they are whole",
        path.display()
    );
    show::done(&text, &json!({ "bytes": bytes, "file": path }), as_json)
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> CliError + use<> {
    let what = path.display().to_string();
    move |cause| CliError::Io { what, cause }
}
