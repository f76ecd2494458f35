//! Going through a table for rows that need not be kept any more: page by page, with pauses in which others commit.

use std::time::Duration;

use super::error::StoreError;
use super::table::{Scan, Table};
use super::{Batch, Store};

/// How many rows are read at a time.
const PAGE: usize = 128;
/// The pause after each page.
const PAUSE: Duration = Duration::from_millis(5);

/// How long after the start a domain goes through its tables for the first time, and how often then.
pub const SWEEP_FIRST: Duration = Duration::from_secs(300);
/// See [`SWEEP_FIRST`].
pub const SWEEP_EVERY: Duration = Duration::from_secs(3600);

impl Store {
    /// Shows `look` every row of a table; what it puts into the batch is committed a page at a time. How many changes
    /// that were. It does not promise that a row is still as it was read when its change is made.
    pub async fn sweep<T: Table>(
        &self,
        mut look: impl FnMut(&T::Key, &T::Value, &mut Batch) -> Result<(), StoreError>,
    ) -> Result<usize, StoreError> {
        let (mut last, mut changes): (Option<T::Key>, _) = (None, 0);
        loop {
            let scan = match &last {
                Some(last) => Scan::all().after(last),
                None => Scan::all(),
            };
            let rows = self.scan::<T>(scan, PAGE)?;
            let whole = rows.len() == PAGE;
            let mut batch = Batch::new();
            for (key, value) in rows {
                look(&key, &value, &mut batch)?;
                last = Some(key);
            }
            if !batch.is_empty() {
                changes += batch.len();
                let count = batch.len() as u64;
                self.commit(batch).await?;
                metrics::counter!("trunkline_store_rows_swept_total", "table" => T::ENTRY.name)
                    .increment(count);
            }
            if !whole {
                return Ok(changes);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
