//! An account's waiting calls: lanes that keep their order, and in which order the heads of lanes are looked at.
//!
//! Pure; it knows no budgets. A lane is first in, first out: one per chat for everything that changes the chat, one per
//! class, chat and urgency for the rest. Heads that want of one budget stand in one pool, by urgency and then by ticket.
//! A call that was refused and will ask again keeps its ticket: it stands in its pool as an *absent* one, until a moment
//! after the time it was told. A lane's head is as urgent as the most urgent call behind it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::budget::Tick;
use super::share::{Turn, Urgency};
use super::{Ask, CostClass};
use crate::model::ChatId;

/// A waiting call's number; the order of numbers is the order of asking.
pub(super) type Ticket = u64;

/// How long after the time it was told an absent one is waited for.
const GRACE: Duration = Duration::from_secs(2);
/// How many absent ones are waited for at once.
const MOST_ABSENT: usize = 1024;

/// The calls that share budgets: new messages of all classes, and each other class for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pool(u8);

impl Pool {
    pub(super) const COUNT: usize = CostClass::ALL.len();

    pub(super) fn of(class: CostClass) -> Self {
        Self(if class.is_send() { CostClass::Send } else { class } as u8)
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Some pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pools(u16);

impl Pools {
    pub(super) const ALL: Self = Self((1 << Pool::COUNT) - 1);
    pub(super) const NONE: Self = Self(0);

    pub(super) fn only(pool: Pool) -> Self {
        Self(1 << pool.0)
    }

    pub(super) fn add(&mut self, pool: Pool) {
        self.0 |= 1 << pool.0;
    }

    pub(super) fn join(&mut self, others: Self) {
        self.0 |= others.0;
    }
}

impl Iterator for Pools {
    type Item = Pool;

    fn next(&mut self) -> Option<Pool> {
        let lowest = self.0.trailing_zeros();
        self.0 &= self.0.checked_sub(1)?;
        u8::try_from(lowest).ok().map(Pool)
    }
}

/// A queue of calls that keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum LaneKey {
    /// Everything that changes a chat.
    Chat(ChatId),
    /// The rest.
    Class(CostClass, Option<ChatId>, Urgency),
}

impl LaneKey {
    pub(super) fn of(ask: &Ask) -> Self {
        match ask.chat {
            Some(chat) if ask.class.is_effect() => Self::Chat(chat),
            chat => Self::Class(ask.class, chat, ask.patience.urgency),
        }
    }

    pub(super) fn chat(self) -> Option<ChatId> {
        match self {
            Self::Chat(chat) => Some(chat),
            Self::Class(_, chat, _) => chat,
        }
    }
}

/// A call that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) ticket: Ticket,
    pub(super) class: CostClass,
    pub(super) units: u32,
    pub(super) stranger: bool,
    pub(super) urgency: Urgency,
    pub(super) turn: Option<Turn>,
    pub(super) deadline: Tick,
}

/// A call that was refused and will ask again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Absent {
    pub(super) key: LaneKey,
    pub(super) waiter: Waiter,
    /// When it was told to.
    pub(super) until: Tick,
}

impl Absent {
    /// Until when it is waited for.
    pub(super) fn expires(&self) -> Tick {
        self.until.plus(GRACE)
    }
}

/// Who stands in a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The head of a lane.
    Head(LaneKey),
    /// One that will ask again.
    Absent,
}

/// Where somebody stands.
pub(super) type Stand = (Pool, Urgency, Ticket);

struct Lane {
    line: VecDeque<Waiter>,
    /// Where its head stands.
    stand: Stand,
}

#[derive(Default)]
pub(super) struct Queue {
    lanes: HashMap<LaneKey, Lane>,
    stands: BTreeMap<Stand, Standing>,
    /// How many stand in each pool with each urgency: most often nobody does.
    counts: [[u32; Urgency::ALL.len()]; Pool::COUNT],
    absent: HashMap<Ticket, Absent>,
    turns: HashMap<(Turn, CostClass), Ticket>,
}

impl Queue {
    /// The ticket that a turn stands with, if it was refused before; it is taken up.
    pub(super) fn take_up(&mut self, turn: Turn, class: CostClass) -> Option<Ticket> {
        let ticket = self.turns.remove(&(turn, class))?;
        self.forget_absent(ticket);
        Some(ticket)
    }

    /// Puts a call into its lane, by its ticket; tells where the lane's head stands if it stands there since now.
    pub(super) fn put(&mut self, key: LaneKey, waiter: Waiter) -> Option<Stand> {
        let lane = self.lanes.entry(key).or_insert_with(|| Lane {
            line: VecDeque::with_capacity(1),
            stand: (Pool::of(waiter.class), waiter.urgency, Ticket::MAX),
        });
        let at = lane.line.partition_point(|other| other.ticket < waiter.ticket);
        lane.line.insert(at, waiter);
        self.stand_anew(key)
    }

    /// Brings the place of a lane's head up to date; tells it if it is another one.
    fn stand_anew(&mut self, key: LaneKey) -> Option<Stand> {
        let lane = self.lanes.get_mut(&key)?;
        let Some(head) = lane.line.front() else {
            let stand = lane.stand;
            self.lanes.remove(&key);
            self.leave(stand);
            return None;
        };
        let urgency = lane.line.iter().map(|waiter| waiter.urgency).min();
        let stand = (Pool::of(head.class), urgency.unwrap_or_default(), head.ticket);
        if stand == lane.stand {
            return None;
        }
        let before = std::mem::replace(&mut lane.stand, stand);
        self.leave(before);
        self.stand(stand, Standing::Head(key));
        Some(stand)
    }

    fn stand(&mut self, stand: Stand, who: Standing) {
        if self.stands.insert(stand, who).is_none() {
            self.counts[stand.0.index()][stand.1 as usize] += 1;
        }
    }

    fn leave(&mut self, stand: Stand) {
        if self.stands.remove(&stand).is_some() {
            self.counts[stand.0.index()][stand.1 as usize] -= 1;
        }
    }

    /// Takes a call out of its lane; tells where the lane's head stands if it stands there since now.
    pub(super) fn remove(&mut self, key: LaneKey, ticket: Ticket) -> Option<Stand> {
        let lane = self.lanes.get_mut(&key)?;
        let at = lane.line.binary_search_by_key(&ticket, |waiter| waiter.ticket);
        lane.line.remove(at.ok()?);
        self.stand_anew(key)
    }

    /// Keeps the place of a call that was refused, if it will ask again. Tells whether it does.
    pub(super) fn keep_place(&mut self, key: LaneKey, waiter: &Waiter, until: Tick) -> bool {
        let Some(turn) = waiter.turn.filter(|_| self.absent.len() < MOST_ABSENT) else {
            return false;
        };
        let (waiter, ticket) = (*waiter, waiter.ticket);
        if let Some(before) = self.turns.insert((turn, waiter.class), ticket)
            && before != ticket
        {
            self.forget_absent(before);
        }
        self.absent.insert(ticket, Absent { key, waiter, until });
        self.stand(absent_stand(&waiter), Standing::Absent);
        true
    }

    /// An absent one.
    pub(super) fn absent(&self, ticket: Ticket) -> Option<Absent> {
        self.absent.get(&ticket).copied()
    }

    /// Waits for an absent one no longer.
    pub(super) fn forget_absent(&mut self, ticket: Ticket) {
        let Some(absent) = self.absent.remove(&ticket) else {
            return;
        };
        self.leave(absent_stand(&absent.waiter));
        if let Some(turn) = absent.waiter.turn
            && self.turns.get(&(turn, absent.waiter.class)) == Some(&ticket)
        {
            self.turns.remove(&(turn, absent.waiter.class));
        }
    }

    /// Whoever stands first in a pool with this urgency, from a ticket on.
    pub(super) fn first(&self, pool: Pool, urgency: Urgency, from: Ticket) -> Option<(Ticket, Standing)> {
        if self.counts[pool.index()][urgency as usize] == 0 {
            return None;
        }
        let mut stands = self
            .stands
            .range((pool, urgency, from)..=(pool, urgency, Ticket::MAX));
        stands.next().map(|((_, _, ticket), who)| (*ticket, *who))
    }

    /// Whether somebody stands in a pool.
    pub(super) fn is_in_use(&self, pool: Pool) -> bool {
        self.counts[pool.index()].iter().any(|count| *count > 0)
    }

    /// The heads and absent ones of a pool that are at most as urgent as this and asked before.
    pub(super) fn before(
        &self,
        pool: Pool,
        urgency: Urgency,
        ticket: Ticket,
    ) -> impl Iterator<Item = (LaneKey, Waiter)> + '_ {
        let stands = self.stands.range((pool, urgency, 0)..(pool, urgency, ticket));
        stands.filter_map(|((_, _, ticket), who)| match who {
            Standing::Head(key) => Some((*key, *self.head(*key)?)),
            Standing::Absent => self.absent(*ticket).map(|absent| (absent.key, absent.waiter)),
        })
    }

    /// The head of a lane.
    pub(super) fn head(&self, key: LaneKey) -> Option<&Waiter> {
        self.lanes.get(&key)?.line.front()
    }

    /// The calls of a lane, in order.
    pub(super) fn line(&self, key: LaneKey) -> impl Iterator<Item = &Waiter> {
        self.lanes.get(&key).into_iter().flat_map(|lane| &lane.line)
    }

    /// The urgency with which a lane's head stands.
    pub(super) fn urgency(&self, key: LaneKey) -> Urgency {
        self.lanes
            .get(&key)
            .map_or(Urgency::default(), |lane| lane.stand.1)
    }

    /// Takes out those behind a lane's head that would lose patience before it goes; tells who, when the patience of the
    /// next one ends, and where the head stands if it stands there since now.
    pub(super) fn expire_behind(
        &mut self,
        key: LaneKey,
        now: Tick,
        head: Tick,
    ) -> (Vec<Waiter>, Option<Tick>, Option<Stand>) {
        let Some(lane) = self.lanes.get_mut(&key).filter(|lane| lane.line.len() > 1) else {
            return (Vec::new(), None, None);
        };
        let first = lane.line.front().map_or(0, |waiter| waiter.ticket);
        let mut lost = Vec::new();
        lane.line.retain(|waiter| {
            let keep = waiter.ticket == first || (waiter.deadline > now && waiter.deadline >= head);
            if !keep {
                lost.push(*waiter);
            }
            keep
        });
        let next = lane.line.iter().skip(1).map(|waiter| waiter.deadline).min();
        let moved = if lost.is_empty() {
            None
        } else {
            self.stand_anew(key)
        };
        (lost, next, moved)
    }

    /// How many calls of a class wait.
    pub(super) fn waiting(&self, class: CostClass) -> usize {
        let queued = self.lanes.values().flat_map(|lane| &lane.line);
        queued.filter(|waiter| waiter.class == class).count()
    }

    /// Every ticket that waits for an answer.
    pub(super) fn tickets(&self) -> impl Iterator<Item = Ticket> + '_ {
        let queued = self.lanes.values().flat_map(|lane| &lane.line);
        queued.map(|waiter| waiter.ticket)
    }

    /// Whether somebody waits for a chat.
    pub(super) fn waits_for(&self, chat: ChatId) -> bool {
        self.lanes.contains_key(&LaneKey::Chat(chat))
    }
}

fn absent_stand(waiter: &Waiter) -> Stand {
    (Pool::of(waiter.class), waiter.urgency, waiter.ticket)
}
