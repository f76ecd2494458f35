//! What a group of units will change, before it is applied: reads see the changes made so far, and the
//! changes of one unit can be taken back.

use std::collections::HashMap;

use sled::IVec;

use super::digest;
use super::error::StoreError;
use super::open::sled_fault;
use super::row;

struct Slot {
    /// As in the tree.
    old: Option<IVec>,
    /// As it will be.
    new: Option<IVec>,
}

/// The changes of a group.
pub(super) struct Stage<'a> {
    tree: &'a sled::Tree,
    slots: HashMap<Vec<u8>, Slot>,
    undo: Vec<(Vec<u8>, Option<IVec>)>,
}

impl<'a> Stage<'a> {
    pub fn new(tree: &'a sled::Tree) -> Self {
        Self {
            tree,
            slots: HashMap::new(),
            undo: Vec::new(),
        }
    }

    fn slot(&mut self, key: &[u8]) -> Result<&mut Slot, StoreError> {
        if !self.slots.contains_key(key) {
            let old = self.tree.get(key).map_err(sled_fault)?;
            self.slots.insert(
                key.to_vec(),
                Slot {
                    new: old.clone(),
                    old,
                },
            );
        }
        Ok(self.slots.get_mut(key).expect("it was put in above"))
    }

    /// A row as it will be.
    pub fn get(&mut self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        Ok(self.slot(key)?.new.clone())
    }

    /// Writes a row.
    pub fn put(&mut self, key: Vec<u8>, row: Vec<u8>) -> Result<(), StoreError> {
        self.set(key, Some(row.into()))
    }

    /// Removes a row.
    pub fn remove(&mut self, key: Vec<u8>) -> Result<(), StoreError> {
        self.set(key, None)
    }

    /// Writes a row under a key that cannot be there: spares the look.
    pub fn put_fresh(&mut self, key: Vec<u8>, row: Vec<u8>) {
        let slot = self
            .slots
            .entry(key.clone())
            .or_insert(Slot { old: None, new: None });
        let before = slot.new.replace(row.into());
        self.undo.push((key, before));
    }

    fn set(&mut self, key: Vec<u8>, row: Option<IVec>) -> Result<(), StoreError> {
        let slot = self.slot(&key)?;
        let before = std::mem::replace(&mut slot.new, row);
        self.undo.push((key, before));
        Ok(())
    }

    /// A point to come back to.
    pub fn mark(&self) -> usize {
        self.undo.len()
    }

    /// Takes back all changes since the mark.
    pub fn back_to(&mut self, mark: usize) {
        while self.undo.len() > mark {
            let Some((key, before)) = self.undo.pop() else {
                return;
            };
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.new = before;
            }
        }
    }

    /// How many changes were made since the mark.
    pub fn changes_since(&self, mark: usize) -> usize {
        self.undo.len() - mark
    }

    /// Every change: key, the row as it was, the row as it will be.
    pub fn changes(&self) -> impl Iterator<Item = (&Vec<u8>, Option<&IVec>, Option<&IVec>)> {
        self.slots
            .iter()
            .map(|(key, slot)| (key, slot.old.as_ref(), slot.new.as_ref()))
            .filter(|(_, old, new)| old != new)
    }

    /// By how much the number of rows changes.
    pub fn growth(&self) -> i64 {
        self.changes()
            .map(|(_, old, new)| i64::from(new.is_some()) - i64::from(old.is_some()))
            .sum()
    }

    /// By how much the sum of all rows changes; none if a damaged row goes, whose part of it is not known.
    pub fn difference(&self) -> Option<u64> {
        let mut sum = 0u64;
        for (key, old, new) in self.changes() {
            if let Some(old) = old {
                if row::is_damaged(key, old) {
                    return None;
                }
                sum = sum.wrapping_sub(digest::of_row(key, old));
            }
            sum = sum.wrapping_add(new.map_or(0, |new| digest::of_row(key, new)));
        }
        Some(sum)
    }

    /// The changes as sled applies them.
    pub fn batch(&self) -> sled::Batch {
        let mut batch = sled::Batch::default();
        for (key, _, new) in self.changes() {
            match new {
                Some(row) => batch.insert(key.as_slice(), row),
                None => batch.remove(key.as_slice()),
            }
        }
        batch
    }
}
