//! Histories that are read beside the updates of a connection. It is no task: whoever waits for something else drives it,
//! since both write in turns, and one that holds the turn has to go on. It ends with whoever holds it.

use futures_util::future::BoxFuture;

use crate::telegram::error::TelegramError;

type Outcome = Result<bool, TelegramError>;

/// See the head of the file.
#[derive(Default)]
pub(super) struct Filling {
    work: Option<BoxFuture<'static, Outcome>>,
    outcome: Option<Outcome>,
}

impl Filling {
    /// Whether histories are being read, or have been and nobody asked what became of it.
    pub fn is_under_way(&self) -> bool {
        self.work.is_some() || self.outcome.is_some()
    }

    /// Begins.
    pub fn begin(&mut self, work: impl Future<Output = Outcome> + Send + 'static) {
        self.work = Some(Box::pin(work));
    }

    /// What became of it; waits for ever if none was begun.
    pub async fn end(&mut self) -> Outcome {
        if self.outcome.is_none() {
            self.drive().await;
        }
        match self.outcome.take() {
            Some(outcome) => outcome,
            None => std::future::pending().await,
        }
    }

    /// Waits for something else, and goes on meanwhile.
    pub async fn beside<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = std::pin::pin!(other);
        tokio::select! {
            answer = &mut other => return answer,
            () = self.drive() => {}
        }
        other.await
    }

    /// Goes on to its end; for ever if there is none to come.
    async fn drive(&mut self) {
        match &mut self.work {
            Some(work) => {
                let outcome = work.await;
                (self.work, self.outcome) = (None, Some(outcome));
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_goes_on_while_something_else_is_waited_for() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut filling = Filling::default();
        assert!(!filling.is_under_way());
        filling.begin(async move { Ok(tell.send(()).is_ok()) });
        filling.beside(told).await.expect("it was driven");
        assert!(filling.is_under_way(), "nobody has asked yet");
        assert!(matches!(filling.end().await, Ok(true)));
        assert!(!filling.is_under_way());
        assert_eq!(filling.beside(async { 7 }).await, 7);
    }
}
