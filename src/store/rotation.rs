//! The seal's key replaced by another one. A kill at any instant leaves data that opens.
//!
//! A row holds each of the two keys sealed by the other one. It is written before anything else: from then on whoever
//! has the one key has both. Then every sealed row is written anew by ordinary commits, and the row marked as done. It
//! goes when the store is opened with the new key for the first time; until then the former one opens everything, after
//! that nothing but the exports of its time. It does not promise that the former key's bytes are gone from the disk.

use std::ops::Bound;
use std::path::Path;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::bytes::Bytes;
use super::catalog::{self, Entry};
use super::decode::decode;
use super::error::StoreError;
use super::open::sled_fault;
use super::row;
use super::seal::{self, Key, Seal, Sources};
use super::table::{Table, end_of, row_key};
use super::{Batch, Store, StoreConfig};
use crate::base::Timestamp;

/// How many rows are sealed anew by one commit.
const STEP: usize = 64;
const ENTRY: Entry = catalog::SEAL_ROTATION;
const NEW: &[u8] = b"new";
const FORMER: &[u8] = b"former";

/// The rotation under way, or the last one if its new key was never used.
struct Rotations;

impl Table for Rotations {
    const ENTRY: Entry = ENTRY;
    type Key = ();
    type Value = RotationRow;
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct RotationRow {
    begun_at: Timestamp,
    /// The new key, sealed by the former one.
    new: Bytes,
    /// The former key, sealed by the new one.
    former: Bytes,
    /// Whether every row is sealed by the new key.
    done: bool,
}

/// A rotation as the open store knows it.
pub(super) struct Rotation {
    new: Key,
    done: bool,
    /// Whether the store was opened with the new key.
    in_use: bool,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Rotated {
    /// How many values were sealed anew.
    pub rows: u64,
    /// Whether the new key stands in the data folder already; else it is to be given to the daemon.
    pub in_place: bool,
}

fn other_key(by: &Seal, name: &[u8], sealed: &Bytes) -> Option<Key> {
    let key = Zeroizing::new(by.unseal(ENTRY.name, name, &sealed.0)?);
    Some(Zeroizing::new(key.as_slice().try_into().ok()?))
}

/// The seal that the given key and a rotation under way make.
pub(super) fn seal(tree: &sled::Tree, given: Key) -> Result<(Seal, Option<Rotation>), StoreError> {
    let Some(row) = stored(tree)? else {
        return Ok((Seal::new(&given), None));
    };
    let by = Seal::new(&given);
    let rotation = |new: &Key, in_use| Rotation {
        new: new.clone(),
        done: row.done,
        in_use,
    };
    if let Some(new) = other_key(&by, NEW, &row.new) {
        return Ok((Seal::between(&new, &given), Some(rotation(&new, false))));
    }
    if let Some(former) = other_key(&by, FORMER, &row.former) {
        return Ok((Seal::between(&given, &former), Some(rotation(&given, true))));
    }
    Err(StoreError::SealKey {
        what: "the seal key is neither the former nor the new one of a rotation that was begun; give one of them".to_owned(),
    })
}

fn stored(tree: &sled::Tree) -> Result<Option<RotationRow>, StoreError> {
    let key = row_key(&ENTRY, &());
    let Some(bytes) = tree.get(&key).map_err(sled_fault)? else {
        return Ok(None);
    };
    of_row(&key, &bytes)
        .map(Some)
        .ok_or_else(|| StoreError::DamagedPage {
            what: "the row of the seal key's rotation".to_owned(),
        })
}

fn of_row(key: &[u8], bytes: &[u8]) -> Option<RotationRow> {
    let plain = row::open(&ENTRY, key, bytes, None, |_| None).ok()??;
    decode(&plain).ok()
}

/// Whether this row of an export tells of a rotation that the key takes part in.
pub(super) fn knows(key: &[u8], bytes: &[u8], seal: &Seal) -> bool {
    let row = (key == row_key(&ENTRY, &()))
        .then(|| of_row(key, bytes))
        .flatten();
    row.is_some_and(|row| {
        other_key(seal, NEW, &row.new).is_some() || other_key(seal, FORMER, &row.former).is_some()
    })
}

impl Rotation {
    /// What the first commit removes: the former key is of no use from now on.
    pub fn farewell(&self) -> Option<Batch> {
        let mut batch = Batch::new();
        batch.remove::<Rotations>(&());
        (self.done && self.in_use).then_some(batch)
    }

    /// Says what is left to do.
    pub fn tell(&self) {
        match (self.done, self.in_use) {
            (false, _) => tracing::warn!(
                "a rotation of the seal key was cut off; end it with `trunkline store rotate-seal` while the daemon is \
                 stopped"
            ),
            (true, false) => {
                tracing::warn!(
                    "the seal key was replaced, and the former one is still given; give the new one"
                )
            }
            (true, true) => {
                tracing::info!("the new seal key is in use; the former one opens this store no more")
            }
        }
    }
}

/// Replaces the seal key of a stopped store: by the one in `new`, or by a fresh one where the key in use was made
/// beside the data. One that was cut off is carried on with.
pub async fn rotate_seal(config: &StoreConfig, new: Option<&Path>) -> Result<Rotated, StoreError> {
    let own = Sources::of_process(config.seal_key_file.clone()).is_own();
    let wanted = new.map(seal::from_file).transpose()?;
    if wanted.is_none() && !own {
        return Err(StoreError::SealKey {
            what: "the seal key is given from outside; name a file with the new one".to_owned(),
        });
    }
    let mut store = Store::open(config.clone())?;
    if store.rotation()?.is_none() {
        let new = wanted.clone().unwrap_or_else(seal::fresh);
        store.begin_rotation(config, &new).await?;
        drop(store);
        store = Store::open(config.clone())?;
    }
    let Some((key, done)) = store.rotation()? else {
        return Err(StoreError::unavailable("the rotation is not there any more"));
    };
    if wanted.is_some_and(|wanted| wanted != key) {
        return Err(StoreError::SealKey {
            what: "a rotation to another key was begun; end it first, with its new key or without naming one"
                .to_owned(),
        });
    }
    let rows = if done { 0 } else { store.seal_anew().await? };
    if !config.export_every.is_zero()
        && let Err(error) = store.export_now().await
    {
        tracing::warn!(error = %crate::base::chain(&error), "no export was made; those there are need the former key");
    }
    drop(store);
    if own {
        seal::replace_own(&config.folder, &key)?;
        drop(Store::open(config.clone())?);
    }
    Ok(Rotated { rows, in_place: own })
}

impl Store {
    /// The new key of a rotation that is not over, and whether all is sealed by it.
    fn rotation(&self) -> Result<Option<(Key, bool)>, StoreError> {
        let live = self.live()?;
        let open = live
            .rotation
            .as_ref()
            .filter(|rotation| rotation.farewell().is_none());
        Ok(open.map(|rotation| (rotation.new.clone(), rotation.done)))
    }

    async fn begin_rotation(&self, config: &StoreConfig, new: &Key) -> Result<(), StoreError> {
        let given = Sources::of_process(config.seal_key_file.clone()).key(&config.folder, false)?;
        let Some(former) = given.filter(|given| given != new) else {
            return Err(StoreError::SealKey {
                what: "the new seal key is the one in use".to_owned(),
            });
        };
        let row = RotationRow {
            begun_at: Timestamp::now(),
            new: Bytes(Seal::new(&former).seal(ENTRY.name, NEW, new.as_slice())),
            former: Bytes(Seal::new(new).seal(ENTRY.name, FORMER, former.as_slice())),
            done: false,
        };
        let mut batch = Batch::new();
        batch.put::<Rotations>(&(), &row);
        self.commit(batch).await.map(drop)
    }

    /// Writes every sealed row anew, then the mark that this is done.
    async fn seal_anew(&self) -> Result<u64, StoreError> {
        let live = self.live()?;
        let mut count = 0;
        for entry in catalog::ALL.iter().filter(|entry| entry.sealed) {
            let mut from = Bound::Included(vec![entry.prefix]);
            loop {
                let keys = live.tree.range((from, end_of(&[entry.prefix]))).keys();
                let keys: Vec<_> = keys.take(STEP).collect::<Result<_, _>>().map_err(sled_fault)?;
                let Some(last) = keys.last() else { break };
                from = Bound::Excluded(last.to_vec());
                let mut batch = Batch::new();
                for key in &keys {
                    match live.plain(entry, key) {
                        Ok(Some(plain)) => batch.put_plain(*entry, key.to_vec(), plain),
                        // A damaged one was moved aside, and is told of there.
                        Ok(None) | Err(StoreError::BadRow { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                count += batch.len() as u64;
                self.commit(batch).await?;
            }
        }
        let Some(row) = self.get::<Rotations>(&())? else {
            return Err(StoreError::unavailable("the rotation is not there any more"));
        };
        let mut batch = Batch::new();
        batch.put::<Rotations>(&(), &RotationRow { done: true, ..row });
        self.commit(batch).await?;
        Ok(count)
    }
}
