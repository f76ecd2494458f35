//! Each way of Telegram alone: histories in which only that one is on, with a scene in which it decides something, once
//! with all that real accounts hear besides and once without.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use trunkline::base::Timestamp;
use trunkline::model::Message;
use trunkline::sandbox::world::switches::{Row, Switches};
use trunkline::sandbox::world::weather::Weather;

use super::listener::Foreign;
use super::{Place, Play};

/// Where a way is reached that neither the daemon nor mtcute reaches: they keep to what Telegram asks of a client.
struct Elsewhere {
    switch: &'static str,
    /// The test that reaches it, and the file in which that stands.
    test: &'static str,
    file: &'static str,
}

const ELSEWHERE: &[Elsewhere] = &[
    // Numbers rise with ids, and their parity tells what a message holds: the daemon's protocol never errs in it.
    Elsewhere {
        switch: "sequence_numbers",
        test: "sequence_numbers_rise_with_ids_and_tell_content",
        file: include_str!("../sandbox_wire/manners.rs"),
    },
    Elsewhere {
        switch: "sequence_parity",
        test: "sequence_numbers_rise_with_ids_and_tell_content",
        file: include_str!("../sandbox_wire/manners.rs"),
    },
    // What a container holds is always older than the container.
    Elsewhere {
        switch: "inner_ids",
        test: "the_messages_of_a_container_are_judged_one_by_one",
        file: include_str!("../sandbox_wire/manners.rs"),
    },
    // A key has one main connection; every stage asserts that.
    Elsewhere {
        switch: "duplicated_key_dies",
        test: "a_key_on_two_main_connections_is_counted_and_ends",
        file: include_str!("../sandbox_world/ends.rs"),
    },
    // Nothing is asked for that can have no effect.
    Elsewhere {
        switch: "parameters_refused",
        test: "parameters_have_an_effect_or_are_refused_by_name",
        file: include_str!("../sandbox_messages/manner.rs"),
    },
    // No call names more than a hundred.
    Elsewhere {
        switch: "hundred_numbers",
        test: "a_call_that_names_more_than_a_hundred_messages_means_the_first_hundred",
        file: include_str!("../sandbox_messages/little.rs"),
    },
    // Who hears of the channel again hears in the same push that it is closed, and asks nothing there.
    Elsewhere {
        switch: "words_when_put_out",
        test: "who_was_put_out_is_refused_in_other_words_than_a_stranger",
        file: include_str!("../sandbox_people/closed.rs"),
    },
    // The daemon and mtcute speak in other transports.
    Elsewhere {
        switch: "long_padding",
        test: "up_to_fifteen_bytes_follow_a_padded_packet",
        file: include_str!("../sandbox_wire/manners.rs"),
    },
    // A login keeps its key, and asks for no other code before its time.
    Elsewhere {
        switch: "codes_of_their_key",
        test: "a_code_is_its_keys_and_takes_its_time",
        file: include_str!("../sandbox_world/logins.rs"),
    },
    Elsewhere {
        switch: "resend_waits",
        test: "a_code_is_its_keys_and_takes_its_time",
        file: include_str!("../sandbox_world/logins.rs"),
    },
    // Nobody in these histories is blocked or muted, or writes to nobody.
    Elsewhere {
        switch: "blocked_in_silence",
        test: "who_is_blocked_is_not_told_and_not_heard",
        file: include_str!("../sandbox_world/refused.rs"),
    },
    Elsewhere {
        switch: "muted_may_not_write",
        test: "a_muted_member_may_not_write",
        file: include_str!("../sandbox_world/refused.rs"),
    },
    Elsewhere {
        switch: "refused_as_406",
        test: "one_refusal_has_two_codes_and_one_name",
        file: include_str!("../sandbox_world/refused.rs"),
    },
    // Limits are a hundred.
    Elsewhere {
        switch: "short_differences",
        test: "a_channel_difference_names_a_time_only_when_it_is_final_and_has_a_reach",
        file: include_str!("../sandbox_world/answers.rs"),
    },
];

/// The ways of Telegram that these do not bear: their rows of the table "Clients and switches" in the documentation, and
/// what shows only beside those.
pub fn unbearable(foreign: &[Foreign]) -> Vec<&'static str> {
    let rows = include_str!("../../../docs/sandbox.md").lines();
    let mut names = Vec::new();
    for foreign in foreign {
        let of_it = format!("| {} ", foreign.name());
        let rows = rows.clone().filter(|row| row.starts_with(&of_it));
        let before = names.len();
        names.extend(
            rows.filter_map(|row| row.split('|').nth(3))
                .map(|name| name.trim().trim_matches('`')),
        );
        assert!(names.len() > before, "there is no such table");
    }
    let off =
        |row: &&Row| names.contains(&row.name) || beside(row.name).is_some_and(|it| names.contains(&it));
    Switches::ROWS.iter().filter(off).map(|row| row.name).collect()
}

/// A way that shows only beside another one.
fn beside(name: &str) -> Option<&'static str> {
    (name == "untold_channels").then_some("quiet_channels")
}

/// How many histories a way is played in: some decide by a draw, now and then.
fn histories(name: &str) -> u64 {
    if matches!(name, "quiet_channels" | "untold_channels") {
        4
    } else {
        1
    }
}

/// What the daemon has told in all histories.
#[derive(Debug, Default)]
struct Account {
    /// Of each history the messages that stand, in their last form.
    messages: Vec<BTreeMap<Place, Option<Message>>>,
    /// Service messages.
    services: Vec<Place>,
    /// Moves, losses and gaps of chats.
    turns: BTreeSet<String>,
    /// The ways that have decided nothing.
    idle: Vec<&'static str>,
}

/// A message without what differs from one telling to another: when, and how its file is fetched.
fn bare(message: &Message) -> Message {
    let mut bare = message.clone();
    bare.date = Timestamp::from_secs(0);
    bare.edit_date = None;
    if let Some(forwarded) = &mut bare.forwarded {
        forwarded.date = bare.date;
    }
    if let Some(file) = bare.media.as_mut().and_then(|media| media.file.as_mut()) {
        file.reference.clear();
    }
    bare
}

impl Play {
    /// How often a way has decided something.
    fn reached(&self, name: &str) -> u64 {
        let row = Switches::ROWS.iter().find(|row| row.name == name);
        row.expect("a switch").reached(&self.world.switches())
    }

    /// A history in which only this way is on. What the daemon has told of it, and whether the way has decided
    /// something.
    async fn alone(&mut self, name: &'static str, seed: u64) -> (BTreeMap<Place, Option<Message>>, bool) {
        let on = [Some(name), beside(name)];
        let only = Switches::ROWS.iter();
        let only = only.map(|row| (row.name.to_owned(), on.contains(&Some(row.name))));
        self.world.turn(&only.collect()).expect("turned");
        let before = self.reached(name);
        let begun = Instant::now();
        let mut said = Vec::new();
        for more in 0..histories(name) {
            said.extend(self.history_with(seed.wrapping_add(more << 32), Some(name)).await);
        }
        println!("{name} {:.1?}", begun.elapsed());
        let reached = self.reached(name) > before;
        let stands = said.into_iter().filter(|place| self.truth[place].is_some());
        let told = |place: Place| (place, self.told[&place].last.as_ref().map(bare));
        (stands.map(told).collect(), reached)
    }
}

/// A history for each of these ways, beside clients of others or alone, in fair weather or not.
async fn all(names: Vec<&'static str>, seed: u64, foreign: &[Foreign], weather: bool) -> Account {
    let mut play = Play::new(foreign).await;
    if weather {
        let seed = seed.cast_signed() & 0xffff;
        play.world.set_weather(Some(Weather { seed, gusts: 0 }));
    }
    let (mut messages, mut idle) = (Vec::new(), Vec::new());
    for (number, name) in (0..).zip(names) {
        let (told, reached) = play.alone(name, seed.wrapping_add(number)).await;
        messages.push(told);
        if !reached && ELSEWHERE.iter().all(|it| it.switch != name) {
            idle.push(name);
        }
    }
    // What is told of chats, and of who comes and goes, is waited for by nobody.
    let mut before = None;
    for _ in 0..40 {
        let known = (play.services.len(), play.turns.len());
        if before.replace(known) == Some(known) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        play.hear();
    }
    play.judge();
    Account {
        messages,
        services: play.services.into_keys().collect(),
        turns: play.turns,
        idle,
    }
}

#[test]
fn what_is_reached_elsewhere_is_reached_by_a_test() {
    for Elsewhere { switch, test, file } in ELSEWHERE {
        assert!(Switches::ROWS.iter().any(|row| row.name == *switch), "{switch}");
        assert!(file.contains(&format!("async fn {test}()")), "{switch}: {test}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_of_telegram_alone_leaves_what_is_told_as_it_is() {
    let foreign: Vec<_> = Foreign::mtcute().into_iter().chain(Foreign::telethon()).collect();
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = number("TRUNKLINE_SEED").unwrap_or_else(rand::random);
    println!("histories from seed {seed}");
    let only = std::env::var("TRUNKLINE_WAY").ok();
    let names = Switches::ROWS.iter().map(|row| row.name);
    let names = names.filter(|name| only.as_ref().is_none_or(|only| only == name));
    let off = unbearable(&foreign);
    let (alone, together): (Vec<_>, Vec<_>) = names.partition(|name| off.contains(name));
    let (one, other) = together.split_at(together.len() / 2);
    // Stages of their own, as much of the time is waiting.
    let stage = async |names: &[&'static str], foreign: &[Foreign]| {
        let told = [false, true].map(|weather| Box::pin(all(names.to_vec(), seed, foreign, weather)));
        let [fair, foul] = told;
        let (fair, foul) = tokio::join!(fair, foul);
        let idle = [fair.idle, foul.idle].concat();
        assert!(idle.is_empty(), "these have decided nothing: {idle:?}");
        for ((name, fair), foul) in names.iter().zip(fair.messages).zip(foul.messages) {
            assert_eq!(
                fair, foul,
                "{name}: told otherwise in the stream of what is nobody's message"
            );
        }
        assert_eq!((fair.services, fair.turns), (foul.services, foul.turns));
    };
    tokio::join!(stage(one, &foreign), stage(other, &foreign), stage(&alone, &[]));
}
