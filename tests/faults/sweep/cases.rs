//! What is swept: each documented error of each method that the daemon calls, and one invented name for each code; on
//! the first call, on the second and on every one. Pure.

use rand::seq::SliceRandom;
use trunkline::model::Refusal;
use trunkline::telegram::TelegramError;

use super::exercise::Work;
use crate::class::Dice;

/// What stands for the number in a name that has one: seconds, or a data centre that there is.
const WAIT: &str = "3";
const DC: &str = "4";

/// A name that no table has.
const INVENTED: &str = "SWEEP_INVENTED";

/// The codes that an invented name comes with.
const CODES: [i32; 11] = [303, 400, 401, 403, 404, 406, 420, 500, 503, -500, -503];

/// Which calls are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    First,
    Second,
    Every,
}

impl Mode {
    pub const ALL: [Self; 3] = [Self::First, Self::Second, Self::Every];

    /// The fault's first match, and how often it acts.
    pub fn times(self) -> (u32, u32) {
        match self {
            Self::First => (1, 1),
            Self::Second => (2, 1),
            Self::Every => (1, 0),
        }
    }
}

/// One error of one method.
#[derive(Clone, Debug)]
pub struct Case {
    pub work: Work,
    pub method: &'static str,
    pub code: i32,
    pub name: String,
    pub mode: Mode,
}

impl Case {
    /// What the daemon takes it for.
    pub fn class(&self) -> Refusal {
        TelegramError::answered(self.code, &self.name).class()
    }

    /// How many seconds it asks to wait, if it says so.
    pub fn wait(&self) -> Option<i64> {
        match self.class() {
            Refusal::Wait { .. } => self.name.rsplit('_').next()?.parse().ok(),
            _ => None,
        }
    }

    /// Changes that are rightly not followed: Telegram says that the copy is gone, or is so already.
    pub fn given_up(&self) -> usize {
        let changes = matches!(self.work, Work::Edit | Work::Delete | Work::DeleteInGroup);
        match self.class() {
            Refusal::Gone | Refusal::ReplyGone | Refusal::Done if changes => 2,
            _ => 0,
        }
    }

    /// Whether it asks for a wait and does not say how long: a minute then.
    pub fn waits_long(&self) -> bool {
        self.code == 420 && self.wait().is_none()
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            to,
            "{} {} {} ({:?})",
            self.method, self.code, self.name, self.mode
        )
    }
}

/// All cases, in the order of methods, errors and modes.
pub fn all() -> Vec<Case> {
    let rows = include_str!("../../data/telegram-errors.tsv").lines();
    let rows: Vec<(i32, &str, Vec<&str>)> = rows
        .filter(|row| !row.starts_with('#'))
        .map(|row| {
            let mut columns = row.split('\t');
            let mut column = || columns.next().expect("three columns");
            let code = column().parse().expect("a code");
            (code, column(), column().split(',').collect())
        })
        .collect();
    let mut cases = Vec::new();
    for (method, work) in Work::METHODS {
        let mut errors: Vec<(i32, String)> = rows
            .iter()
            .filter(|(_, _, methods)| methods.iter().any(|one| one == method || *one == "-"))
            .map(|(code, name, _)| (*code, filled(name)))
            .collect();
        errors.push((303, format!("FILE_MIGRATE_{DC}")));
        errors.extend(CODES.map(|code| (code, INVENTED.to_owned())));
        errors.sort();
        errors.dedup();
        for (code, name) in errors {
            cases.extend(Mode::ALL.map(|mode| Case {
                work: *work,
                method,
                code,
                name: name.clone(),
                mode,
            }));
        }
    }
    cases
}

fn filled(name: &str) -> String {
    let number = if name.contains("MIGRATE") { DC } else { WAIT };
    name.replace("%d", number)
}

/// The cases in batches of at most so many: shuffled, so that each batch has something of all, and those that ask for a
/// minute's wait in batches of their own. Of `share` only that part, at least one of every method.
pub fn batches(dice: &mut Dice, share: f64, size: usize, only: &str) -> Vec<Vec<Case>> {
    let mut cases = all();
    cases.retain(|case| case.to_string().contains(only));
    cases.shuffle(dice);
    let wanted = (cases.len() as f64 * share).ceil() as usize;
    let mut methods: Vec<&str> = Vec::new();
    // The first of each method come first.
    cases.sort_by_key(|case| match methods.contains(&case.method) {
        true => 1,
        false => {
            methods.push(case.method);
            0
        }
    });
    cases.truncate(wanted);
    let (long, short): (Vec<_>, Vec<_>) = cases.into_iter().partition(Case::waits_long);
    let mut batches = Vec::new();
    for cases in [short, long] {
        let count = cases.len().div_ceil(size).max(1);
        let even = cases.len().div_ceil(count).max(1);
        batches.extend(cases.chunks(even).map(<[Case]>::to_vec));
    }
    batches
}
