//! Agents log in: by code, by QR, with a password; what goes wrong, and what is left when nobody finishes.

mod backend;
mod clock;
mod code;
mod endings;
mod password;
mod qr;
mod refusals;
mod replacing;
mod secret;
mod terminal;
mod tokens;
mod ways;
