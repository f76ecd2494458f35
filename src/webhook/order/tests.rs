//! The plan, rule by rule and at random.

use proptest::prelude::*;

use super::*;

const HOLD: Duration = Duration::from_secs(300);

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn plan(entries: &[(u32, u64)]) -> Plan<u32> {
    let mut plan = Plan::new(ChatOrder::Chat, HOLD);
    for &(key, chat) in entries {
        plan.insert(entry(key, chat), at(0));
    }
    plan
}

fn entry(key: u32, chat: u64) -> Entry<u32> {
    Entry {
        key,
        chat,
        due: at(0),
        failing_since: None,
    }
}

fn take(plan: &mut Plan<u32>, now: i64) -> Option<u32> {
    plan.take(at(now)).map(|entry| entry.key)
}

#[test]
fn chats_run_in_parallel_and_each_in_order() {
    let mut plan = plan(&[(1, 7), (2, 7), (3, 8)]);
    assert_eq!(take(&mut plan, 0), Some(1));
    assert_eq!(take(&mut plan, 0), Some(3));
    assert_eq!(take(&mut plan, 0), None);
    plan.settle(1, Settled::Delivered, at(1));
    assert_eq!(take(&mut plan, 1), Some(2));
    plan.settle(2, Settled::Delivered, at(2));
    plan.settle(3, Settled::GivenUp, at(2));
    assert!(plan.is_empty());
    assert_eq!(plan.wake_at(), None);
}

#[test]
fn chats_take_turns() {
    let mut plan = plan(&[(1, 7), (2, 7), (3, 7), (4, 8), (5, 8)]);
    let mut taken = Vec::new();
    while let Some(key) = take(&mut plan, 0) {
        taken.push(key);
        plan.settle(key, Settled::Delivered, at(0));
    }
    assert_eq!(taken, [1, 4, 2, 5, 3]);
}

#[test]
fn a_failing_delivery_holds_back_its_own_chat() {
    let mut plan = plan(&[(1, 7), (2, 7), (3, 8)]);
    assert_eq!(take(&mut plan, 0), Some(1));
    plan.settle(1, Settled::Retry(at(5)), at(0));
    assert_eq!(take(&mut plan, 1), Some(3));
    assert_eq!(take(&mut plan, 4), None);
    assert_eq!(plan.wake_at(), Some(at(5)));
    assert_eq!(take(&mut plan, 5), Some(1));
    plan.settle(1, Settled::Delivered, at(6));
    assert_eq!(take(&mut plan, 6), Some(2));
}

#[test]
fn a_hold_ends_and_an_outage_costs_only_one() {
    let mut plan = plan(&[(1, 7), (2, 7), (3, 7)]);
    assert_eq!(take(&mut plan, 0), Some(1));
    plan.settle(1, Settled::Retry(at(1000)), at(0));
    assert_eq!(plan.wake_at(), Some(at(300)));
    assert_eq!(take(&mut plan, 299), None);
    assert_eq!(take(&mut plan, 300), Some(2), "overtakes");
    plan.settle(2, Settled::Retry(at(2000)), at(301));
    assert_eq!(take(&mut plan, 301), Some(3), "no second hold");
    plan.settle(3, Settled::Delivered, at(302));
    assert_eq!(take(&mut plan, 302), None);
    plan.insert(entry(4, 7), at(303));
    assert_eq!(take(&mut plan, 303), Some(4));
    plan.settle(4, Settled::Retry(at(310)), at(303));
    plan.insert(entry(5, 7), at(304));
    assert_eq!(take(&mut plan, 304), None, "a new failure holds again");
    assert_eq!(take(&mut plan, 310), Some(4));
    plan.settle(4, Settled::Delivered, at(310));
    assert_eq!(take(&mut plan, 310), Some(5));
    plan.settle(5, Settled::Delivered, at(311));
    assert_eq!(take(&mut plan, 999), None);
    assert_eq!(
        take(&mut plan, 1000),
        Some(1),
        "a straggler comes at its own time"
    );
}

#[test]
fn the_hold_goes_on_after_a_restart() {
    let mut plan = Plan::new(ChatOrder::Chat, HOLD);
    let failing = Entry {
        due: at(5000),
        failing_since: Some(at(100)),
        ..entry(1, 7)
    };
    plan.insert(failing, at(200));
    plan.insert(entry(2, 7), at(200));
    assert_eq!(take(&mut plan, 399), None);
    assert_eq!(take(&mut plan, 400), Some(2));
}

#[test]
fn without_order_everything_goes_at_once() {
    let mut plan = Plan::new(ChatOrder::None, HOLD);
    for key in 1..=3 {
        plan.insert(entry(key, 7), at(0));
    }
    assert_eq!(take(&mut plan, 0), Some(1));
    assert_eq!(take(&mut plan, 0), Some(2));
    plan.settle(1, Settled::Retry(at(9)), at(0));
    assert_eq!(take(&mut plan, 0), Some(3));
    assert_eq!(plan.in_flight(), 2);
    plan.reorder(ChatOrder::Chat, at(0));
    plan.insert(entry(4, 7), at(0));
    assert_eq!(take(&mut plan, 0), None, "two are under way");
}

#[test]
fn hasten_and_forget_reach_waiting_ones_only() {
    let mut plan = plan(&[(1, 7), (2, 7)]);
    assert_eq!(take(&mut plan, 0), Some(1));
    assert!(!plan.hasten(1, at(0)), "under way");
    plan.settle(1, Settled::Retry(at(100)), at(0));
    assert!(plan.hasten(1, at(1)));
    assert_eq!(take(&mut plan, 1), Some(1));
    assert!(plan.forget(2, at(1)));
    assert!(!plan.forget(2, at(1)));
    plan.settle(1, Settled::Delivered, at(2));
    assert!(plan.is_empty());
}

#[test]
fn a_delivery_is_known_once() {
    let mut plan = plan(&[(1, 7), (1, 7)]);
    assert_eq!(plan.len(), 1);
    assert_eq!(take(&mut plan, 0), Some(1));
    plan.insert(entry(1, 7), at(0));
    assert_eq!(plan.len(), 1);
    plan.settle(1, Settled::Delivered, at(0));
    assert!(plan.is_empty());
}

proptest! {
    /// Whatever fails however often: each delivery is finished in the end, one of a chat at a
    /// time, and one that never failed is never overtaken by a later one of its chat.
    #[test]
    fn everything_is_finished_and_order_is_kept(
        chats in proptest::collection::vec(0u64..4, 1..40),
        failures in proptest::collection::vec(0u8..4, 40),
        waits in proptest::collection::vec(1i64..600, 40),
    ) {
        let entries: Vec<_> = chats.iter().enumerate().map(|(key, chat)| (key as u32, *chat)).collect();
        let mut plan = plan(&entries);
        let mut left: Vec<u8> = failures;
        let mut done: Vec<u32> = Vec::new();
        let mut now = 0;
        let mut idle = 0;
        while !plan.is_empty() {
            let mut batch = Vec::new();
            while let Some(entry) = plan.take(at(now)) {
                prop_assert!(batch.iter().all(|other: &Entry<u32>| other.chat != entry.chat));
                batch.push(entry);
            }
            idle = if batch.is_empty() { idle + 1 } else { 0 };
            prop_assert!(idle < 3, "stuck");
            for entry in batch {
                let index = entry.key as usize;
                if left[index] > 0 {
                    left[index] -= 1;
                    plan.settle(entry.key, Settled::Retry(at(now + waits[index])), at(now));
                } else {
                    if entry.failing_since.is_none() {
                        let overtaken = done.iter().any(|later| *later > entry.key && chats[*later as usize] == entry.chat);
                        prop_assert!(!overtaken);
                    }
                    done.push(entry.key);
                    plan.settle(entry.key, Settled::Delivered, at(now));
                }
            }
            if let Some(wake) = plan.wake_at() {
                now = now.max(wake.as_secs());
            }
        }
        prop_assert_eq!(done.len(), chats.len());
        prop_assert!(plan.chats.is_empty() && plan.timers.is_empty());
    }
}
