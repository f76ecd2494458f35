//! The classes of faults, in the order in which the campaign runs them.

mod kills;

use super::class::Class;

pub const ALL: &[Class] = &[kills::CLASS];
