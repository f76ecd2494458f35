//! Trouble inside of children, for the fault campaign: a child panics, hangs or burns its thread when it is told to.
//!
//! Only in builds with the feature `fault-points`, and only in a process whose `TRUNKLINE_FAULT_ORDERS` names a file. A line
//! of it is an order, `number times what path`: each child whose path ends like that (`*` is any one id) obeys an order of
//! this number so many times, for as long as the line is there.
//! - `panic`: it panics.
//! - `hang=SECONDS`: it goes no further, in the middle of its work (not while it waits for work), as if it had
//!   been so for that long already.
//! - `burn`: it computes without an await until the line is gone.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Interval, interval};

use super::pulse::Pulse;
use super::spec::{BoxError, Running};

/// The variable that names the file.
const VARIABLE: &str = "TRUNKLINE_FAULT_ORDERS";

/// How often the file is read, and a child that waits looks for orders.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Panic,
    Hang(Duration),
    Burn,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Order {
    number: u64,
    times: u32,
    what: What,
    path: String,
}

impl Order {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (number, times) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let what = match words.next()? {
            "panic" => What::Panic,
            "burn" => What::Burn,
            hang => What::Hang(Duration::from_secs(hang.strip_prefix("hang=")?.parse().ok()?)),
        };
        let path = words.next()?.to_owned();
        Some(Self {
            number,
            times,
            what,
            path,
        })
    }

    fn concerns(&self, path: &str) -> bool {
        let mut ids = path.rsplit('/');
        self.path
            .rsplit('/')
            .all(|wanted| ids.next().is_some_and(|id| wanted == "*" || wanted == id))
    }
}

/// The orders as they stand, and who obeyed how often.
#[derive(Default)]
struct Board {
    orders: RwLock<Vec<Order>>,
    obeyed: Mutex<HashMap<(u64, Arc<str>), u32>>,
}

static BOARD: LazyLock<Option<Arc<Board>>> = LazyLock::new(|| {
    let file = std::env::var_os(VARIABLE)?;
    let board = Arc::new(Board::default());
    let read = board.clone();
    std::thread::spawn(move || {
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let orders = text.lines().filter_map(Order::read).collect();
            *read.orders.write().unwrap_or_else(PoisonError::into_inner) = orders;
            std::thread::sleep(LOOK);
        }
    });
    Some(board)
});

impl Board {
    fn stands(&self, order: &Order) -> bool {
        let orders = self.orders.read().unwrap_or_else(PoisonError::into_inner);
        orders.contains(order)
    }

    /// What a child is to do now; asking counts as doing it.
    fn next(&self, path: &Arc<str>, at_rest: bool) -> Option<Order> {
        let orders = self.orders.read().unwrap_or_else(PoisonError::into_inner);
        let mut obeyed = self.obeyed.lock().unwrap_or_else(PoisonError::into_inner);
        orders.iter().find_map(|order| {
            if !order.concerns(path) || (at_rest && matches!(order.what, What::Hang(_))) {
                return None;
            }
            let count = obeyed.entry((order.number, path.clone())).or_default();
            (*count < order.times).then(|| {
                *count += 1;
                order.clone()
            })
        })
    }
}

/// Does what is ordered; true if the child is to go no further.
fn obey(board: &Board, path: &Arc<str>, pulse: &Pulse) -> bool {
    let Some(order) = board.next(path, pulse.silence().is_none()) else {
        return false;
    };
    match order.what {
        What::Panic => panic!("ordered to"),
        What::Hang(already) => {
            pulse.put_back(already);
            true
        }
        What::Burn => {
            while board.stands(&order) {
                std::hint::spin_loop();
            }
            false
        }
    }
}

/// How soon a pulse is felt at the latest: where there are orders, hangs may be older than their children.
pub(super) fn patience(deadline: Duration) -> Duration {
    match BOARD.is_some() {
        true => deadline.min(Duration::from_millis(200)),
        false => deadline,
    }
}

/// A task child under orders.
struct Afflicted {
    inner: Running,
    board: Arc<Board>,
    path: Arc<str>,
    pulse: Arc<Pulse>,
    hangs: bool,
    look: Interval,
}

impl Future for Afflicted {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while self.look.poll_tick(cx).is_ready() {}
        self.hangs = self.hangs || obey(&self.board, &self.path, &self.pulse);
        match self.hangs {
            true => Poll::Pending,
            false => self.inner.as_mut().poll(cx),
        }
    }
}

/// What a task child runs, under orders if there are any to come.
pub(super) fn task(
    path: Arc<str>,
    pulse: Arc<Pulse>,
    run: impl FnOnce() -> Running,
) -> impl FnOnce() -> Running {
    move || match &*BOARD {
        None => run(),
        Some(board) => Box::pin(Afflicted {
            inner: run(),
            board: board.clone(),
            path,
            pulse,
            hangs: false,
            look: interval(LOOK),
        }),
    }
}

/// Has an actor obey at the beginning of a handler.
pub(super) async fn handler(path: &Arc<str>, pulse: &Pulse) {
    if let Some(board) = &*BOARD
        && obey(board, path, pulse)
    {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_children_by_the_end_of_their_path() {
        let order = Order::read("7 2 hang=110 sessions/*/pump").expect("an order");
        assert_eq!(
            (order.number, order.times, order.what),
            (7, 2, What::Hang(Duration::from_secs(110)))
        );
        assert!(order.concerns("root/work/services/telegram/sessions/a1/pump"));
        assert!(!order.concerns("root/work/services/telegram/sessions/a1/runner"));
        assert!(!order.concerns("a1/pump"));
        assert_eq!(Order::read("7 x panic pump"), None);
    }

    #[test]
    fn each_child_obeys_an_order_so_many_times() {
        let board = Board::default();
        let order = Order::read("1 2 panic *").expect("an order");
        board.orders.write().expect("fine").push(order.clone());
        let (one, two) = (Arc::from("root/one"), Arc::from("root/two"));
        let obeyed = [&one, &one, &one, &two].map(|path| board.next(path, false).is_some());
        assert_eq!(obeyed, [true, true, false, true]);
        assert!(board.stands(&order));
    }

    #[test]
    fn a_child_that_waits_for_work_does_not_hang() {
        let board = Board::default();
        let order = Order::read("1 1 hang=3 *").expect("an order");
        board.orders.write().expect("fine").push(order);
        let path = Arc::from("root/one");
        let pulse = Pulse::default();
        assert!(!obey(&board, &path, &pulse));
        pulse.beat();
        assert!(obey(&board, &path, &pulse));
        assert!(pulse.silence().expect("not at rest") >= Duration::from_secs(3));
    }
}
