//! One listener: from its greeting to its end.
//!
//! It pulls: it stands at a place of the journal, reads what comes next and writes it out, and holds no more than one
//! look's worth of it. A listener that does not take what it is told holds up nobody but itself, and not for long: it
//! is told so, and cut off; it may come back with its last cursor. From the other end only pings, pongs and the end are
//! understood.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use super::Hub;
use super::cursor::Cursor;
use super::frame::{self, Gone, PoolConnection, Says};
use super::query::Wanted;
use super::tail::Row;
use crate::access::AccessError;
use crate::base::{Code, KeyId, SessionId, Timestamp};
use crate::http::texts::Language;
use crate::telegram::SessionView;

/// How often a listener that asked for it hears of its connections.
const POOL_EVERY: Duration = Duration::from_secs(10);

/// How long a listener has to take its last words.
const FAREWELL: Duration = Duration::from_secs(5);

/// The pause after the journal could not be read.
const STORE_AWAY: Duration = Duration::from_millis(500);

/// Bytes of a frame from the other end: more than any ping has.
const LARGEST: usize = 1024;

/// Frames from the other end between two pings.
const MOST_FRAMES: u32 = 100;

/// What is written at once.
const CHUNK: usize = 16 * 1024;

/// Who listens, and to what.
pub(super) struct Listener {
    /// What it wants.
    pub wanted: Wanted,
    /// The key that it came with.
    pub key: KeyId,
    /// The language of errors.
    pub language: Language,
}

/// Why a conversation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The other end is gone, or says so.
    Gone,
    /// The daemon stops.
    Stopping,
    /// It does not take what it is told.
    Slow,
    /// It does not answer pings.
    Silent,
    /// It says something that is not understood here.
    Babble,
    /// Its frames are no WebSocket, or too large, or too many.
    Rude(u16),
    /// Its key is not valid any more.
    Revoked,
}

impl End {
    /// How it is counted; none for those that are no fault.
    fn label(self) -> Option<&'static str> {
        match self {
            Self::Gone | Self::Stopping => None,
            Self::Slow => Some("slow"),
            Self::Silent => Some("silent"),
            Self::Babble | Self::Rude(_) => Some("protocol"),
            Self::Revoked => Some("revoked"),
        }
    }

    /// The close code and the reason that the other end is given; none if it hears nothing any more.
    fn farewell(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Gone | Self::Silent => None,
            Self::Stopping => Some((1001, "the daemon stops; come back with the last cursor")),
            Self::Slow => Some((4008, "too slow; come back with the last cursor")),
            Self::Babble => Some((1003, "nothing is understood here but pings")),
            Self::Rude(code) => Some((code, "these frames are not taken")),
            Self::Revoked => Some((4001, "the key is not valid any more")),
        }
    }
}

/// Every cause that is counted, so that each is shown from the start.
pub(super) const CAUSES: [&str; 4] = ["slow", "silent", "protocol", "revoked"];

/// Speaks with a listener until one of both ends it.
pub(super) async fn talk(hub: Arc<Hub>, listener: Listener, connection: Upgraded, stop: CancellationToken) {
    let config = WebSocketConfig::default()
        .read_buffer_size(2 * LARGEST)
        .write_buffer_size(CHUNK)
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, Some(config)).await;
    let place = match listener.wanted.since {
        Some(since) => since,
        None => Cursor::after(*hub.store.head().borrow()),
    };
    let mut talk = Talk {
        hub,
        listener,
        socket,
        place,
        live: false,
        blocked: Duration::ZERO,
        heard: 0,
    };
    let end = match talk.speak(&stop).await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    if let Some(why) = end.label() {
        metrics::counter!("trunkline_ws_cut_off_total", "why" => why).increment(1);
        tracing::info!(key = %talk.listener.key, why, "a listener was cut off");
    }
    talk.part(end).await;
}

struct Talk<S> {
    hub: Arc<Hub>,
    listener: Listener,
    socket: WebSocketStream<S>,
    /// What has been told.
    place: Cursor,
    /// Whether it has been told everything once.
    live: bool,
    /// How long it has let us wait since it was told everything last.
    blocked: Duration,
    /// Frames it has sent since the last ping.
    heard: u32,
}

impl<S> Talk<S>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    /// Speaks until there is a reason to end.
    async fn speak(&mut self, stop: &CancellationToken) -> Result<std::convert::Infallible, End> {
        let every = *self.hub.config.ping_every;
        let mut pings = interval_at(Instant::now() + every, every);
        let mut pools = interval(POOL_EVERY);
        for ticks in [&mut pings, &mut pools] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let pool = self.listener.wanted.pool;
        let mut head = self.hub.store.head();
        let mut unanswered = false;
        let mut rest = None;
        self.begin().await?;
        loop {
            let ready = *head.borrow_and_update() > self.place.seq();
            if !ready {
                (self.live, self.blocked) = (true, Duration::ZERO);
            }
            // What the other end said is looked at first: an answer that waits for us counts.
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(End::Stopping),
                said = self.socket.next() => {
                    self.listen(said)?;
                    unanswered = false;
                }
                _ = pings.tick() => {
                    if std::mem::replace(&mut unanswered, true) {
                        return Err(End::Silent);
                    }
                    self.heard = 0;
                    self.admitted()?;
                    self.say(Message::Ping(Bytes::new())).await?;
                    self.flush().await?;
                }
                _ = pools.tick(), if pool => self.tell_pools().await?,
                () = until(rest), if rest.is_some() => rest = None,
                news = head.changed(), if !ready && rest.is_none() => {
                    if news.is_err() {
                        return Err(End::Stopping);
                    }
                }
                () = std::future::ready(()), if ready && rest.is_none() => {
                    if !self.go_on().await? {
                        rest = Some(Instant::now() + STORE_AWAY);
                    }
                }
            }
        }
    }

    /// A place behind the end of the journal is none that this journal ever gave out; then each session's status.
    async fn begin(&mut self) -> Result<(), End> {
        let head = *self.hub.store.head().borrow();
        let seen = self.place.seq();
        if seen > head {
            self.place = Cursor::after(head);
            self.tell_gone(head + 1, seen).await?;
        }
        if self.listener.wanted.status {
            for view in self.sessions() {
                let text = frame::status(
                    view.account.state.is_connected(),
                    view.last_proof,
                    Some(view.account.id),
                    self.place,
                );
                self.tell("status", text).await?;
            }
        }
        self.flush().await
    }

    /// The sessions that it wants to hear of.
    fn sessions(&self) -> Vec<SessionView> {
        let concerns = |id: SessionId| self.listener.wanted.concerns(Some(id));
        let views = self.hub.telegram.list().into_iter();
        views.filter(|view| concerns(view.account.id)).collect()
    }

    /// Tells what comes next; false if the journal cannot be read at the moment.
    async fn go_on(&mut self) -> Result<bool, End> {
        let next = match self.hub.tail.next(self.place.seq()) {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(true),
            Err(error) => {
                tracing::debug!(%error, "listeners wait for the journal");
                return Ok(false);
            }
        };
        for row in &next.rows {
            self.miss(row.seq - 1).await?;
            self.tell_row(row).await?;
        }
        self.miss(next.upto).await?;
        self.flush().await?;
        // All who have much to be told take turns: one who takes it as fast as it comes would not let go of the thread.
        tokio::task::yield_now().await;
        Ok(true)
    }

    /// Tells that everything up to a number is gone, if it is.
    async fn miss(&mut self, upto: u64) -> Result<(), End> {
        let from = self.place.seq() + 1;
        if from <= upto {
            self.place = Cursor::after(upto);
            self.tell_gone(from, upto).await?;
        }
        Ok(())
    }

    async fn tell_gone(&mut self, from: u64, to: u64) -> Result<(), End> {
        let text = frame::error(
            Code::EventsGone,
            self.listener.language,
            Some(Gone { from, to }),
            None,
            self.place,
        );
        self.tell("error", text).await
    }

    async fn tell_row(&mut self, row: &Row) -> Result<(), End> {
        for frame in &row.frames {
            if self.place.has_seen(frame.cursor) || !self.listener.wanted.wants(frame.what, row.session) {
                continue;
            }
            let text = match &frame.says {
                Says::Text(text) => text.clone(),
                Says::Trouble(code, session) => {
                    frame::error(*code, self.listener.language, None, *session, frame.cursor)
                }
            };
            self.tell(frame.what.label(), text).await?;
            self.place = frame.cursor;
        }
        self.place = Cursor::after(row.seq);
        Ok(())
    }

    async fn tell_pools(&mut self) -> Result<(), End> {
        let now = Timestamp::now();
        for view in self.sessions() {
            let connection = view.connection.iter();
            let connections: Vec<_> = connection
                .map(|connection| PoolConnection::of(connection, now))
                .collect();
            let text = frame::pool(&connections, view.account.id, self.place);
            self.tell("pool_status", text).await?;
        }
        self.flush().await
    }

    /// Hears what the other end says.
    fn listen(&mut self, said: Option<Result<Message, Error>>) -> Result<(), End> {
        self.heard += 1;
        match said {
            None | Some(Ok(Message::Close(_))) => Err(End::Gone),
            Some(Ok(Message::Text(_) | Message::Binary(_))) => Err(End::Babble),
            Some(Ok(_)) if self.heard > MOST_FRAMES => Err(End::Rude(1008)),
            Some(Ok(_)) => Ok(()),
            Some(Err(Error::Capacity(_))) => Err(End::Rude(1009)),
            Some(Err(Error::Utf8(_))) => Err(End::Rude(1007)),
            Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => Err(End::Gone),
            Some(Err(Error::Protocol(_))) => Err(End::Rude(1002)),
            Some(Err(_)) => Err(End::Gone),
        }
    }

    /// Whether its key still lets it listen.
    fn admitted(&self) -> Result<(), End> {
        match self.hub.access.still(self.listener.key) {
            Err(AccessError::Unknown) => Err(End::Revoked),
            // A store that is away is no reason.
            _ => Ok(()),
        }
    }

    async fn tell(&mut self, what: &'static str, text: Utf8Bytes) -> Result<(), End> {
        self.say(Message::Text(text)).await?;
        metrics::counter!("trunkline_ws_frames_total", "type" => what).increment(1);
        Ok(())
    }

    async fn say(&mut self, message: Message) -> Result<(), End> {
        let patience = *self.hub.config.write_timeout;
        let began = Instant::now();
        let said = timeout(patience, self.socket.feed(message)).await;
        self.wrote(began, said)
    }

    async fn flush(&mut self) -> Result<(), End> {
        let patience = *self.hub.config.write_timeout;
        let began = Instant::now();
        let said = timeout(patience, self.socket.flush()).await;
        self.wrote(began, said)
    }

    /// What a write came to. Who stands at the end and takes everything, but always late, is too slow as well.
    fn wrote(
        &mut self,
        began: Instant,
        said: Result<Result<(), Error>, tokio::time::error::Elapsed>,
    ) -> Result<(), End> {
        self.blocked += began.elapsed();
        match said {
            Err(_) => Err(End::Slow),
            Ok(Err(_)) => Err(End::Gone),
            Ok(Ok(())) if self.live && self.blocked > *self.hub.config.max_lag => Err(End::Slow),
            Ok(Ok(())) => Ok(()),
        }
    }

    /// The last words, and a moment for the other end to take them.
    async fn part(mut self, end: End) {
        let Some((code, reason)) = end.farewell() else {
            return;
        };
        let language = self.listener.language;
        let last = async {
            if end == End::Slow {
                let text = frame::error(Code::TooSlow, language, None, None, self.place);
                self.socket.feed(Message::Text(text)).await?;
            }
            let close = CloseFrame {
                code: CloseCode::from(code),
                reason: Utf8Bytes::from_static(reason),
            };
            self.socket.close(Some(close)).await?;
            while self.socket.next().await.transpose()?.is_some() {}
            Ok::<_, Error>(())
        };
        // Whoever does not take them in time goes without.
        if let Err(error) = timeout(FAREWELL, last).await {
            tracing::debug!(%error, "a listener left without a word");
        }
    }
}

/// Waits until a moment; for ever if there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
