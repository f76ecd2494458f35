//! The writing side of a connection: takes what its sessions and the reading side have for it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::timeout;

use super::cipher::{Sender, seal};
use super::envelope::Envelope;
use super::registry::{Line, Slot};
use super::transport::Writing;
use crate::sandbox::rpc::Refusal;

/// How much of the buffer for what is sent is kept between two sendings.
const KEPT: usize = 8 << 10;

/// What one connection has to send.
#[derive(Default)]
pub struct Outbox {
    contents: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    plain: VecDeque<Bytes>,
    refusal: Option<Refusal>,
    slots: Vec<Arc<Slot>>,
}

/// The time since the epoch: what message ids and salts go by.
pub fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

impl Outbox {
    /// A packet that is sent as it is.
    pub fn send_plain(&self, packet: Bytes) {
        self.lock().plain.push_back(packet);
    }

    /// The last word: a transport error, after all that waits already.
    pub fn refuse(&self, refusal: Refusal) {
        self.lock().refusal = Some(refusal);
    }

    /// From now on this session's messages are sent here, in place of a forgotten one of the same id.
    pub fn add(&self, slot: Arc<Slot>) {
        let mut contents = self.lock();
        contents
            .slots
            .retain(|it| it.id != slot.id || it.key.id != slot.key.id);
        contents.slots.push(slot);
    }

    /// The sessions, which are sent nothing here any more.
    pub fn take_slots(&self) -> Vec<Arc<Slot>> {
        std::mem::take(&mut self.lock().slots)
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what there is whenever the connection is woken; the client may take so long to take it. Ends after a
    /// refusal, with that.
    pub async fn write(
        &self,
        line: &Line,
        writing: &mut Writing,
        to: &mut OwnedWriteHalf,
        limit: Duration,
    ) -> io::Result<Refusal> {
        let mut out = Vec::new();
        loop {
            let refusal = self.collect(line, writing, &mut out);
            match refusal {
                Some(Refusal { code, framed: true }) => writing.packet(&code.to_le_bytes(), &mut out),
                Some(Refusal { code, .. }) => writing.error(code, &mut out),
                None => {}
            }
            if out.is_empty() {
                line.wake.notified().await;
                continue;
            }
            timeout(limit, to.write_all(&out)).await??;
            if let Some(refusal) = refusal {
                return Ok(refusal);
            }
            out.clear();
            out.shrink_to(KEPT);
        }
    }

    /// Puts packets together, one of each session at a time.
    fn collect(&self, line: &Line, writing: &mut Writing, out: &mut Vec<u8>) -> Option<Refusal> {
        let (plain, refusal, slots) = {
            let mut contents = self.lock();
            (
                std::mem::take(&mut contents.plain),
                contents.refusal,
                contents.slots.clone(),
            )
        };
        plain.iter().for_each(|packet| writing.packet(packet, out));
        let now = line.clock.now();
        for slot in slots {
            if let Some(message) = slot.quietly(|session| session.take(line.id, now)) {
                let salt = slot.key.salts.current(now.as_secs());
                let plaintext = Envelope {
                    salt,
                    session: slot.id,
                    message,
                }
                .write();
                writing.packet(&seal(&slot.key.auth_key, Sender::Server, &plaintext), out);
            }
        }
        refusal
    }
}
