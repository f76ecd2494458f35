//! OTP's supervisor as its documentation tells it, to hold ours against: schedules that may happen to a tree, and a model.
//!
//! The model is written from the words of OTP's reference ("supervisor", its design principles), as processes with
//! mailboxes, links and exit signals; nothing of the house's own supervisor is used. It departs from OTP only where ours
//! does so on purpose ([`Manner::Ours`]), and says whether a departure showed ([`Model::departed`]):
//! - a supervisor that had to wait for an end hears what came meanwhile before it starts anybody (OTP: afterwards), and
//!   a death counts for the intensity from its own instant;
//! - a supervisor that gave up has crashed (OTP: `shutdown`, for which a transient one is not started again).
//!
//! Keyed children are further from OTP, on purpose too: each has an intensity of its own, as if it stood under a supervisor
//! for itself, and is quarantined instead of taking its siblings down; one that ended for good is forgotten, as under
//! `simple_one_for_one`; a start that fails after an order to restart counts as a crash (OTP: it is the answer, and the
//! child stays down).
//!
//! Here a start that succeeds takes no time: OTP's supervisor waits for it, ours does not. Slow starts, backoff, start
//! deadlines and abandoned children have their rules in `plan/model_tests` and `plan/tests`.

mod keyed;
mod model;
mod process;
mod schedule;
mod supervisor;

pub(super) use crate::base::campaign;
pub(super) use keyed::{Answer, KeyedModel, Order};
pub(super) use model::Model;
pub(super) use process::{Fate, Manner};
pub(super) use schedule::{Act, Family, Kind, Node, Schedule};

/// What a supervisor does to its children, as an onlooker sees it; children by their number in the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Start(usize),
    /// A start that fails at once.
    Refuse(usize),
    /// It is asked to end.
    Stop(usize),
    /// It is ended.
    Kill(usize),
    /// The supervisor itself ends; whether it gave up.
    End(bool),
}

/// What each supervisor of a family did and when, by its number.
pub(super) type Trace = Vec<Vec<(u64, Seen)>>;
