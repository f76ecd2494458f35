//! The plan of a busy day: who says what and when, and what goes wrong. Pure, and all of it drawn from the seed.

use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::class::Dice;

/// Trouble begins and ends within these parts of the day: what is left out has to show before it is over.
const FIRST: f64 = 0.05;
const LAST: f64 = 0.85;

/// How large a day is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub sessions: usize,
    /// Pairs at the beginning; each group that migrates in the course of the day but the first makes one more.
    pub pairs: usize,
    /// Of these: from basic groups, from forums, from or to Saved Messages.
    pub groups: usize,
    pub forums: usize,
    pub saved: usize,
    pub messages: usize,
    /// How long they flow.
    pub flows: Duration,
    /// How often each kind of trouble happens.
    pub times: usize,
    /// How long a session is without a network.
    pub loss: Duration,
    /// How long an account is out of a chat, in seconds.
    pub out: (f64, f64),
    /// How long everything may take to arrive afterwards.
    pub settles: Duration,
}

impl Size {
    /// `make busy-day`.
    pub const FULL: Self = Self {
        sessions: 20,
        pairs: 40,
        groups: 5,
        forums: 5,
        saved: 2,
        messages: 30_000,
        flows: Duration::from_secs(400),
        times: 20,
        loss: Duration::from_secs(30),
        out: (1.0, 6.0),
        settles: Duration::from_secs(120),
    };
    /// In `make test`.
    pub const SHORT: Self = Self {
        sessions: 4,
        pairs: 9,
        groups: 2,
        forums: 1,
        saved: 2,
        messages: 600,
        flows: Duration::from_secs(12),
        times: 2,
        loss: Duration::from_secs(2),
        out: (0.5, 1.5),
        settles: Duration::from_secs(60),
    };
}

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Channel,
    Supergroup,
    Forum,
    Group,
    /// The account's own Saved Messages.
    Saved,
}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    Text,
    Formatted,
    Link,
    Photo,
    Document,
    /// Of so many parts.
    Album(usize),
    Reply,
    Forward,
}

impl Said {
    /// How it is counted.
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "plain texts",
            Self::Formatted => "formatted texts",
            Self::Link => "links",
            Self::Photo => "photos",
            Self::Document => "documents",
            Self::Album(_) => "albums",
            Self::Reply => "replies",
            Self::Forward => "forwards",
        }
    }

    fn drawn(dice: &mut Dice) -> Self {
        match dice.random_range(0..100) {
            0..40 => Self::Text,
            40..55 => Self::Formatted,
            55..65 => Self::Link,
            65..75 => Self::Photo,
            75..82 => Self::Document,
            82..86 => Self::Album(dice.random_range(2..=4)),
            86..94 => Self::Reply,
            _ => Self::Forward,
        }
    }
}

/// What happens in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Say(Said),
    Edit,
    Delete,
    /// A reaction: an edit that does not show.
    Hide,
    /// The session's account is put out, and let in again.
    Kick,
    Return,
    /// The basic group becomes a supergroup.
    Migrate,
}

/// One pair and its source.
#[derive(Clone, Debug)]
pub struct Course {
    pub kind: Kind,
    /// Whether it is copied into Saved Messages.
    pub into_saved: bool,
    pub session: usize,
    /// When source and pair are made; at once if the day begins with them.
    pub begins: Duration,
    pub acts: Vec<(Duration, Act)>,
}

/// What goes wrong beside the sources.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// SIGKILL, and a start after this.
    Kill(Duration),
    /// A session has no network.
    Loss { session: usize },
    /// A push of a session is lost.
    Gap { session: usize },
    /// The next difference of a source is too long to be told.
    TooLong { course: usize },
}

/// All of it.
#[derive(Debug)]
pub struct Day {
    pub courses: Vec<Course>,
    /// In their order.
    pub troubles: Vec<(Duration, Trouble)>,
}

impl Day {
    /// Draws a day.
    pub fn drawn(size: &Size, seed: u64) -> Self {
        let mut dice = Dice::seed_from_u64(seed);
        let mut courses = courses(size, &mut dice);
        let weight = |course: &Course| size.flows.saturating_sub(course.begins).as_secs_f64();
        let all: f64 = courses.iter().map(weight).sum();
        for course in &mut courses {
            let share = size.messages as f64 * weight(course) / all;
            talk(course, share.ceil() as usize, size, &mut dice);
        }
        kicks(&mut courses, size, &mut dice);
        for course in &mut courses {
            // Equal moments keep their order: who is put out is put out before it comes back.
            course.acts.sort_by_key(|(at, _)| *at);
        }
        let troubles = troubles(&courses, size, &mut dice);
        Self { courses, troubles }
    }
}

/// A moment in which trouble may begin.
fn moment(size: &Size, dice: &mut Dice) -> Duration {
    size.flows.mul_f64(dice.random_range(FIRST..LAST))
}

/// The sources; each basic group migrates, and in its place comes another one until there were enough.
fn courses(size: &Size, dice: &mut Dice) -> Vec<Course> {
    let mut courses = Vec::new();
    for at in 0..size.pairs {
        let rest = at.checked_sub(size.groups + size.forums + size.saved);
        let kind = match (at, rest) {
            (_, Some(rest)) if rest % 2 == 0 => Kind::Channel,
            (_, Some(_)) => Kind::Supergroup,
            (at, None) if at < size.groups => Kind::Group,
            (at, None) if at < size.groups + size.forums => Kind::Forum,
            // Half of them are sources, the other half destinations.
            (at, None) if at % 2 == 0 => Kind::Saved,
            (_, None) => Kind::Channel,
        };
        courses.push(Course {
            kind,
            into_saved: rest.is_none() && at >= size.groups + size.forums && kind == Kind::Channel,
            session: at % size.sessions,
            begins: Duration::ZERO,
            acts: Vec::new(),
        });
    }
    let rounds = size.times.div_ceil(size.groups.max(1));
    let span = size.flows.mul_f64(LAST / rounds as f64);
    let mut migrations = 0;
    for round in 0..rounds {
        for slot in 0..size.groups {
            if migrations == size.times {
                break;
            }
            migrations += 1;
            let begins = span.mul_f64(round as f64);
            let migrates = begins + span.mul_f64(dice.random_range(0.4..0.95));
            let migrates = (migrates, Act::Migrate);
            match round {
                0 => courses[slot].acts.push(migrates),
                _ => courses.push(Course {
                    kind: Kind::Group,
                    into_saved: false,
                    session: dice.random_range(0..size.sessions),
                    begins,
                    acts: vec![migrates],
                }),
            }
        }
    }
    courses
}

/// Has a source say so many messages, and change some.
fn talk(course: &mut Course, messages: usize, size: &Size, dice: &mut Dice) {
    let at = |dice: &mut Dice| course.begins + (size.flows - course.begins).mul_f64(dice.random());
    let mut acts = Vec::new();
    let mut said = 0;
    while said < messages {
        let what = Said::drawn(dice);
        said += match what {
            Said::Album(parts) => parts,
            _ => 1,
        };
        acts.push((at(dice), Act::Say(what)));
    }
    for (act, share) in [(Act::Edit, 25), (Act::Delete, 50), (Act::Hide, 50)] {
        let count = messages.div_ceil(share);
        acts.extend((0..count).map(|_| (at(dice), act)));
    }
    course.acts.append(&mut acts);
}

/// Puts accounts out and lets them in again. Not while a group migrates: who is out then is not in what it becomes.
fn kicks(courses: &mut [Course], size: &Size, dice: &mut Dice) {
    let mut order: Vec<usize> = (0..courses.len())
        .filter(|at| courses[*at].kind != Kind::Saved)
        .collect();
    order.shuffle(dice);
    let mut taken: Vec<(usize, Duration, Duration)> = Vec::new();
    for turn in 0..size.times {
        let at = order[turn % order.len()];
        let migrates =
            (courses[at].acts.iter()).find_map(|(when, act)| (*act == Act::Migrate).then_some(*when));
        let (out, back) = loop {
            let out = moment(size, dice);
            let back = out + Duration::from_secs_f64(dice.random_range(size.out.0..size.out.1));
            let margin = size.flows.mul_f64(0.01);
            let meets = |from: Duration, to: Duration| out < to + margin && from < back + margin;
            let late = back > size.flows.mul_f64(LAST + 0.05);
            let early = out < courses[at].begins + margin;
            let migrating = migrates.is_some_and(|when| meets(when, when));
            let again = (taken.iter()).any(|(course, from, to)| *course == at && meets(*from, *to));
            if !(late || early || migrating || again) {
                break (out, back);
            }
        };
        taken.push((at, out, back));
        courses[at].acts.extend([(out, Act::Kick), (back, Act::Return)]);
    }
}

fn troubles(courses: &[Course], size: &Size, dice: &mut Dice) -> Vec<(Duration, Trouble)> {
    let mut troubles = Vec::new();
    for turn in 0..size.times {
        let pause = Duration::from_secs_f64(dice.random_range(0.0..1.5));
        let part = (turn as f64 + dice.random_range(0.1..0.9)) / size.times as f64;
        let at = size.flows.mul_f64(FIRST + part * (LAST - FIRST));
        troubles.push((at, Trouble::Kill(pause)));
        let session = dice.random_range(0..size.sessions);
        let at = moment(size, dice);
        troubles.push((at, Trouble::Loss { session }));
        let session = dice.random_range(0..size.sessions);
        let at = moment(size, dice);
        troubles.push((at, Trouble::Gap { session }));
        let (at, course) = loop {
            let course = dice.random_range(0..courses.len());
            let at = moment(size, dice);
            if courses[course].begins < at {
                break (at, course);
            }
        };
        troubles.push((at, Trouble::TooLong { course }));
    }
    troubles.sort_by_key(|(at, _)| *at);
    troubles
}
