//! A connection whose other end must take what it is sent: a write that makes no headway for too long ends it.
//!
//! hyper bounds how long a head may take to come, and nothing else; without this a caller who reads nothing keeps
//! its place, and its answers in memory, for ever. Reading is not bounded here: heads and bodies have limits of their own;
//! but it is noted whether a request was begun, which tells a slow caller from an idle one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A caller was cut off because this part of the conversation took too long.
pub(super) fn cut_off(what: &'static str) {
    metrics::counter!("trunkline_http_cut_off_total", "what" => what).increment(1);
}

/// Whether something was heard since the last word of ours.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

impl Heard {
    /// Whether a request was begun that is not answered.
    pub fn in_part(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream with a limit on standstill while it writes.
pub(super) struct Impatient<S> {
    heard: Heard,
    stream: S,
    limit: Duration,
    deadline: Pin<Box<Sleep>>,
    waiting: bool,
}

impl<S> Impatient<S> {
    /// A stream that may stand still for `limit` while it writes.
    pub(super) fn new(stream: S, limit: Duration, heard: Heard) -> Self {
        Self {
            heard,
            stream,
            limit,
            deadline: Box::pin(sleep(limit)),
            waiting: false,
        }
    }

    /// What a try to write came to; one that has to wait may not wait for long.
    fn judge<T>(&mut self, context: &mut Context<'_>, tried: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.waiting = false;
            return tried;
        }
        if !self.waiting {
            self.waiting = true;
            self.deadline.as_mut().reset(Instant::now() + self.limit);
        }
        ready!(self.deadline.as_mut().poll(context));
        cut_off("answer");
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the caller does not read its answer",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.heard.0.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.heard.0.store(false, Ordering::Relaxed);
        self.judge(context, tried)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.heard.0.store(false, Ordering::Relaxed);
        self.judge(context, tried)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, tried)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, tried)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_reader_that_stands_still_is_given_up_and_a_slow_one_is_served() {
        let (ours, mut theirs) = duplex(10);
        let mut writer = Impatient::new(ours, Duration::from_secs(2), Heard::default());
        let began = Instant::now();
        let slow = async {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(250)).await;
                let mut bytes = [0; 10];
                theirs.read_exact(&mut bytes).await.expect("more comes");
            }
        };
        let (written, ()) = tokio::join!(writer.write_all(&[7; 110]), slow);
        written.expect("each wait is shorter than the limit");
        assert!(
            began.elapsed() >= Duration::from_secs(2),
            "slow, and served to the end"
        );
        let began = Instant::now();
        let error = writer.write_all(&[7; 110]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= Duration::from_secs(2));
    }
}
