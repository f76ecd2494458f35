//! The pump takes a session's updates in order and has them stored.
//!
//! It waits for a connection and for a login, reads the dialogs once after it, and then hands every
//! batch of updates to its pen, which stores it with the update state behind it. What was left out is read beside them. The session has caught up once
//! Telegram has told every difference to its end and what it left out is read. Once nothing more arrives the pump
//! besides compares the tops of the chats with what is stored, since a difference that Telegram found too long leaves
//! out messages without a word. It knows no consumer of what it stores.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use grammers_client::InvocationError;
use grammers_client::session::updates::UpdatesLike;
use tokio::time::{Instant, sleep_until};

use super::commit::Pen;
use super::filling::Filling;
use super::history::Comparison;
use super::receiver::{Arrival, Receiver};
use super::{Context, Msg, dialogs, history, login};
use crate::base::Timestamp;
use crate::model::Refusal;
use crate::runtime::{BoxError, TaskContext};
use crate::store::StoreError;
use crate::telegram::error::TelegramError;
use crate::telegram::link::{Connection, Link};

/// Batches that go into one commit.
const BATCHES: usize = 256;

/// The longest rest before histories are read again.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// The longest pause between two tries to read the dialogs: a connection that ended meanwhile is found out by the next.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Silence after which nothing more is expected to be on its way.
const QUIET: Duration = Duration::from_millis(400);

/// The first comparison of chats is put off for so long at most.
const FIRST_CHECK: Duration = Duration::from_secs(5);

/// In a chat that is never silent, updates that seem to be on their way are not waited for any longer than this:
/// the account's position at Telegram may rest ahead of ours with nothing to tell.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn run(context: Arc<Context>, link: Arc<Link>, task: TaskContext) -> Result<(), BoxError> {
    let pen = Pen::new(context.clone(), link.clone())?;
    pen.recall().await?;
    loop {
        let connection = tokio::select! {
            () = task.stop.cancelled() => return Ok(()),
            connection = task.idle(link.next_connection()) => connection,
            () = task.idle(release(&pen)) => continue,
        };
        tokio::select! {
            () = task.stop.cancelled() => return Ok(()),
            served = serve(&context, &link, &task, connection) => served?,
        }
    }
}

/// Tells what waits for what was left out before it: a session that ends reads that no more.
pub(crate) async fn tell_held(context: &Arc<Context>, link: &Arc<Link>) {
    let told = async {
        let pen = Pen::new(context.clone(), link.clone())?;
        pen.recall().await?;
        pen.release(true).await;
        Ok::<_, StoreError>(())
    };
    if let Err(error) = told.await {
        tracing::warn!(session = %link.id, %error, "messages that wait were not told");
    }
}

/// Tells what has waited too long for what was left out before it.
async fn release(pen: &Pen) {
    match pen.held_until().await {
        Some(until) => sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
    pen.release(false).await;
}

/// Serves one connection until it is of no use any more.
async fn serve(
    context: &Arc<Context>,
    link: &Arc<Link>,
    task: &TaskContext,
    mut connection: Connection,
) -> Result<(), BoxError> {
    if !authorised(link, task, &mut connection).await {
        return Ok(());
    }
    let number = connection.number;
    let mut rests = Rests::default();
    // The limiter may rightly let this wait for long.
    while let Err(error) = task.idle(Box::pin(dialogs::read_once(context, link))).await {
        if !history::is_for_later(&error) {
            note(link, number, &error);
            return Ok(());
        }
        // The connection is fine, and there will be no other that would have it read.
        let rest = rests.after(&error, LONGEST_PAUSE);
        tracing::info!(session = %link.id, %error, rest_s = rest.as_secs(), "the dialogs are read later");
        task.idle(tokio::time::sleep(rest)).await;
    }
    let receiver = Receiver::new(context.clone(), link.clone(), connection).await?;
    let mut pen = Pen::new(context.clone(), link.clone())?;
    let mut updates = Box::pin(arrivals(receiver).ready_chunks(BATCHES));
    let mut check = GapCheck::new(*context.config.gap_check);
    // Where our own updates left off before this connection.
    let left_off = pen.date();
    // Whether Telegram says that it has told all.
    let mut told = false;
    // Histories may be long, and their calls rest: updates do not wait for them.
    let mut filling = Filling::default();
    loop {
        let held = filling.beside(pen.held_until()).await;
        let news = async {
            tokio::select! {
                chunk = updates.next() => News::Arrived(chunk),
                () = sleep_until(check.due), if !filling.is_under_way() => News::Due,
                () = sleep_until(held.unwrap_or_else(std::time::Instant::now).into()), if held.is_some() => News::Overdue,
                read = filling.end() => News::Read(read),
            }
        };
        let chunk = match task.idle(news).await {
            News::Arrived(chunk) => chunk,
            News::Due => {
                check.begins();
                let comparison = Comparison {
                    since: if check.passed { pen.date() } else { left_off },
                    patient: check.is_patient(),
                    first: !check.passed,
                };
                let (context, link, pen) = (context.clone(), link.clone(), pen.beside());
                filling.begin(async move { history::catch_up(&context, &link, &pen, comparison).await });
                continue;
            }
            News::Overdue => {
                filling.beside(pen.release(false)).await;
                continue;
            }
            News::Read(read) => {
                match read {
                    Ok(true) => {
                        if told && !history::is_left_out(context, link)? {
                            link.caught_up(number);
                        }
                        check.passed();
                        rests = Rests::default();
                    }
                    Ok(false) => check.again_in(QUIET),
                    Err(error) => {
                        let rest = rests.after(&error, LONGEST_REST);
                        match history::is_for_later(&error) {
                            true => {
                                let rest_s = rest.as_secs();
                                tracing::info!(session = %link.id, %error, rest_s, "what was missed is read later");
                            }
                            false => note(link, number, &error),
                        }
                        check.rests(rest);
                    }
                }
                continue;
            }
        };
        let Some(chunk) = chunk else { return Ok(()) };
        let tells = |what: fn(&Arrival) -> bool| chunk.iter().any(|it| it.as_ref().is_ok_and(what));
        let left_out = tells(|arrival| matches!(arrival, Arrival::Jump { .. }));
        let complete = tells(|arrival| matches!(arrival, Arrival::Complete));
        let behind = chunk.iter().rev().find_map(|arrival| match arrival {
            Ok(Arrival::Behind { word }) => Some(Some(word.clone())),
            Ok(Arrival::Complete) => Some(None),
            _ => None,
        });
        told = behind.as_ref().map_or(told, Option::is_none);
        let broken = filling.beside(store(&mut pen, link, chunk)).await;
        if let Some(Some(word)) = behind {
            link.behind(word);
        }
        if complete && told {
            link.told(number);
        }
        if left_out || (complete && history::is_left_out(context, link)?) {
            check.left_out();
        } else {
            check.updated();
            if complete && told {
                // Whatever else the comparison of chats may find, Telegram says that this is all.
                link.caught_up(number);
            }
        }
        if let Some(error) = broken {
            note(link, number, &link.failed(error));
            return Ok(());
        }
    }
}

/// What the pump hears of.
enum News {
    /// Updates; none if there are no more.
    Arrived(Option<Vec<Result<Arrival, InvocationError>>>),
    /// What became of reading histories.
    Read(Result<bool, TelegramError>),
    /// It is time to compare the chats.
    Due,
    /// Messages have waited for too long for what was left out before them.
    Overdue,
}

/// The rests between calls of the session's own that are refused: as long as Telegram asks, else each twice as long as
/// the one before. A frozen account is not known to thaw soon.
#[derive(Default)]
struct Rests {
    refused: u32,
}

impl Rests {
    fn after(&mut self, error: &TelegramError, longest: Duration) -> Duration {
        let least = QUIET * 10;
        let usual = least.saturating_mul(1 << self.refused.min(10)).min(longest);
        self.refused += 1;
        match error.class() {
            Refusal::Frozen => LONGEST_REST,
            Refusal::Wait { until, .. } => until.since(Timestamp::now()).clamp(least, LONGEST_REST),
            _ => usual,
        }
    }
}

/// When the chats are next compared with what is stored: soon after a connection was made, once the updates that
/// were missed are in; then every now and then.
struct GapCheck {
    due: Instant,
    /// A busy chat shall not put the first check off for ever.
    latest: Instant,
    every: Duration,
    passed: bool,
    /// Something is known to be missing: this check is not put off.
    pressing: bool,
    /// Something was found to be missing since this check began.
    again: bool,
    /// A rest after a check that failed.
    not_before: Instant,
    /// Until when it is worth waiting for updates that seem to be on their way.
    patient: Instant,
}

impl GapCheck {
    fn new(every: Duration) -> Self {
        let now = Instant::now();
        Self {
            due: now + QUIET,
            latest: now + FIRST_CHECK,
            every,
            passed: false,
            pressing: false,
            again: false,
            not_before: now,
            patient: now + PATIENCE,
        }
    }

    /// More may be on its way.
    fn updated(&mut self) {
        if !self.passed && !self.pressing {
            self.due = (Instant::now() + QUIET).min(self.latest).max(self.not_before);
        }
    }

    fn is_patient(&self) -> bool {
        Instant::now() < self.patient
    }

    /// A check begins.
    fn begins(&mut self) {
        self.again = false;
    }

    /// Something was left out.
    fn left_out(&mut self) {
        (self.pressing, self.again) = (true, true);
        self.due = Instant::now().max(self.not_before);
    }

    fn passed(&mut self) {
        (self.passed, self.pressing) = (true, self.again);
        self.again_in(self.every);
    }

    fn again_in(&mut self, span: Duration) {
        let span = if self.again { Duration::ZERO } else { span };
        self.due = (Instant::now() + span).max(self.not_before);
    }

    /// Not before that time, whatever is found to be missing.
    fn rests(&mut self, span: Duration) {
        self.not_before = Instant::now() + span;
        self.due = self.not_before;
    }
}

/// The receiver as a stream: a batch under way is never dropped by whoever waits for something else.
fn arrivals(receiver: Receiver) -> impl Stream<Item = Result<Arrival, InvocationError>> {
    stream::unfold(Some(receiver), |receiver| async move {
        let mut receiver = receiver?;
        match receiver.next().await {
            Ok(arrival) => Some((Ok(arrival), Some(receiver))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// Stores what arrived; the error it ended with, if it did.
async fn store(
    pen: &mut Pen,
    link: &Link,
    chunk: Vec<Result<Arrival, InvocationError>>,
) -> Option<InvocationError> {
    let mut arrived = Vec::with_capacity(chunk.len());
    let mut broken = None;
    for arrival in chunk {
        match arrival {
            Ok(arrival) => arrived.push(arrival),
            Err(error) => broken = Some(error),
        }
    }
    if !arrived.is_empty() {
        let news =
            |arrival: &Arrival| matches!(arrival, Arrival::Updates((updates, ..)) if !updates.is_empty());
        match arrived.iter().any(news) {
            true => link.updated(),
            false => link.proved(),
        }
        pen.write(&arrived).await;
    }
    broken
}

/// Waits for a login. Of the updates that come before it one concerns somebody: that a QR was accepted. False if the
/// connection ended.
async fn authorised(link: &Link, task: &TaskContext, connection: &mut Connection) -> bool {
    let mut status = link.watch();
    loop {
        if status.borrow_and_update().authorised {
            return true;
        }
        let goes_on = task.idle(async {
            tokio::select! {
                changed = status.changed() => changed.is_ok(),
                update = connection.updates.recv() => note_before_login(link, connection.number, update),
            }
        });
        if !goes_on.await {
            return false;
        }
    }
}

/// Takes note of an update that came before a login; false if there is nothing more to come.
fn note_before_login(link: &Link, number: u64, update: Option<UpdatesLike>) -> bool {
    match update {
        Some(UpdatesLike::Updates(updates)) => {
            if login::tells_of_token(&updates) && link.actor.try_cast(Msg::TokenAccepted).is_err() {
                // The actor is being restarted, and asks again when it is there.
                tracing::debug!(session = %link.id, "an accepted QR found no actor");
            }
            true
        }
        Some(UpdatesLike::ConnectionClosed) => {
            // A login does not wait for the next ping to find out.
            link.report_broken(number);
            false
        }
        Some(_) => true,
        None => false,
    }
}

/// What an error of the pump means for the connection. The end of an authorisation has been reported
/// already; after everything else a new connection heals what can be healed.
fn note(link: &Link, number: u64, error: &TelegramError) {
    if !matches!(
        error.class(),
        Refusal::Ended(_) | Refusal::Wait { .. } | Refusal::Frozen
    ) {
        tracing::info!(session = %link.id, error = %error, "the updates broke off");
        link.report_broken(number);
    }
}
