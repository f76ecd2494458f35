//! From an event to the deliveries it becomes: which endpoints want it, in which lane, with which
//! bytes. Pure but for the batch it fills.

use super::attempt::{DeliveryRow, Trigger, delivery_id};
use super::body::{SessionContext, render};
use super::conclude::fresh_row;
use super::endpoint::Shape;
use super::registry::Live;
use super::tables::{Deliveries, DeliveryTask, lane, task_id};
use crate::base::Timestamp;
use crate::model::Event;
use crate::store::{Batch, Lane, TaskDraft};

/// An event with what its bodies need; each shape is rendered once, however many want it.
pub(super) struct Source<'a> {
    pub seq: u64,
    pub event: &'a Event,
    pub context: &'a SessionContext,
    bodies: [Option<Option<String>>; 3],
}

impl<'a> Source<'a> {
    pub fn new(seq: u64, event: &'a Event, context: &'a SessionContext) -> Self {
        Self {
            seq,
            event,
            context,
            bodies: [const { None }; 3],
        }
    }

    fn body(&mut self, shape: Shape) -> Option<String> {
        let place = match shape {
            Shape::Trunkline => 0,
            Shape::Agent => 1,
            Shape::BotApi => 2,
        };
        let (event, seq, context) = (self.event, self.seq, self.context);
        self.bodies[place]
            .get_or_insert_with(|| {
                let bytes = render(shape, event, seq, context)?;
                Some(String::from_utf8(bytes).expect("JSON is UTF-8"))
            })
            .clone()
    }
}

/// A delivery to be made.
pub(super) struct Draft {
    pub lane: Lane,
    pub task: DeliveryTask,
    pub row: DeliveryRow,
}

/// The delivery of an event to an endpoint in a shape, wanted or not; none if the shape has no
/// words for it, or its URL no place for the session.
pub(super) fn draft(
    live: &Live,
    shape: Shape,
    source: &mut Source<'_>,
    trigger: Trigger,
    now: Timestamp,
) -> Option<Draft> {
    let agent_id = source.context.agent_id;
    if live.needs_agent && agent_id.is_none() {
        return None;
    }
    let body = source.body(shape)?;
    let (id, event) = (live.record.id, source.event);
    let task = DeliveryTask {
        delivery: delivery_id(id, event.id, event.at),
        event: event.id,
        kind: event.body.kind().as_str().to_owned(),
        seq: source.seq,
        session: event.session,
        agent_id,
        shape,
        created_at: now,
        trigger,
        body,
    };
    Some(Draft {
        lane: lane(id, event.session, event.body.chat()),
        row: fresh_row(id, &task, source.context.clone()),
        task,
    })
}

impl Draft {
    /// Puts the task into a batch.
    pub fn enqueue(&self, batch: &mut Batch, due: Timestamp) {
        let id = task_id(self.task.delivery);
        batch.enqueue(
            self.lane,
            &TaskDraft {
                id,
                due,
                payload: &self.task,
            },
        );
    }

    /// Puts the delivery's record into a batch.
    pub fn record(&self, batch: &mut Batch) {
        let delivery = &self.row.delivery;
        batch.put::<Deliveries>(&(delivery.endpoint, delivery.id), &self.row);
    }
}
