//! A wrapper around each actor child: it beats when one of the actor's handlers is entered and rests when it is
//! left, so a handler that hangs at an await, or never comes to one, is seen from outside without a message to the actor.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::pulse::Pulse;

/// An actor whose handlers move a pulse.
pub(super) struct Watched<A> {
    actor: A,
    pulse: Arc<Pulse>,
    #[cfg(feature = "fault-points")]
    path: Arc<str>,
}

impl<A> Watched<A> {
    #[cfg_attr(
        not(feature = "fault-points"),
        expect(unused_variables, reason = "only orders go by it")
    )]
    pub(super) fn new(actor: A, pulse: Arc<Pulse>, path: Arc<str>) -> Self {
        Self {
            actor,
            pulse,
            #[cfg(feature = "fault-points")]
            path,
        }
    }
}

impl<A: Actor> Actor for Watched<A> {
    type Msg = A::Msg;
    type State = A::State;
    type Arguments = A::Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<A::Msg>,
        args: A::Arguments,
    ) -> Result<A::State, ActorProcessingErr> {
        self.pulse.steps(self.actor.pre_start(myself, args)).await
    }

    async fn post_start(
        &self,
        myself: ActorRef<A::Msg>,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.pulse.beat();
        let result = self.pulse.steps(self.actor.post_start(myself, state)).await;
        self.pulse.rest();
        result
    }

    async fn post_stop(
        &self,
        myself: ActorRef<A::Msg>,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        // One that ends by itself and hangs over it is at work.
        self.pulse.beat();
        self.pulse.steps(self.actor.post_stop(myself, state)).await
    }

    async fn handle(
        &self,
        myself: ActorRef<A::Msg>,
        message: A::Msg,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.pulse.beat();
        let handled = async {
            #[cfg(feature = "fault-points")]
            super::afflict::handler(&self.path, &self.pulse).await;
            self.actor.handle(myself, message, state).await
        };
        let result = self.pulse.steps(handled).await;
        self.pulse.rest();
        result
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<A::Msg>,
        event: SupervisionEvent,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.pulse.beat();
        let heard = self.actor.handle_supervisor_evt(myself, event, state);
        let result = self.pulse.steps(heard).await;
        self.pulse.rest();
        result
    }
}
