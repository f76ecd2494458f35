//! The shell at work: real tasks and actors under real supervisors.

use std::time::Duration;

use tokio::sync::mpsc;

use super::*;

mod actors;
mod bounds;
mod ends;
mod keyed;
mod otp;
mod storm;
mod tasks;

const SOON: Duration = Duration::from_secs(10);

/// Tells what children do, in order.
#[derive(Clone)]
struct Diary(mpsc::UnboundedSender<String>);

impl Diary {
    fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    fn write(&self, entry: impl Into<String>) {
        self.0.send(entry.into()).ok();
    }
}

async fn read(diary: &mut mpsc::UnboundedReceiver<String>, count: usize) -> Vec<String> {
    let mut entries = Vec::new();
    while entries.len() < count {
        let entry = tokio::time::timeout(SOON, diary.recv()).await;
        entries.push(entry.expect("written in time").expect("still written"));
    }
    entries
}

/// A task that writes its start and its orderly stop.
fn steady(id: &'static str, diary: &Diary) -> ChildSpec {
    let diary = diary.clone();
    ChildSpec::task(id, move |context| {
        let diary = diary.clone();
        async move {
            diary.write(format!("{id} up"));
            context.stop.cancelled().await;
            diary.write(format!("{id} down"));
            Ok(())
        }
    })
}

/// A task that does nothing until it is stopped.
fn quiet(id: impl Into<std::sync::Arc<str>>) -> ChildSpec {
    ChildSpec::task(id, |context| async move {
        context.stop.cancelled().await;
        Ok(())
    })
}

/// Waits until something holds.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waits = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(SOON, waits).await.expect("holds in time");
}

async fn state(root: &Root, path: &[&str]) -> Option<NodeState> {
    root.tree().snapshot().await.find(path).map(|node| node.state)
}

const OFTEN: Intensity = Intensity {
    restarts: 1_000_000,
    period: Duration::from_secs(1),
};
