//! How the parts are, for `/health`; and their gauges, for Prometheus.

use std::time::Duration;

use crate::http::{Check, Checks, Status};
use crate::model::SessionState;
use crate::store::Condition;

use super::daemon::Handles;

/// What `/health` asks.
pub(super) fn checks(handles: &Handles) -> Checks {
    let store = handles.store.clone();
    let telegram = handles.telegram.clone();
    let webhooks = handles.webhooks.clone();
    let exporting = handles.store.clone();
    Checks::default()
        .with("store", move || stored(store.condition()))
        .with("exports", move || exported(exporting.export_hangs()))
        .with("telegram", move || sessions(&telegram.states()))
        .with("webhooks", move || match webhooks.condition() {
            Ok((active, failing)) => endpoints(active, failing),
            Err(error) => Check::not_ok(Status::Degraded, error.to_string()),
        })
}

/// A store that takes no commits fails the daemon; one that is slow or serves only a part degrades it.
fn stored(condition: Condition) -> Check {
    match condition {
        Condition::Well => Check::ok(),
        Condition::Slow(took) => Check::not_ok(
            Status::Degraded,
            format!("the disk is slow: a sync took {} s", took.as_secs()),
        ),
        Condition::Damaged(what) => Check::not_ok(
            Status::Degraded,
            format!("a page is damaged, the rest is served: {what}"),
        ),
        Condition::Trouble(trouble) => {
            let detail = format!("takes no commits ({}): {}", trouble.kind.as_str(), trouble.why);
            Check::not_ok(Status::Failing, detail)
        }
        Condition::Closed => Check::not_ok(Status::Failing, "not open"),
    }
}

/// A folder of exports that hangs harms nothing yet: there is no newer copy to come back to.
fn exported(hangs: Option<Duration>) -> Check {
    match hangs {
        None => Check::ok(),
        Some(took) => Check::not_ok(
            Status::Degraded,
            format!("the folder of exports has taken nothing for {} s", took.as_secs()),
        ),
    }
}

/// Sessions that should be connected and are not make the daemon degraded.
fn sessions(states: &[(SessionState, usize)]) -> Check {
    let count = |wanted: fn(SessionState) -> bool| {
        states
            .iter()
            .filter(|(state, _)| wanted(*state))
            .map(|(_, count)| count)
            .sum::<usize>()
    };
    let away = count(|state| state == SessionState::TransientDisconnect);
    let quarantined = count(|state| state == SessionState::Quarantined);
    let connected = count(SessionState::is_connected);
    if away + quarantined == 0 {
        return Check::ok();
    }
    let detail = format!("{connected} connected, {away} away, {quarantined} quarantined");
    Check::not_ok(Status::Degraded, detail)
}

/// Endpoints that have only failed of late make the daemon degraded.
fn endpoints(active: usize, failing: usize) -> Check {
    match failing {
        0 => Check::ok(),
        _ => Check::not_ok(Status::Degraded, format!("{failing} of {active} endpoints fail")),
    }
}

/// Gauges that are looked at every few seconds.
pub(super) fn gauges(handles: &Handles, checks: &Checks) {
    for (name, check) in checks.report().checks {
        let value = match check.status {
            Status::Ok => 1.0,
            Status::Degraded => 0.5,
            Status::Failing => 0.0,
        };
        metrics::gauge!("trunkline_health", "check" => name).set(value);
    }
    handles.incidents.measure();
    let takes = !matches!(
        handles.store.condition(),
        Condition::Trouble(_) | Condition::Closed
    );
    metrics::gauge!("trunkline_store_up").set(f64::from(takes));
    metrics::gauge!("trunkline_store_syncing_seconds").set(handles.store.syncing().as_secs_f64());
    let hangs = handles.store.export_hangs().unwrap_or_default();
    metrics::gauge!("trunkline_store_export_hangs_seconds").set(hangs.as_secs_f64());
    let lag = handles.telegram.poll_lag().unwrap_or_default();
    metrics::gauge!("trunkline_poll_lag_seconds").set(lag.as_secs_f64());
    for (state, count) in handles.telegram.states() {
        metrics::gauge!("trunkline_sessions", "state" => state.as_str()).set(count as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_are_away_degrade_the_whole() {
        let fine = [(SessionState::Connected, 3), (SessionState::Stopped, 1)];
        assert_eq!(sessions(&fine).status, Status::Ok);
        let away = [
            (SessionState::Connected, 3),
            (SessionState::TransientDisconnect, 1),
        ];
        assert_eq!(sessions(&away).status, Status::Degraded);
    }
}
