//! Answering the callers of Telegram's actors.

use ractor::RpcReplyPort;

/// Answers a caller; one that has gone away needs no answer.
pub(crate) fn answer<T: Send + 'static>(reply: RpcReplyPort<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::debug!("a caller went away before its answer");
    }
}
