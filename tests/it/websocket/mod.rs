//! Listeners over WebSockets, as programs, pages and bad neighbours meet the daemon.

mod admission;
mod listener;
mod manners;
mod stream;
