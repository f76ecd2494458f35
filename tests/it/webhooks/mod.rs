//! Webhooks: from an event in the journal to a signed request at a receiver, whatever the receiver does.

mod misbehaviour;
mod office;
mod receiver;
mod recovery;
mod story;
