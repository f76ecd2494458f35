//! Refusals of the service's own: limits on speed, which are asked before a call is carried out, and the code of what the
//! world refuses.

use std::sync::PoisonError;

use grammers_tl_types::{Serializable, enums, types};
use serde_json::{Value, json};

use super::Telegram;
use crate::base::Timestamp;
use crate::sandbox::limits::{Asked, Class, Limits};
use crate::sandbox::methods;
use crate::sandbox::rpc::Call;
use crate::sandbox::world::{Refusal, State};

/// Refusals that Telegram documents with both codes. CHANNEL_PRIVATE has a rule of its own.
const BOTH: [&str; 4] = [
    "CHAT_FORWARDS_RESTRICTED",
    "PEER_ID_INVALID",
    "TOPIC_CLOSED",
    "TOPIC_DELETED",
];

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

    /// Some refusals come as 406 now and then: the client shows what it is told besides, and not the name.
    pub(super) fn show_instead(&self, state: &State, call: &Call, refusal: &mut Refusal) {
        let both = refusal.code == 400 && BOTH.contains(&refusal.name.as_ref());
        let drawn = || state.derive(91, state.now, call.key.0) & 1 == 0;
        if !both || !drawn() || !state.switches.refused_as_406.decides() {
            return;
        }
        refusal.code = 406;
        let told = types::UpdateServiceNotification {
            popup: true,
            invert_media: false,
            inbox_date: None,
            r#type: refusal.name.to_string(),
            message: "Sorry, this is not possible.".to_owned(),
            media: enums::MessageMedia::Empty,
            entities: Vec::new(),
        };
        let told: enums::Updates = types::UpdateShort {
            update: told.into(),
            date: state.date(),
        }
        .into();
        self.inner.hub.push(call.key, told.to_bytes());
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
