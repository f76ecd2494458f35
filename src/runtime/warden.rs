//! The one ractor actor of a tree: every actor child is linked to it, and it passes ractor's supervision events on
//! to the supervisor that started the child.
//!
//! Supervisors themselves are tasks, not actors: an idle actor costs about 8 KB, and a tree has a supervisor for each
//! session. What is kept of ractor's supervision is what only it can tell: how an actor ended. It also is the net under the
//! tree: should it end, ractor kills every actor that is linked to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};

use tokio::task::JoinHandle;

use super::error::Reason;
use super::mail::{Line, News};
use super::plan::Exit;
use super::spec::BoxError;

/// Who is to be told of an actor's end.
enum Route {
    To(Line, JoinHandle<()>),
    /// It ended before its spawner could say whom to tell.
    Ended(Exit),
}

type Routes = Arc<Mutex<HashMap<ActorId, Route>>>;

/// Handle to the warden. Cheap to clone.
#[derive(Clone)]
pub(super) struct Warden {
    cell: ActorCell,
    routes: Routes,
}

impl Warden {
    /// Starts the warden of a new tree.
    pub(super) async fn start() -> Result<Self, SpawnErr> {
        let routes = Routes::default();
        let (actor, _join) = Actor::spawn(None, Registrar, routes.clone()).await?;
        let cell = actor.get_cell();
        Ok(Self { cell, routes })
    }

    /// Spawns an actor whose end is told on `line`.
    pub(super) async fn spawn<A: Actor>(
        &self,
        actor: A,
        args: A::Arguments,
        line: Line,
    ) -> Result<ActorCell, BoxError> {
        match Actor::spawn_linked(None, actor, args, self.cell.clone()).await {
            Ok((spawned, join)) => {
                let cell = spawned.get_cell();
                // No await lies between the spawn's answer and this, so no linked actor stays without a route.
                self.tell(cell.get_id(), line, join);
                Ok(cell)
            }
            Err(SpawnErr::StartupFailed(error)) => Err(error),
            Err(other) => Err(Box::new(other)),
        }
    }

    fn tell(&self, id: ActorId, line: Line, join: JoinHandle<()>) {
        let mut routes = lock(&self.routes);
        if let Some(Route::Ended(exit)) = routes.remove(&id) {
            pass_on(line, join, exit);
        } else {
            routes.insert(id, Route::To(line, join));
        }
    }

    /// Ends the warden; nothing is linked to it any more when its tree has ended.
    pub(super) fn stop(&self) {
        self.cell.stop(None);
    }

    /// Returns when the warden is gone.
    pub(super) async fn gone(&self) {
        // Without a deadline there is nothing that could fail.
        self.cell.wait(None).await.ok();
    }
}

fn lock(routes: &Routes) -> MutexGuard<'_, HashMap<ActorId, Route>> {
    routes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the end once the actor's task is done: the event is sent while a failed actor's state still lives,
/// and the next incarnation must not meet what the last one still holds.
fn pass_on(line: Line, join: JoinHandle<()>, exit: Exit) {
    tokio::spawn(async move {
        // However the task ended, it has ended.
        join.await.ok();
        line.send(News::Exited(exit));
    });
}

struct Registrar;

impl Actor for Registrar {
    type Msg = ();
    type State = Routes;
    type Arguments = Routes;

    async fn pre_start(&self, _: ActorRef<()>, routes: Routes) -> Result<Routes, ActorProcessingErr> {
        Ok(routes)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        routes: &mut Routes,
    ) -> Result<(), ActorProcessingErr> {
        let Some((id, exit)) = exit_of(event) else {
            return Ok(());
        };
        let mut routes = lock(routes);
        match routes.remove(&id) {
            Some(Route::To(line, join)) => pass_on(line, join, exit),
            Some(Route::Ended(_)) | None => {
                routes.insert(id, Route::Ended(exit));
            }
        }
        Ok(())
    }
}

/// What a supervision event says of an actor's end. Ractor keeps the state of an actor that stopped by itself or was
/// stopped; there is none after a kill.
fn exit_of(event: SupervisionEvent) -> Option<(ActorId, Exit)> {
    match event {
        SupervisionEvent::ActorTerminated(who, Some(_), _) => Some((who.get_id(), Exit::Normal)),
        SupervisionEvent::ActorTerminated(who, None, reason) => {
            let reason = Reason::new(reason.as_deref().unwrap_or("killed"));
            Some((who.get_id(), Exit::Crash(reason)))
        }
        SupervisionEvent::ActorFailed(who, error) => {
            Some((who.get_id(), Exit::Crash(Reason::of_error(error.as_ref()))))
        }
        _ => None,
    }
}
