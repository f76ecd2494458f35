//! One TCP connection from its first byte to its end: reading, key exchange, judging packets.
//!
//! It owns the socket and its transport. Sessions outlive it; it attaches to those that it hears of, and its
//! [`Outbox`] takes from them what they have to say. It promises no order between two sessions.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use super::cipher::{Sender, key_id, named_key, open};
use super::envelope::{Envelope, Message, Room, is_container, open_container};
use super::exchange::{Exchange, NOT_FOUND, NewKey, Outcome};
use super::outbox::Outbox;
use super::registry::{Job, Key, Line, Registry, Slot};
use super::rsa::RsaKey;
use super::salts::Salts;
use super::server::Patience;
use super::service::{Heard, bad_message, bad_salt, hear, wants_acknowledgement};
use super::session::{Lagging, Receipt, time_id};
use super::transport::{Detected, FrameError, Reading, detect};
use super::worker::{World, work};
use crate::sandbox::arithmetic::calculate;
use crate::sandbox::rpc::{KeyId, Manners, MtSession, Refusal};

/// More plain packets than the exchanges of any client.
const MAX_PLAIN: usize = 64;
/// How long the last word of a broken conversation may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the client's rest is read after it: a socket closed on unread bytes takes the last word back.
const DRAIN: Duration = Duration::from_millis(250);
/// How much is read at a time at least.
const READ: usize = 4096;
/// The most bytes after a packet in the padded transport, as clients in wide use look for.
const PADDING: usize = 3;
/// The most where Telegram's own measure is taken.
const LONG_PADDING: usize = 15;
/// A buffer that has grown larger than this is let go when it is empty.
const KEPT: usize = 64 << 10;
/// A message's time is too long ago.
const OLD: i32 = 16;
/// A container that is none, or that is older than what it holds.
const BAD_CONTAINER: i32 = 64;
/// So many waiting calls are too many.
const TOO_MANY: i32 = -429;
/// The client's clock may be this far behind and ahead (seconds).
const BEHIND: i64 = 300;
const AHEAD: i64 = 30;

/// What every connection of a server needs.
pub struct Context {
    /// What all share.
    pub registry: Arc<Registry>,
    /// Who answers calls.
    pub world: World,
    /// The server's key.
    pub rsa: Arc<RsaKey>,
    /// Which data centre this is.
    pub dc: i32,
    /// How long clients may take.
    pub patience: Patience,
    /// All that runs for this server.
    pub tasks: TaskTracker,
}

/// Why a conversation ends.
enum End {
    /// The client closed it, or its delay is over.
    Closed,
    /// It took too long.
    Late,
    /// The stream makes no sense.
    Frame(FrameError),
    /// The client is to be told so.
    Refused(Refusal),
    /// The socket failed.
    Broken(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl End {
    /// A transport error in its usual form.
    fn refused(code: i32) -> Self {
        Self::Refused(Refusal { code, framed: false })
    }

    /// What a write that failed means.
    fn of_write(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Late,
            _ => Self::Broken(error),
        }
    }
}

struct Reader {
    context: Arc<Context>,
    line: Arc<Line>,
    outbox: Arc<Outbox>,
    exchange: Option<Exchange>,
    /// The key under which it has spoken.
    greeted: Option<KeyId>,
    /// How many plain packets have come.
    plain: usize,
    /// Until when the next packet must have come.
    quiet_until: Instant,
    /// When the client wants the connection to end.
    deadline: Option<Instant>,
}

/// Serves a connection until it ends.
pub async fn serve(stream: TcpStream, line: Arc<Line>, context: Arc<Context>) {
    let outbox = Arc::new(Outbox::default());
    let reader = Reader {
        context: context.clone(),
        line: line.clone(),
        outbox: outbox.clone(),
        exchange: None,
        greeted: None,
        plain: 0,
        quiet_until: Instant::now() + context.patience.handshake,
        deadline: None,
    };
    let (mut from, mut to) = stream.into_split();
    let end = tokio::select! {
        biased;
        () = line.cut.cancelled() => End::Closed,
        end = reader.converse(&mut from, &mut to) => end,
    };
    match end {
        End::Closed => {}
        End::Late => {
            tracing::debug!(connection = line.id, "connection took too long");
            context.registry.note_cut_off();
        }
        End::Frame(error) => tracing::debug!(connection = line.id, %error, "connection makes no sense"),
        End::Broken(error) => tracing::debug!(connection = line.id, %error, "connection failed"),
        End::Refused(Refusal { code, .. }) => {
            tracing::debug!(connection = line.id, code, "connection refused");
            if code == TOO_MANY {
                context.registry.note_cut_off();
            }
            // Both only for politeness: the connection is over either way.
            let _ = timeout(FAREWELL, to.shutdown()).await;
            let mut rest = [0; 1024];
            let _ = timeout(DRAIN, async {
                while from.read(&mut rest).await.is_ok_and(|n| n > 0) {}
            })
            .await;
        }
    }
    context.registry.close_line(line.id);
    outbox.take_slots().iter().for_each(|slot| slot.detach(&line));
}

impl Reader {
    async fn converse(mut self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> End {
        let mut buffer = BytesMut::with_capacity(READ);
        let transport = loop {
            match detect(&mut buffer) {
                Detected::Is(transport) => break transport,
                Detected::Unknown => return End::Closed,
                Detected::More => {
                    if let Err(end) = self.read(from, &mut buffer).await {
                        return end;
                    }
                }
            }
        };
        let (mut reading, mut writing) = transport.split();
        let long = writing.pads() && self.context.registry.manners().long_padding.decides();
        writing.pad_up_to(if long { LONG_PADDING } else { PADDING });
        let (line, outbox) = (self.line.clone(), self.outbox.clone());
        let limit = self.context.patience.write;
        let mut writer = std::pin::pin!(outbox.write(&line, &mut writing, to, limit));
        let end = tokio::select! {
            end = self.listen(from, &mut buffer, &mut reading) => end,
            written = &mut writer => return written.map_or_else(End::of_write, End::Refused),
        };
        if let End::Refused(refusal) = end {
            outbox.refuse(refusal);
            line.wake.notify_one();
            let written = timeout(FAREWELL, writer).await;
            return written.map_or(End::Closed, |it| it.map_or_else(End::of_write, End::Refused));
        }
        end
    }

    async fn listen(
        &mut self,
        from: &mut OwnedReadHalf,
        buffer: &mut BytesMut,
        reading: &mut Reading,
    ) -> End {
        loop {
            loop {
                let packet = match reading.next(buffer) {
                    Ok(Some(packet)) => packet,
                    Ok(None) => break,
                    Err(error) => return End::Frame(error),
                };
                if let Err(end) = self.packet(packet).await {
                    return end;
                }
            }
            if let Err(end) = self.read(from, buffer).await {
                return end;
            }
        }
    }

    async fn read(&self, from: &mut OwnedReadHalf, buffer: &mut BytesMut) -> Result<(), End> {
        if buffer.is_empty() && buffer.capacity() > KEPT {
            *buffer = BytesMut::new();
        }
        buffer.reserve(READ);
        let wanted = self.deadline.filter(|deadline| *deadline <= self.quiet_until);
        tokio::select! {
            read = from.read_buf(buffer) => if read? == 0 { Err(End::Closed) } else { Ok(()) },
            () = sleep_until(wanted.unwrap_or(self.quiet_until)) => Err(wanted.map_or(End::Late, |_| End::Closed)),
        }
    }

    async fn packet(&mut self, packet: Bytes) -> Result<(), End> {
        match named_key(&packet) {
            Some(KeyId(0)) => self.plain(packet.slice(8..)).await,
            Some(id) => self.encrypted(id, &packet),
            None => Err(End::refused(NOT_FOUND)),
        }
    }

    /// A step of the key exchange. The client's message id means nothing.
    async fn plain(&mut self, mut packet: Bytes) -> Result<(), End> {
        self.plain += 1;
        if self.plain > MAX_PLAIN {
            return Err(End::refused(TOO_MANY));
        }
        if packet.len() < 12 {
            return Err(End::refused(NOT_FOUND));
        }
        packet.advance(8);
        let length = packet.get_u32_le() as usize;
        if length > packet.len() {
            return Err(End::refused(NOT_FOUND));
        }
        packet.truncate(length);
        let (rsa, dc) = (self.context.rsa.clone(), self.context.dc);
        let mut exchange = self.exchange.take().unwrap_or_else(|| Exchange::new(rsa, dc));
        let now = self.line.clock.now().as_secs();
        let step = calculate(move || {
            let outcome = exchange.answer(&packet, now);
            (exchange, outcome)
        });
        let (exchange, outcome) = step.await.ok_or(End::refused(NOT_FOUND))?;
        self.exchange = Some(exchange);
        let answer = match outcome {
            Outcome::Answer(answer) => answer,
            Outcome::Created(answer, made) => {
                self.created(made);
                answer
            }
            Outcome::Refused(code) => return Err(End::refused(code)),
        };
        let mut plain = vec![0; 8];
        plain.extend_from_slice(&(time_id(self.line.clock.now()) | 1).to_le_bytes());
        plain.extend_from_slice(&(answer.len() as u32).to_le_bytes());
        plain.extend_from_slice(&answer);
        self.outbox.send_plain(plain.into());
        self.line.wake.notify_one();
        Ok(())
    }

    fn created(&self, made: NewKey) {
        let now = self.line.clock.now().as_secs();
        let period = self.context.registry.salt_period();
        let salts = Salts::beginning(&made.key, period, made.first_salt, now);
        let expires = made.expires_in.map(|seconds| now + seconds.max(0) as u64);
        let id = key_id(&made.key);
        tracing::debug!(connection = self.line.id, key = %id, temporary = expires.is_some(), "key made");
        if expires.is_none() {
            self.context.world.key_created(id, self.context.dc, &made.key);
        }
        let dc = self.context.dc;
        self.context.registry.add_key(made.key, dc, salts, expires, None);
    }

    fn encrypted(&mut self, id: KeyId, packet: &[u8]) -> Result<(), End> {
        let refused = || End::refused(NOT_FOUND);
        let now = self.line.clock.now();
        let known = self.context.registry.key(id, self.context.dc, now.as_secs());
        let key = known.ok_or_else(refused)?;
        if self.context.registry.is_away(&key) {
            return Err(End::Closed);
        }
        if self.greeted.replace(id) != Some(id)
            && let Some(speaks_for) = key.speaks_for()
            && let Some(refusal) = self.context.world.greets(speaks_for)
        {
            return Err(End::Refused(refusal));
        }
        let plaintext = open(&key.auth_key, Sender::Client, packet).ok_or_else(refused)?;
        let Envelope {
            salt,
            session,
            message,
        } = Envelope::read(plaintext).ok_or_else(refused)?;
        // The exchange is over, and its numbers are large.
        self.exchange = None;
        self.quiet_until = Instant::now() + self.context.patience.idle;
        let slot = self.slot(&key, session).ok_or(End::refused(TOO_MANY))?;
        if let Some(code) = id_fault(message.id, now.as_secs()) {
            slot.with(|session| session.reply(self.line.id, bad_message(&message, code)));
            return Ok(());
        }
        if !key.salts.accepts(salt, now.as_secs()) {
            let good = key.salts.current(now.as_secs());
            slot.with(|session| session.reply(self.line.id, bad_salt(&message, good)));
            return Ok(());
        }
        let manners = self.context.registry.manners();
        if let Some(code) = sequence_fault(&slot, &message, &manners) {
            slot.with(|session| session.reply(self.line.id, bad_message(&message, code)));
            return Ok(());
        }
        let outer = message.id;
        let messages = match self.contents(&slot, message) {
            Ok(messages) => messages,
            Err(complaint) => {
                slot.with(|session| session.reply(self.line.id, complaint));
                return Ok(());
            }
        };
        if let Some(first) = messages.iter().map(|it| it.id).min() {
            let salt = key.salts.current(now.as_secs());
            slot.with(|session| session.announce(first, salt));
        }
        let room = Arc::new(Room::default());
        for message in messages {
            let fault = match message.id == outer {
                true => None,
                false => inner_fault(&slot, &message, now.as_secs(), &manners),
            };
            match fault {
                Some(code) => slot.with(|session| session.reply(self.line.id, bad_message(&message, code))),
                None => self.message(&slot, message, &room, now.as_secs())?,
            }
        }
        Ok(())
    }

    /// The session, which this connection speaks for from now on; none if the key has too many.
    fn slot(&self, key: &Arc<Key>, id: MtSession) -> Option<Arc<Slot>> {
        let (slot, new) = key.session(id)?;
        if let Some(jobs) = new {
            self.context.tasks.spawn(work(
                slot.clone(),
                self.context.world.clone(),
                self.context.registry.clone(),
                jobs,
            ));
        }
        if slot.attach(&self.line) {
            self.outbox.add(slot.clone());
        }
        Some(slot)
    }

    /// The messages in a packet's one message; else what to answer.
    fn contents(&self, slot: &Slot, message: Message) -> Result<Vec<Message>, Vec<u8>> {
        if !is_container(&message.body) {
            return Ok(vec![message]);
        }
        let messages = open_container(&message.body).map_err(|_| bad_message(&message, BAD_CONTAINER))?;
        if messages.iter().any(|inner| inner.id >= message.id)
            && self.context.registry.manners().inner_ids.decides()
        {
            return Err(bad_message(&message, BAD_CONTAINER));
        }
        match slot.quietly(|session| session.receive_container(message.id)) {
            Receipt::New => Ok(messages),
            Receipt::Repeated => Err(bad_message(&message, 19)),
            Receipt::TooOld => Err(bad_message(&message, 20)),
        }
    }

    fn message(
        &mut self,
        slot: &Arc<Slot>,
        mut message: Message,
        room: &Arc<Room>,
        now: u64,
    ) -> Result<(), End> {
        // A body that does not unpack is answered as one that is no call.
        message.body = room.unpack(&message.body).unwrap_or_default();
        match hear(slot, self.line.id, &message, now) {
            // Who asks and does not listen is not served any more: answers must not heap up.
            Heard::Done => {
                return match slot.quietly(|session| session.keeps_up()) {
                    Ok(()) => Ok(()),
                    Err(Lagging) => Err(End::refused(TOO_MANY)),
                };
            }
            Heard::CloseAfter(delay) => {
                self.deadline = Some(Instant::now() + delay);
                return Ok(());
            }
            Heard::KeyDestroyed => {
                self.context.registry.remove_key(slot.key.id);
                slot.key.end();
                self.context.world.key_destroyed(slot.key.id);
                return Ok(());
            }
            Heard::Call => {}
        }
        match slot.quietly(|session| session.receive_call(message.id)) {
            Receipt::New => {
                let job = Job {
                    id: message.id,
                    line: self.line.clone(),
                    body: message.body,
                    room: room.clone(),
                };
                slot.wait(job).then_some(()).ok_or(End::refused(TOO_MANY))
            }
            Receipt::Repeated => {
                slot.with(|session| session.repeat(message.id));
                Ok(())
            }
            Receipt::TooOld => {
                slot.with(|session| session.reply(self.line.id, bad_message(&message, 20)));
                Ok(())
            }
        }
    }
}

/// What is wrong with a message within a container. It may be old: so it is sent again under the id it has.
fn inner_fault(slot: &Slot, message: &Message, now: u64, manners: &Manners) -> Option<i32> {
    let id = id_fault(message.id, now).filter(|code| *code != OLD);
    id.filter(|_| manners.inner_ids.decides())
        .or_else(|| sequence_fault(slot, message, manners))
}

/// What is wrong with a message's sequence number.
fn sequence_fault(slot: &Slot, message: &Message, manners: &Manners) -> Option<i32> {
    let parity = parity_fault(&message.body, message.seq_no).filter(|_| manners.parity.decides());
    parity.or_else(|| {
        let number = slot.quietly(|session| session.number(message.id, message.seq_no));
        number.filter(|_| manners.sequence.decides())
    })
}

/// Containers have even numbers, calls odd ones. Of the protocol's other messages clients take either view.
fn parity_fault(body: &[u8], seq_no: i32) -> Option<i32> {
    const EVEN_EXPECTED: i32 = 34;
    const ODD_EXPECTED: i32 = 35;
    let odd = seq_no & 1 == 1;
    match wants_acknowledgement(body) {
        Some(false) if odd => Some(EVEN_EXPECTED),
        Some(true) if !odd => Some(ODD_EXPECTED),
        _ => None,
    }
}

/// What is wrong with a client's message id, as the code of `bad_msg_notification`.
fn id_fault(id: i64, now: u64) -> Option<i32> {
    let age = now as i64 - (id >> 32);
    match () {
        () if id & 3 != 0 => Some(18),
        () if age > BEHIND => Some(OLD),
        () if age < -AHEAD => Some(17),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_judged_by_their_time_and_their_low_bits() {
        let now = 1_800_000_000;
        let id = |age: i64| (now as i64 - age) << 32;
        assert_eq!(id_fault(id(0), now), None);
        assert_eq!(id_fault(id(300), now), None);
        assert_eq!(id_fault(id(-30), now), None);
        assert_eq!(id_fault(id(301), now), Some(16));
        assert_eq!(id_fault(id(-31), now), Some(17));
        assert_eq!(id_fault(id(0) | 1, now), Some(18));
    }
}
