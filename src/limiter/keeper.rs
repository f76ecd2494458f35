//! The keeper: a task beside the limiter's actor that stores what was spent.
//!
//! It asks the actor what is to be stored, stores all of it in one commit, together with the events of caps that were
//! passed, and says so; meanwhile the actor goes on under the reserves of earlier rows. It tells of a passed cap only
//! once that is stored, so that it is told once a window, also across restarts. At an orderly end it gives the
//! reserves back. It decides nothing.

use std::time::Duration;

use super::actor::{Args, Keeping, Msg};
use super::core::Notice;
use super::means::Place;
use super::{spent, table};
use crate::base::{EventId, Owner, Timestamp};
use crate::model::{ChatId, Event, EventBody};
use crate::runtime::{CallError, ChildSpec, Shutdown, TaskContext};
use crate::store::Batch;

/// How long until a commit that was refused is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Time for the last commit.
const LAST: Duration = Duration::from_secs(3);

/// The keeper as a child, placed after the actor.
pub(super) fn child(args: &Args) -> ChildSpec {
    let args = args.clone();
    ChildSpec::task("keeper", move |context: TaskContext| {
        let args = args.clone();
        async move {
            run(&args, &context).await;
            Ok(())
        }
    })
    .shutdown(Shutdown::Drain(LAST))
}

async fn run(args: &Args, context: &TaskContext) {
    loop {
        tokio::select! {
            () = context.stop.cancelled() => break,
            () = args.unkept.notified() => {}
        }
        match keep(args).await {
            Ok(true) => {}
            Ok(false) => {
                tokio::select! {
                    () = context.stop.cancelled() => break,
                    () = tokio::time::sleep(RETRY) => args.unkept.notify_one(),
                }
            }
            // An actor that begins anew reads what is stored and asks for what it needs.
            Err(error) => tracing::debug!(%error, "the limiter is away"),
        }
    }
    match args.address.call(Msg::GiveBack).await {
        Ok(rows) if !rows.is_empty() => {
            let mut batch = Batch::new();
            put(&mut batch, &rows);
            if let Err(error) = args.store.commit(batch).await {
                tracing::warn!(%error, "reserves of budgets count as spent after the next start");
            }
        }
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "the limiter is away; reserves of budgets count as spent"),
    }
}

/// Stores what there is to store; false if the store refused.
async fn keep(args: &Args) -> Result<bool, CallError> {
    let (rows, forgotten, notices) = args.address.call(Msg::Keep).await?;
    let mut batch = Batch::new();
    put(&mut batch, &rows);
    for (session, chat) in forgotten {
        table::forget_chat(&mut batch, session, chat);
    }
    for notice in &notices {
        batch.append(event(notice), None);
    }
    let stored = args.store.commit(batch).await;
    let kept = stored.is_ok();
    match stored {
        Ok(_) => notices.iter().for_each(tell),
        Err(error) => tracing::warn!(%error, "what was spent of budgets is not stored yet"),
    }
    args.address.cast(Msg::Kept(kept)).await?;
    Ok(kept)
}

fn put(batch: &mut Batch, rows: &[Keeping]) {
    for row in rows {
        spent::keep(batch, row.session, row.place, row.row.as_ref());
    }
}

fn chat_of(place: Place) -> Option<ChatId> {
    match place {
        Place::Chat(chat) => Some(chat),
        Place::Account | Place::Strangers | Place::Class(_) => None,
    }
}

fn event(notice: &Notice) -> Event {
    let crossing = notice.crossing;
    Event {
        id: EventId::generate(),
        at: Timestamp::now(),
        session: Some(notice.session),
        owner: Owner::admin(),
        body: EventBody::SessionBudget {
            budget: notice.place.as_str().to_owned(),
            chat: chat_of(notice.place),
            window: crossing.window.as_str().to_owned(),
            used: crossing.used,
            cap: crossing.cap,
        },
    }
}

/// The line and the metric of a cap that was passed.
fn tell(notice: &Notice) {
    let crossing = notice.crossing;
    let budget = notice.place.as_str();
    let (session, chat) = (notice.session, chat_of(notice.place).map(|chat| chat.0));
    let (window, used, cap) = (crossing.window.as_str(), crossing.used, crossing.cap);
    let level = if crossing.reached { "all" } else { "most" };
    metrics::counter!("trunkline_budget_warnings_total", "budget" => budget, "window" => window, "spent" => level)
        .increment(1);
    if crossing.reached {
        tracing::warn!(%session, chat, budget, window, used, cap, "a budget is spent: more waits until there is room");
    } else {
        tracing::warn!(%session, chat, budget, window, used, cap, "most of a budget is spent");
    }
}
