//! What events lead to, without a store.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::graph::Node;
use super::job::{Job, Work};
use super::map::{Copied, Fate, MapRow};
use super::pair::{Mode, OnDelete, OnEdit, PairRow};
use super::plan::{Draft, Plan, Planner, Route, Routes, View, Waits};
use super::samples::{DESTINATION, SOURCE, media, message, pair};
use crate::base::{EventId, Owner, PairId, SessionId, TaskId, Timestamp};
use crate::model::{ChatId, Event, EventBody, MediaKind, Message, MessageId};

const NOW: Timestamp = Timestamp(2_000_000);
const WINDOW: Duration = Duration::from_millis(1500);

#[derive(Default)]
struct Known {
    rows: HashMap<(PairId, ChatId, MessageId), MapRow>,
    albums: HashMap<(PairId, ChatId, i64), TaskId>,
    tasks: HashMap<TaskId, Waits>,
    /// Messages whose copies are stored at the moment their tasks are looked at.
    landing: HashMap<TaskId, (PairId, ChatId, MessageId)>,
    origins: Vec<Node>,
}

impl View for Known {
    type Error = Infallible;

    fn row(&mut self, pair: PairId, chat: ChatId, message: MessageId) -> Result<Option<MapRow>, Infallible> {
        Ok(self.rows.get(&(pair, chat, message)).copied())
    }

    fn album(&mut self, pair: PairId, chat: ChatId, album: i64) -> Result<Option<TaskId>, Infallible> {
        Ok(self.albums.get(&(pair, chat, album)).copied())
    }

    fn is_busy(&mut self, _: PairId) -> bool {
        self.tasks.values().any(|waits| *waits != Waits::No)
    }

    fn waits(&mut self, _: PairId, task: TaskId) -> Result<Waits, Infallible> {
        if let Some(row) = self.landing.remove(&task).and_then(|key| self.rows.get_mut(&key)) {
            row.fate = Fate::Copied(copied(SessionId::from_bytes([1; 16]), 1));
            self.tasks.remove(&task);
        }
        Ok(self.tasks.get(&task).cloned().unwrap_or(Waits::No))
    }

    fn origins(&mut self, _: SessionId, _: &Message) -> Result<Vec<Node>, Infallible> {
        Ok(self.origins.clone())
    }
}

impl Known {
    /// What a plan leaves behind once it is committed.
    fn commit(&mut self, plan: &Plan) {
        self.rows.extend(&plan.rows);
        for (key, task) in &plan.albums {
            match task {
                Some(task) => drop(self.albums.insert(*key, *task)),
                None => drop(self.albums.remove(key)),
            }
        }
        for (task, draft) in &plan.tasks {
            let waits = if draft.cancelled {
                Waits::No
            } else {
                Waits::Free(Box::new(draft.job.clone()))
            };
            self.tasks.insert(*task, waits);
        }
    }
}

struct Scene {
    known: Known,
    pair: Arc<PairRow>,
    routes: Routes,
    session: SessionId,
    now: Timestamp,
}

impl Scene {
    fn new(change: impl FnOnce(&mut PairRow)) -> Self {
        let session = SessionId::generate();
        let mut row = pair(session);
        change(&mut row);
        let pair = Arc::new(row);
        let route = Route {
            pair: pair.clone(),
            destination: Node::Shared(DESTINATION),
        };
        Self {
            known: Known::default(),
            pair,
            routes: [route].into_iter().collect(),
            session,
            now: NOW,
        }
    }

    fn plan(&mut self, bodies: Vec<EventBody>) -> Plan {
        let mut planner = Planner {
            view: &mut self.known,
            routes: &self.routes,
            now: self.now,
            life: 7,
            album_window: WINDOW,
            plan: Plan::default(),
        };
        for (seq, body) in (1..).zip(bodies) {
            let event = Event {
                id: EventId::generate(),
                at: self.now,
                session: Some(self.session),
                owner: Owner::admin(),
                body,
            };
            let Ok(()) = planner.event(seq, &event);
        }
        planner.plan
    }

    /// Plans and commits.
    fn hear(&mut self, bodies: Vec<EventBody>) -> Vec<Draft> {
        let plan = self.plan(bodies);
        self.known.commit(&plan);
        plan.tasks.into_iter().map(|(_, draft)| draft).collect()
    }

    fn fate(&self, message: MessageId) -> Option<Fate> {
        self.known
            .rows
            .get(&(self.pair.id, SOURCE, message))
            .map(|row| row.fate)
    }

    /// The task of a message has been tried.
    fn try_task_of(&mut self, message: MessageId) {
        if let Some(Fate::Waiting(task)) = self.fate(message) {
            self.known.tasks.insert(task, Waits::Tried);
        }
    }

    /// A message has been copied.
    fn copy(&mut self, message: MessageId) {
        let row = self
            .known
            .rows
            .get_mut(&(self.pair.id, SOURCE, message))
            .expect("known");
        if let Fate::Waiting(task) = row.fate {
            self.known.tasks.remove(&task);
        }
        row.fate = Fate::Copied(copied(self.session, message));
    }

    /// The task of a message lies among the dead letters.
    fn give_up(&mut self, message: MessageId) {
        if let Some(Fate::Waiting(task)) = self.fate(message) {
            self.known.tasks.remove(&task);
        }
    }

    /// A message's copy is stored just when somebody looks for its task.
    fn copy_meanwhile(&mut self, message: MessageId) {
        if let Some(Fate::Waiting(task)) = self.fate(message) {
            self.known.landing.insert(task, (self.pair.id, SOURCE, message));
        }
    }
}

fn copied(session: SessionId, message: MessageId) -> Copied {
    Copied {
        session,
        chat: DESTINATION,
        message: message + 500,
        at: NOW,
    }
}

fn new(message: Message) -> EventBody {
    EventBody::MessageNew(message)
}

fn edit(id: MessageId, text: &str, at: i64) -> EventBody {
    EventBody::MessageEdited(Message {
        edit_date: Some(Timestamp(at)),
        ..message(id, text)
    })
}

fn delete(ids: &[MessageId]) -> EventBody {
    EventBody::MessageDeleted {
        chat: Some(SOURCE),
        ids: ids.to_vec(),
    }
}

fn part(id: MessageId) -> EventBody {
    new(Message {
        album: Some(77),
        ..media(id, MediaKind::Photo, "")
    })
}

fn parts(job: &Job) -> Vec<MessageId> {
    match &job.work {
        Work::Copy { parts } => parts.iter().map(|part| part.id).collect(),
        _ => Vec::new(),
    }
}

fn text(draft: &Draft) -> &str {
    match &draft.job.work {
        Work::Copy { parts } => &parts[0].text,
        Work::Edit { message } => &message.text,
        Work::Delete { .. } => "",
    }
}

#[test]
fn messages_become_tasks_in_order_and_replays_none() {
    let mut scene = Scene::new(|_| {});
    let drafts = scene.hear(vec![
        new(message(1, "a")),
        EventBody::MessageSent(message(2, "b")),
        new(message(3, "c")),
    ]);
    assert_eq!(drafts.iter().map(text).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(drafts.iter().all(|draft| draft.due == NOW && draft.fresh));
    assert!(scene.hear(vec![new(message(2, "b"))]).is_empty());
}

#[test]
fn other_chats_service_messages_and_what_came_before_the_pair_stay_out() {
    let mut scene = Scene::new(|pair| pair.created_at = Timestamp(NOW.0 + 1));
    assert!(scene.hear(vec![new(message(1, "early"))]).is_empty());
    // Whatever the clock says.
    let mut scene = Scene::new(|pair| (pair.created_at, pair.after) = (Timestamp(NOW.0 + 1), 1));
    let drafts = scene.hear(vec![new(message(1, "early")), new(message(2, "late"))]);
    assert_eq!(drafts.iter().map(text).collect::<Vec<_>>(), ["late"]);
    let mut scene = Scene::new(|_| {});
    let service = Message {
        service: true,
        ..message(2, "")
    };
    let elsewhere = Message {
        chat: DESTINATION,
        ..message(3, "x")
    };
    assert!(scene.hear(vec![new(service), new(elsewhere)]).is_empty());
}

#[test]
fn a_delay_counts_from_the_messages_date() {
    let mut scene = Scene::new(|pair| pair.delay = 3600);
    let drafts = scene.hear(vec![new(message(1, "a"))]);
    assert_eq!(drafts[0].due, Timestamp(1_000_000 + 3_600_000));
    let mut scene = Scene::new(|pair| pair.delay = 5);
    assert_eq!(scene.hear(vec![new(message(1, "old"))])[0].due, NOW);
}

#[test]
fn an_album_is_one_task_also_over_several_plans() {
    let mut scene = Scene::new(|_| {});
    let drafts = scene.hear(vec![part(10), part(13)]);
    assert_eq!(drafts.len(), 1);
    scene.now = NOW.plus(Duration::from_secs(1));
    let drafts = scene.hear(vec![new(message(14, "between")), part(12)]);
    let album = drafts.iter().find(|draft| !draft.fresh).expect("changed");
    assert_eq!(parts(&album.job), [10, 12, 13]);
    assert_eq!(album.due, scene.now.plus(WINDOW));
}

#[test]
fn a_full_album_waits_no_longer() {
    let mut scene = Scene::new(|_| {});
    let drafts = scene.hear((1..=10).map(part).collect());
    assert_eq!((drafts.len(), drafts[0].due), (1, NOW));
    let drafts = scene.hear(vec![part(11)]);
    assert_eq!(parts(&drafts[0].job), [11]);
}

#[test]
fn a_part_that_comes_after_the_album_was_tried_goes_by_itself() {
    let mut scene = Scene::new(|_| {});
    scene.hear(vec![part(1), part(2)]);
    scene.try_task_of(1);
    let drafts = scene.hear(vec![part(3)]);
    assert_eq!((drafts.len(), parts(&drafts[0].job)), (1, vec![3]));
    let drafts = scene.hear(vec![part(4)]);
    assert_eq!(parts(&drafts[0].job), [3, 4]);
}

#[test]
fn an_edit_changes_what_waits_and_follows_what_was_tried_or_sent() {
    let mut scene = Scene::new(|_| {});
    scene.hear(vec![
        new(message(1, "a")),
        new(message(2, "b")),
        new(message(3, "c")),
    ]);
    scene.try_task_of(2);
    scene.copy(3);
    let drafts = scene.hear(vec![edit(1, "A", 5), edit(2, "B", 5), edit(3, "C", 5)]);
    assert_eq!(drafts.iter().map(text).collect::<Vec<_>>(), ["A", "B", "C"]);
    assert!(matches!(drafts[0].job.work, Work::Copy { .. }));
    assert!(!drafts[0].fresh);
    assert!(
        drafts[1..]
            .iter()
            .all(|draft| draft.fresh && matches!(draft.job.work, Work::Edit { .. }))
    );
}

#[test]
fn what_is_copied_while_it_is_looked_for_is_followed() {
    let mut scene = Scene::new(|_| {});
    scene.hear(vec![new(message(1, "a")), new(message(2, "b"))]);
    scene.copy_meanwhile(1);
    scene.copy_meanwhile(2);
    let drafts = scene.hear(vec![edit(1, "A", 5), delete(&[2])]);
    assert_eq!(drafts.len(), 2);
    assert!(matches!(drafts[0].job.work, Work::Edit { .. }));
    assert!(matches!(&drafts[1].job.work, Work::Delete { ids, .. } if ids == &[2]));
}

#[test]
fn a_message_and_its_edit_in_one_plan_are_one_task() {
    let mut scene = Scene::new(|_| {});
    let drafts = scene.hear(vec![new(message(1, "a")), edit(1, "A", 5), edit(1, "older", 4)]);
    assert_eq!(drafts.iter().map(text).collect::<Vec<_>>(), ["A"]);
    assert!(drafts[0].fresh);
}

#[test]
fn edits_that_change_nothing_or_are_not_wanted_are_passed_over() {
    let mut scene = Scene::new(|_| {});
    scene.hear(vec![new(message(1, "a"))]);
    scene.copy(1);
    assert!(
        scene
            .hear(vec![edit(1, "a", 9), edit(8, "unknown", 9)])
            .is_empty()
    );
    let wishes: [fn(&mut PairRow); 2] = [
        |pair| pair.on_edit = OnEdit::Ignore,
        |pair| pair.mode = Mode::Forward,
    ];
    for wish in wishes {
        let mut scene = Scene::new(wish);
        scene.hear(vec![new(message(1, "a"))]);
        scene.copy(1);
        assert!(scene.hear(vec![edit(1, "b", 9)]).is_empty());
    }
}

#[test]
fn an_edit_back_to_the_earlier_form_follows_the_one_that_waits() {
    let mut scene = Scene::new(|_| {});
    scene.hear(vec![new(message(1, "a")), new(message(2, "b"))]);
    scene.copy(1);
    scene.try_task_of(2);
    for id in [1, 2] {
        let text_of = |id: MessageId| if id == 1 { "a" } else { "b" };
        let drafts = scene.hear(vec![edit(id, "other", 5)]);
        assert_eq!(drafts.iter().map(text).collect::<Vec<_>>(), ["other"]);
        let drafts = scene.hear(vec![edit(id, text_of(id), 5)]);
        assert_eq!(drafts.iter().map(text).collect::<Vec<_>>(), [text_of(id)]);
    }
    // So does one within the same plan.
    let mut scene = Scene::new(|_| {});
    scene.hear(vec![new(message(1, "a"))]);
    scene.copy(1);
    let drafts = scene.hear(vec![edit(1, "A", 5), edit(1, "a", 5)]);
    assert_eq!(drafts.iter().map(text).collect::<Vec<_>>(), ["A", "a"]);
}

#[test]
fn a_deletion_cancels_what_waits_and_follows_what_was_sent() {
    let mut scene = Scene::new(|_| {});
    scene.hear(vec![
        new(message(1, "a")),
        new(message(2, "b")),
        new(message(3, "c")),
    ]);
    scene.copy(2);
    scene.try_task_of(3);
    let drafts = scene.hear(vec![delete(&[1, 2, 3, 99])]);
    assert!(drafts[0].cancelled);
    assert_eq!(scene.fate(1), Some(Fate::Gone));
    let ids = |draft: &Draft| match &draft.job.work {
        Work::Delete { ids, .. } => ids.clone(),
        _ => Vec::new(),
    };
    assert_eq!((drafts.len(), ids(&drafts[1])), (2, vec![2, 3]));
    assert!(scene.hear(vec![delete(&[1])]).is_empty());
    assert!(
        scene.hear(vec![new(message(1, "a"))]).is_empty(),
        "a replay brings it not back"
    );
}

#[test]
fn what_is_deleted_after_its_task_was_given_up_is_known_to_be_gone() {
    let mut scene = Scene::new(|_| {});
    scene.hear(vec![part(1), part(2)]);
    scene.give_up(1);
    assert!(scene.hear(vec![edit(1, "A", 5)]).is_empty());
    let plan = scene.plan(vec![delete(&[1])]);
    assert!(plan.tasks.is_empty() && plan.pairs.contains(&scene.pair.id));
    scene.known.commit(&plan);
    assert_eq!(scene.fate(1), Some(Fate::Gone));
    assert!(matches!(scene.fate(2), Some(Fate::Waiting(_))));
}

#[test]
fn a_part_of_a_waiting_album_is_taken_out_and_the_last_one_cancels_it() {
    let mut scene = Scene::new(|_| {});
    scene.hear(vec![part(1), part(2)]);
    let drafts = scene.hear(vec![delete(&[1])]);
    assert_eq!((parts(&drafts[0].job), drafts[0].cancelled), (vec![2], false));
    assert_eq!(drafts[0].due, NOW.plus(WINDOW));
    let drafts = scene.hear(vec![delete(&[2])]);
    assert!(drafts[0].cancelled);
    assert!(scene.known.albums.is_empty());
}

#[test]
fn a_deletion_without_a_chat_finds_private_chats_and_groups_only() {
    let mut scene = Scene::new(|_| {});
    scene.hear(vec![new(message(1, "a"))]);
    let nameless = |ids: &[MessageId]| EventBody::MessageDeleted {
        chat: None,
        ids: ids.to_vec(),
    };
    assert!(scene.hear(vec![nameless(&[1])]).is_empty());
    let group = ChatId::group(5);
    let mut scene = Scene::new(|pair| pair.source.chat = group);
    scene.hear(vec![new(Message {
        chat: group,
        ..message(1, "a")
    })]);
    assert!(scene.hear(vec![nameless(&[1])])[0].cancelled);
}

#[test]
fn deletions_that_are_not_wanted_are_passed_over() {
    let mut scene = Scene::new(|pair| pair.on_delete = OnDelete::Ignore);
    scene.hear(vec![new(message(1, "a")), new(message(2, "b"))]);
    scene.copy(2);
    assert!(scene.hear(vec![delete(&[1, 2])]).is_empty());
}

#[test]
fn a_copy_that_would_lead_back_is_not_forwarded_again() {
    let mut scene = Scene::new(|_| {});
    scene.known.origins = vec![Node::Shared(ChatId(-5)), Node::Shared(DESTINATION)];
    let plan = scene.plan(vec![new(message(1, "a"))]);
    assert!(plan.is_empty());
    assert_eq!(plan.loops, 1);
    scene.known.origins = vec![Node::Shared(ChatId(-5))];
    assert_eq!(scene.hear(vec![new(message(1, "a"))]).len(), 1);
}

#[test]
fn what_was_said_in_a_group_before_it_moved_is_copied_and_deleted_too() {
    const GROUP: ChatId = ChatId(-5);
    let mut scene = Scene::new(|row| row.former = Some(GROUP));
    let said = Message {
        chat: GROUP,
        ..message(7, "last words")
    };
    let drafts = scene.hear(vec![EventBody::MessageNew(said)]);
    assert_eq!(drafts.len(), 1, "copied");
    let deleted = |chat| EventBody::MessageDeleted { chat, ids: vec![7] };
    assert!(
        scene.hear(vec![deleted(Some(SOURCE))]).is_empty(),
        "another message of that number"
    );
    let drafts = scene.hear(vec![deleted(None)]);
    assert!(drafts.len() == 1 && drafts[0].cancelled, "withdrawn");
}
