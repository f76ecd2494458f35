//! The limits on speed, where the service asks them: before a call is carried out.

use std::sync::PoisonError;

use serde_json::{Value, json};

use super::Telegram;
use crate::base::Timestamp;
use crate::sandbox::limits::{Asked, Class, Limits};
use crate::sandbox::methods;
use crate::sandbox::world::Refusal;

impl Telegram {
    /// Puts limits with so fast a clock into use, or none; what was counted begins anew.
    pub fn set_limits(&self, factor: Option<u32>) {
        let mut limits = self.inner.limits.lock().unwrap_or_else(PoisonError::into_inner);
        *limits = factor.map(Limits::new);
    }

    /// The limits in use and what came inside waits, for people.
    pub fn limits(&self) -> Value {
        let limits = self.inner.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(limits) = limits.as_ref() else {
            return json!({"on": false});
        };
        let sum = |of: fn(&crate::sandbox::limits::Met) -> u64| limits.met().values().map(of).sum::<u64>();
        json!({
            "on": true,
            "factor": limits.factor(),
            "waits": sum(|met| met.waits),
            "inside": sum(|met| met.inside),
            "accounts": limits.met(),
        })
    }

    /// Whether limits let a call of an account pass.
    pub(super) fn limited(&self, method: &str, account: Option<i64>, body: &[u8]) -> Option<Refusal> {
        let mut limits = self.inner.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = limits.as_mut()?;
        let (account, class) = (account?, Class::of(method)?);
        let messages = u32::try_from(methods::random_ids(body).len()).unwrap_or(u32::MAX);
        let asked = Asked {
            account,
            class,
            chat: methods::target(account, body),
            units: messages.max(1),
        };
        let before = limits.met().get(&account).map_or(0, |met| met.inside);
        let refusal = limits.ask(Timestamp::now().0, asked).err()?;
        if limits.met().get(&account).is_some_and(|met| met.inside > before) {
            tracing::warn!(account, method, refused = %refusal.name, "a call came inside a wait");
        }
        Some(refusal)
    }
}
