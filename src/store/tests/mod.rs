//! The store as its users see it: ordinary use, damage, death in the middle, copies.

pub(super) mod basics;
mod copies;
mod damage;
mod disks;
mod kill;
mod life;
mod marred;
mod restore;
mod rotation;
