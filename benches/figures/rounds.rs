//! This build of the daemon and another in turns, so that what the machine does besides falls on both.

use std::path::Path;

use crate::scene::{BINARY, Failed};
use crate::{Size, forwarding};

/// Prints what a forward costs both, round by round; the last line is the median of the ratios and their spread.
pub async fn measure(other: &Path, rounds: u32, size: &Size) -> Result<(), Failed> {
    if !other.is_file() {
        return Err(format!("{} is no file", other.display()).into());
    }
    println!(
        "{:>5} {:>12} {:>12} {:>7}",
        "round", "this, µs", "other, µs", "ratio"
    );
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        // Who comes first takes turns too.
        let (this, that) = if round % 2 == 1 {
            let this = forwarding::processor(BINARY.as_ref(), size).await?;
            (this, forwarding::processor(other, size).await?)
        } else {
            let that = forwarding::processor(other, size).await?;
            (forwarding::processor(BINARY.as_ref(), size).await?, that)
        };
        let ratio = this / that;
        println!("{round:>5} {this:>12.1} {that:>12.1} {ratio:>7.3}");
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    let line = serde_json::json!({
        "figure": "processor per forward beside another build",
        "pairs": size.pairs,
        "forwards": size.forwards,
        "rounds": rounds,
        "ratio_median": ratios.get(ratios.len() / 2),
        "ratio_least": ratios.first(),
        "ratio_most": ratios.last(),
    });
    println!("{line}");
    Ok(())
}
