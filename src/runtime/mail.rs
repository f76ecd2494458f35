//! What a supervisor hears: news of its children's incarnations, orders from handles, questions about its state.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::sync::oneshot::Sender as Reply;

use super::error::{Reason, StartError};
use super::plan::{Exit, Key, Serial};
use super::spec::ChildSpec;
use super::tree::View;

/// News of one incarnation.
#[derive(Debug)]
pub(super) enum News {
    /// Its start answered.
    Started,
    /// It is gone.
    Exited(Exit),
}

/// What an order asks for.
pub(super) enum Wish {
    Start(Arc<ChildSpec>),
    Terminate(Arc<str>),
    Restart(Arc<str>),
    Release(Arc<str>),
}

/// An order and where its answer goes.
pub(super) struct Order {
    pub(super) wish: Wish,
    pub(super) reply: Reply<Result<(), StartError>>,
}

/// A supervisor's mail.
pub(super) enum Mail {
    News(Key, Serial, News),
    Order(Box<Order>),
    Look(Reply<View>),
}

/// Where a supervisor's mail goes.
pub(super) type Post = mpsc::UnboundedSender<Mail>;

/// The line of one incarnation to its supervisor.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) post: Post,
    pub(super) key: Key,
    pub(super) serial: Serial,
    /// That the supervisor is gone is told only when the last line to it is: if it was killed, its children may live on
    /// for a moment.
    pub(super) _hold: Option<Arc<Report>>,
}

/// Owes a line an `Exited`: told when it is known, or when the last of those who hold this is dropped.
pub(super) struct Report(Mutex<Option<Line>>);

impl Report {
    pub(super) fn to(line: Line) -> Self {
        Self(Mutex::new(Some(line)))
    }

    /// Takes the debt over.
    pub(super) fn take(&self) -> Option<Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn exited(&self, exit: Exit) {
        if let Some(line) = self.take() {
            line.send(News::Exited(exit));
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.exited(Exit::Crash(Reason::new("killed")));
    }
}

impl Line {
    /// Tells the supervisor. If that is gone itself, nobody needs to know any more.
    pub(super) fn send(&self, news: News) {
        self.post.send(Mail::News(self.key, self.serial, news)).ok();
    }
}
