//! The way of log lines to standard error: by a thread of their own, so that nobody who logs waits for whoever reads.
//!
//! A pipe that is not read, a slow terminal or a full disk would otherwise hold up every part that has something to say.
//! Lines wait in a queue; those that find it full are lost and counted, and the next one that is written says how many. The
//! order of lines is kept. A kill loses what waits; an orderly end writes it, if it is read in time.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait at most.
const WAITING: usize = 4096;

/// A longer one is cut: a queue of them must not fill the memory.
const LONGEST: usize = 16 * 1024;

/// The lines of this process.
static LINES: OnceLock<Lines> = OnceLock::new();

enum Item {
    Line(Vec<u8>),
    /// Everything before it is written.
    Mark(SyncSender<()>),
}

/// The writers' end.
pub(super) struct Lines {
    queue: SyncSender<Item>,
    lost: AtomicU64,
}

/// The lines of this process, and the thread that writes them.
///
/// # Errors
/// If there can be no such thread.
pub(super) fn lines() -> io::Result<&'static Lines> {
    if let Some(lines) = LINES.get() {
        return Ok(lines);
    }
    let (queue, waiting) = sync_channel(WAITING);
    let lines = LINES.get_or_init(|| Lines {
        queue,
        lost: AtomicU64::new(0),
    });
    std::thread::Builder::new()
        .name("trunkline-log".to_owned())
        .spawn(move || write_to(&mut io::stderr(), &waiting, &lines.lost))?;
    Ok(lines)
}

/// Waits until the lines so far are written, for no longer than this.
pub fn flush_logs(patience: Duration) {
    let Some(lines) = LINES.get() else { return };
    let (written, mark) = sync_channel(1);
    // A full queue is not read.
    if lines.queue.try_send(Item::Mark(written)).is_ok() {
        // What is not written in time is lost.
        mark.recv_timeout(patience).unwrap_or_default();
    }
}

fn write_to(out: &mut impl Write, waiting: &Receiver<Item>, lost: &AtomicU64) {
    for item in waiting {
        // Where a line cannot be written, a complaint about it cannot either.
        match item {
            Item::Line(line) => {
                let gone = lost.swap(0, Ordering::Relaxed);
                if gone > 0 {
                    drop(writeln!(out, "{gone} lines were lost here: nobody read the log"));
                }
                drop(out.write_all(&line));
            }
            Item::Mark(written) => {
                drop(out.flush());
                written.try_send(()).unwrap_or_default();
            }
        }
    }
}

/// One line on its way.
pub(super) struct Line(&'static Lines);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = match bytes.get(..LONGEST) {
            Some(start) => [start, b"\n"].concat(),
            None => bytes.to_vec(),
        };
        match self.0.queue.try_send(Item::Line(line)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.0.lost.fetch_add(1, Ordering::Relaxed);
                metrics::counter!("trunkline_log_lines_lost_total").increment(1);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for &'static Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_order_and_say_what_is_missing() {
        let (queue, waiting) = sync_channel(2);
        let lines: &'static Lines = Box::leak(Box::new(Lines {
            queue,
            lost: AtomicU64::new(0),
        }));
        for line in ["1\n", "2\n", "3\n", "4\n"] {
            lines
                .make_writer()
                .write_all(line.as_bytes())
                .expect("never waits");
        }
        let mut out = Vec::new();
        let first = waiting.recv().expect("a line");
        lines.make_writer().write_all(b"5\n").expect("never waits");
        let (again, rest) = sync_channel(9);
        again.send(first).expect("room");
        waiting
            .try_iter()
            .for_each(|item| again.send(item).expect("room"));
        drop(again);
        write_to(&mut out, &rest, &lines.lost);
        let written = String::from_utf8(out).expect("text");
        assert_eq!(written, "2 lines were lost here: nobody read the log\n1\n2\n5\n");
    }

    #[test]
    fn a_line_of_any_length_takes_a_bounded_place() {
        let (queue, waiting) = sync_channel(1);
        let lines: &'static Lines = Box::leak(Box::new(Lines {
            queue,
            lost: AtomicU64::new(0),
        }));
        let long = vec![b'x'; LONGEST * 3];
        assert_eq!(lines.make_writer().write(&long).expect("taken"), long.len());
        let Ok(Item::Line(line)) = waiting.recv() else {
            panic!("a line")
        };
        assert_eq!((line.len(), line.last()), (LONGEST + 1, Some(&b'\n')));
    }
}
