//! One session's memory: what came in, what goes out, what is not acknowledged yet.
//!
//! Pure: time and connections are told to it. It promises that a call is executed once, that ids rise and
//! sequence numbers count as the protocol wants, and that content goes out again on the session's next
//! connection until the client acknowledges it. Memory is bounded; what falls out of it counts as too old.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use grammers_tl_types as tl;
use tl::Serializable;

use super::envelope::{Message, container};

/// A connection, by its number.
pub type ConnectionId = u64;

/// How many received ids are remembered.
const MAX_REMEMBERED: usize = 16_384;
/// And how many sequence numbers.
const MAX_NUMBERS: usize = 1_024;
/// How much sent content waits for its acknowledgement.
const MAX_UNACKED: usize = 8_192;
const MAX_UNACKED_BYTES: usize = 32 << 20;
/// How much may wait to be sent.
const MAX_QUEUED: usize = 16_384;
const MAX_QUEUED_BYTES: usize = 64 << 20;
/// How much may wait for a client that has no connection.
const MAX_QUEUED_OFFLINE: usize = 1_024;
/// What one packet holds: a client refuses bodies of 1,044,448 bytes and more.
const MAX_BATCH: usize = 100;
const MAX_BATCH_BYTES: usize = 900_000;
/// Up to this length an answer is sent again whole when its question is repeated.
const SMALL_ANSWER: usize = 64 << 10;

/// What the session holds on one connection's end.
#[derive(Default)]
pub struct Session {
    last_id: i64,
    content_sent: i32,
    announced: bool,
    received: BTreeMap<i64, Received>,
    /// The sequence numbers of what came last, by id: they rise with it.
    numbers: BTreeMap<i64, i32>,
    highest: i64,
    floor: i64,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    unacked: BTreeMap<i64, Sent>,
    unacked_bytes: usize,
    again: BTreeSet<i64>,
    connections: Vec<ConnectionId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Received {
    Container,
    Running,
    /// Its answer is no longer wanted.
    Dropped,
    /// Its answer waits to be sent.
    Ready {
        ok: bool,
    },
    Answered {
        ok: bool,
        answer: i64,
        bytes: usize,
    },
}

struct Queued {
    body: Bytes,
    class: Class,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// An answer to that call.
    Answer(i64),
    /// Word that the session is new.
    News,
    /// Other content that the server speaks of by itself.
    Push,
    /// No content; for whatever connection is there.
    Note,
    /// No content; a reply that makes sense on that connection only.
    Reply(ConnectionId),
}

struct Sent {
    seq_no: i32,
    body: Bytes,
    on: ConnectionId,
}

/// What an incoming message's id says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It is new, and remembered now.
    New,
    /// It came before.
    Repeated,
    /// It is older than what is remembered: nobody knows whether it came before.
    TooOld,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// It has not come.
    Unknown,
    /// It is being worked on.
    Running,
    /// It gave a result.
    Succeeded,
    /// It gave an error, or its answer was dropped.
    Failed,
}

/// The client does not keep up.
#[derive(Debug, PartialEq, Eq)]
pub struct Lagging;

impl Session {
    /// The connection speaks for this session; it is the current one from now on. What was sent on
    /// connections that are gone, and not acknowledged, goes out again.
    pub fn attach(&mut self, connection: ConnectionId) {
        if self.connections.last() == Some(&connection) {
            return;
        }
        self.connections.retain(|it| *it != connection);
        self.connections.push(connection);
        self.send_lost_again();
    }

    /// The connection is gone.
    pub fn detach(&mut self, connection: ConnectionId) {
        self.connections.retain(|it| *it != connection);
        let mut freed = 0;
        self.queue.retain(|it| {
            let keep = it.class != Class::Reply(connection);
            freed += if keep { 0 } else { it.body.len() };
            keep
        });
        self.queued_bytes -= freed;
        if !self.connections.is_empty() {
            self.send_lost_again();
        }
    }

    fn send_lost_again(&mut self) {
        let lost = self
            .unacked
            .iter()
            .filter(|(_, sent)| !self.connections.contains(&sent.on));
        let (short, long): (Vec<_>, Vec<_>) = lost
            .map(|(id, sent)| (*id, sent.body.len()))
            .partition(|(_, bytes)| *bytes <= SMALL_ANSWER);
        self.again.extend(short.into_iter().map(|(id, _)| id));
        for (answer_msg_id, bytes) in long {
            self.tell_of(answer_msg_id, bytes);
        }
    }

    /// Word of content that was lost and is too long to be sent again unasked.
    fn tell_of(&mut self, answer_msg_id: i64, bytes: usize) {
        if let Some(sent) = self.unacked.get_mut(&answer_msg_id)
            && let Some(connection) = self.connections.last()
        {
            sent.on = *connection;
        }
        let info = tl::types::MsgNewDetailedInfo {
            answer_msg_id,
            bytes: bytes as i32,
            status: 0,
        };
        self.note(tl::enums::MsgDetailedInfo::MsgNewDetailedInfo(info).to_bytes());
    }

    /// All is forgotten but who is connected; ids go on rising.
    pub fn forget(&mut self) {
        *self = Self {
            last_id: self.last_id,
            connections: std::mem::take(&mut self.connections),
            ..Self::default()
        };
    }

    /// Asks the client what became of the content that it has not acknowledged.
    pub fn ask_states(&mut self) {
        let msg_ids = self.unacked.keys().copied().collect();
        self.note(tl::enums::MsgsStateReq::Req(tl::types::MsgsStateReq { msg_ids }).to_bytes());
    }

    /// Takes note of a message's sequence number; the code of what is wrong with it, if something is.
    pub fn number(&mut self, id: i64, seq_no: i32) -> Option<i32> {
        const TOO_LOW: i32 = 32;
        const TOO_HIGH: i32 = 33;
        if self.numbers.contains_key(&id) {
            return None;
        }
        let same_content = |other: i32| other == seq_no && seq_no & 1 == 1;
        let before = self.numbers.range(..id).next_back().map(|(_, it)| *it);
        let after = self.numbers.range(id..).next().map(|(_, it)| *it);
        if before.is_some_and(|it| it > seq_no || same_content(it)) {
            return Some(TOO_LOW);
        }
        if after.is_some_and(|it| it < seq_no || same_content(it)) {
            return Some(TOO_HIGH);
        }
        self.numbers.insert(id, seq_no);
        if self.numbers.len() > MAX_NUMBERS {
            self.numbers.pop_first();
        }
        None
    }

    /// Whether no connection speaks for it.
    pub fn is_offline(&self) -> bool {
        self.connections.is_empty()
    }

    /// Tells the client, once, that the server did not know this session before that message.
    pub fn announce(&mut self, first_msg_id: i64, server_salt: i64) {
        if !std::mem::replace(&mut self.announced, true) {
            let unique_id = rand::random();
            let created = tl::types::NewSessionCreated {
                first_msg_id,
                unique_id,
                server_salt,
            };
            self.enqueue(
                tl::enums::NewSession::Created(created).to_bytes().into(),
                Class::News,
            );
        }
    }

    /// Takes note of a container's id.
    pub fn receive_container(&mut self, id: i64) -> Receipt {
        self.receive(id, Received::Container)
    }

    /// Takes note of a call's id; a new one counts as running.
    pub fn receive_call(&mut self, id: i64) -> Receipt {
        self.receive(id, Received::Running)
    }

    fn receive(&mut self, id: i64, as_what: Received) -> Receipt {
        if self.received.contains_key(&id) {
            return Receipt::Repeated;
        }
        if id <= self.floor {
            return Receipt::TooOld;
        }
        self.highest = self.highest.max(id);
        self.received.insert(id, as_what);
        if self.received.len() > MAX_REMEMBERED
            && let Some((oldest, _)) = self.received.pop_first()
        {
            self.floor = oldest;
        }
        Receipt::New
    }

    /// The call counts as never received.
    pub fn forget_call(&mut self, id: i64) {
        self.received.remove(&id);
    }

    /// The call's answer: a whole `rpc_result`.
    pub fn answer(&mut self, id: i64, ok: bool, body: Bytes) {
        match self.received.get_mut(&id) {
            Some(Received::Dropped) => return,
            Some(state) => *state = Received::Ready { ok },
            None => {}
        }
        self.enqueue(body, Class::Answer(id));
    }

    /// The client asks a call again that came before: its answer goes out again, or word of it.
    pub fn repeat(&mut self, id: i64) {
        let Some(Received::Answered { answer, bytes, .. }) = self.received.get(&id).copied() else {
            return;
        };
        if bytes <= SMALL_ANSWER && self.unacked.contains_key(&answer) {
            self.again.insert(answer);
        } else {
            let bytes = bytes as i32;
            let info = tl::types::MsgDetailedInfo {
                msg_id: id,
                answer_msg_id: answer,
                bytes,
                status: 0,
            };
            self.note(tl::enums::MsgDetailedInfo::Info(info).to_bytes());
        }
    }

    /// The client wants no answer to that call any more; tells what became of the answer.
    pub fn drop_answer(&mut self, id: i64) -> tl::enums::RpcDropAnswer {
        use tl::enums::RpcDropAnswer as Verdict;
        match self.received.get(&id).copied() {
            Some(Received::Running | Received::Dropped) => {
                self.received.insert(id, Received::Dropped);
                Verdict::RpcAnswerDroppedRunning
            }
            Some(Received::Ready { .. }) => {
                let waiting = self.queue.iter().position(|it| it.class == Class::Answer(id));
                let bytes = waiting
                    .and_then(|at| self.queue.remove(at))
                    .map_or(0, |it| it.body.len());
                self.queued_bytes -= bytes;
                self.received.insert(id, Received::Dropped);
                // It never got an id of its own, as it was never sent.
                let dropped = tl::types::RpcAnswerDropped {
                    msg_id: id,
                    seq_no: 0,
                    bytes: bytes as i32,
                };
                Verdict::RpcAnswerDropped(dropped)
            }
            Some(Received::Answered { answer, bytes, .. }) => match self.remove_unacked(answer) {
                Some(sent) => Verdict::RpcAnswerDropped(tl::types::RpcAnswerDropped {
                    msg_id: answer,
                    seq_no: sent.seq_no,
                    bytes: bytes as i32,
                }),
                None => Verdict::RpcAnswerUnknown,
            },
            Some(Received::Container) | None => Verdict::RpcAnswerUnknown,
        }
    }

    /// The client has these.
    pub fn acknowledge(&mut self, ids: &[i64]) {
        for id in ids {
            self.remove_unacked(*id);
        }
    }

    fn remove_unacked(&mut self, id: i64) -> Option<Sent> {
        self.again.remove(&id);
        let sent = self.unacked.remove(&id)?;
        self.unacked_bytes -= sent.body.len();
        Some(sent)
    }

    /// One byte a message, as `msgs_state_info` wants it.
    pub fn states(&self, ids: &[i64]) -> Vec<u8> {
        const UNKNOWN: u8 = 1;
        const MISSING: u8 = 2;
        const AHEAD: u8 = 3;
        const CAME: u8 = 4;
        const NEEDS_NO_ACK: u8 = 16;
        const PROCESSED: u8 = 32;
        const ANSWERED: u8 = 64;
        let state = |id: &i64| match self.received.get(id) {
            Some(Received::Container) => CAME | NEEDS_NO_ACK,
            Some(Received::Running | Received::Dropped) => CAME | PROCESSED,
            Some(Received::Ready { .. } | Received::Answered { .. }) => CAME | PROCESSED | ANSWERED,
            None if *id <= self.floor => UNKNOWN,
            None if *id > self.highest => AHEAD,
            None => MISSING,
        };
        ids.iter().map(state).collect()
    }

    /// Sends those messages again; false if one of them is not to be had.
    pub fn resend(&mut self, ids: &[i64]) -> bool {
        let (known, unknown): (Vec<i64>, Vec<i64>) = ids.iter().partition(|id| self.unacked.contains_key(id));
        self.again.extend(known);
        unknown.is_empty()
    }

    /// Sends the answers to those calls again; false if one of them is not to be had.
    pub fn resend_answers(&mut self, ids: &[i64]) -> bool {
        let answer = |id: &i64| match self.received.get(id) {
            Some(Received::Answered { answer, .. }) => *answer,
            _ => 0,
        };
        let answers: Vec<i64> = ids.iter().map(answer).collect();
        self.resend(&answers)
    }

    /// What became of a call.
    pub fn call_state(&self, id: i64) -> CallState {
        match self.received.get(&id) {
            Some(Received::Ready { ok } | Received::Answered { ok, .. }) if *ok => CallState::Succeeded,
            Some(Received::Ready { .. } | Received::Answered { .. } | Received::Dropped) => CallState::Failed,
            Some(Received::Running) => CallState::Running,
            None if id <= self.floor => CallState::Succeeded,
            Some(Received::Container) | None => CallState::Unknown,
        }
    }

    /// Content that nobody asked for: updates.
    pub fn push(&mut self, body: Bytes) -> Result<(), Lagging> {
        self.enqueue(body, Class::Push);
        self.keeps_up()
    }

    /// The updates that wait are left out, and this word comes in their place.
    pub fn leave_out(&mut self, word: Vec<u8>) -> Result<(), Lagging> {
        self.queue.retain(|it| it.class != Class::Push);
        self.queued_bytes = self.queue.iter().map(|it| it.body.len()).sum();
        self.push(word.into())
    }

    /// Whether what waits is within bounds.
    pub fn keeps_up(&self) -> Result<(), Lagging> {
        let most = if self.is_offline() {
            MAX_QUEUED_OFFLINE
        } else {
            MAX_QUEUED
        };
        let within = self.queue.len() <= most && self.queued_bytes <= MAX_QUEUED_BYTES;
        if within { Ok(()) } else { Err(Lagging) }
    }

    /// A service message for whatever connection is there.
    pub fn note(&mut self, body: Vec<u8>) {
        self.enqueue(body.into(), Class::Note);
    }

    /// A service message for that connection only.
    pub fn reply(&mut self, connection: ConnectionId, body: Vec<u8>) {
        self.enqueue(body.into(), Class::Reply(connection));
    }

    fn enqueue(&mut self, body: Bytes, class: Class) {
        self.queued_bytes += body.len();
        self.queue.push_back(Queued { body, class });
    }

    /// The next message for this connection, maybe a container; `now` is since the epoch.
    pub fn take(&mut self, connection: ConnectionId, now: Duration) -> Option<Message> {
        let current = self.connections.last() == Some(&connection);
        let mut batch = if current {
            self.take_again(connection)
        } else {
            Vec::new()
        };
        let old_ids = !batch.is_empty();
        let mut bytes: usize = batch.iter().map(|it| it.body.len()).sum();
        let mut at = 0;
        while at < self.queue.len() && batch.len() < MAX_BATCH {
            let Queued { body, class } = &self.queue[at];
            let ours = match class {
                Class::Reply(on) => *on == connection,
                _ => current,
            };
            if !ours {
                at += 1;
                continue;
            }
            if bytes + body.len() > MAX_BATCH_BYTES && !batch.is_empty() {
                break;
            }
            bytes += body.len();
            if let Some(next) = self.queue.remove(at) {
                batch.push(self.send(next, connection, now));
            }
        }
        // An old id alone could be taken for a message from the past: it travels in a container.
        if batch.len() > 1 || old_ids {
            let body = container(&batch);
            return Some(Message {
                id: self.next_id(now, true),
                seq_no: self.content_sent * 2,
                body,
            });
        }
        batch.pop()
    }

    fn take_again(&mut self, connection: ConnectionId) -> Vec<Message> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(id) = self.again.first().copied() {
            let Some(sent) = self.unacked.get_mut(&id) else {
                self.again.remove(&id);
                continue;
            };
            if batch.len() == MAX_BATCH || (bytes + sent.body.len() > MAX_BATCH_BYTES && !batch.is_empty()) {
                break;
            }
            bytes += sent.body.len();
            sent.on = connection;
            batch.push(Message {
                id,
                seq_no: sent.seq_no,
                body: sent.body.clone(),
            });
            self.again.remove(&id);
        }
        batch
    }

    fn send(&mut self, next: Queued, connection: ConnectionId, now: Duration) -> Message {
        let Queued { body, class } = next;
        self.queued_bytes -= body.len();
        let id = self.next_id(now, !matches!(class, Class::Push | Class::News));
        let mut seq_no = self.content_sent * 2;
        if matches!(class, Class::Answer(_) | Class::Push | Class::News) {
            seq_no += 1;
            self.content_sent += 1;
            self.unacked_bytes += body.len();
            self.unacked.insert(
                id,
                Sent {
                    seq_no,
                    body: body.clone(),
                    on: connection,
                },
            );
            self.bound_unacked();
        }
        if let Class::Answer(question) = class
            && let Some(state) = self.received.get_mut(&question)
            && let Received::Ready { ok } = *state
        {
            *state = Received::Answered {
                ok,
                answer: id,
                bytes: body.len(),
            };
        }
        Message { id, seq_no, body }
    }

    fn bound_unacked(&mut self) {
        while self.unacked.len() > MAX_UNACKED || self.unacked_bytes > MAX_UNACKED_BYTES {
            let Some(oldest) = self.unacked.keys().next().copied() else {
                return;
            };
            self.remove_unacked(oldest);
        }
    }

    fn next_id(&mut self, now: Duration, answer: bool) -> i64 {
        let id = time_id(now).max(self.last_id + 4);
        self.last_id = id;
        id | if answer { 1 } else { 3 }
    }
}

/// A message id of that time, still without its kind: the seconds, and a fraction that is never zero.
pub fn time_id(now: Duration) -> i64 {
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    let id = (now.as_secs() << 32) | fraction.max(4);
    (id & !3) as i64
}

#[cfg(test)]
mod tests;
