//! Dashboard, alert rules and runbook name what there is: metrics, labels, incident kinds, alerts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::stage::Stage;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect("a readable file")
}

/// Every source of the program, in one text.
fn sources() -> String {
    fn collect(folder: PathBuf, into: &mut String) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                collect(path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push_str(&std::fs::read_to_string(path).expect("a source"));
            }
        }
    }
    let mut text = String::new();
    collect(root().join("src"), &mut text);
    text
}

/// The words that begin with one of the prefixes of metrics.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("trunkline_") || word.starts_with("process_"))
        .map(|word| {
            let bare = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|end| word.strip_suffix(end));
            bare.unwrap_or(word).to_owned()
        })
        .collect()
}

/// The metrics that the sources record.
fn recorded() -> BTreeSet<String> {
    let text = sources();
    let quoted = text.split('"').filter(|part| {
        ["trunkline_", "process_"]
            .iter()
            .any(|start| part.starts_with(start))
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    });
    let made_for_tests = ["trunkline_test_seconds"];
    quoted
        .filter(|name| !made_for_tests.contains(name))
        .map(str::to_owned)
        .collect()
}

fn expressions() -> (String, String) {
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("config/dashboard.json")).expect("valid JSON");
    let targets = dashboard["panels"]
        .as_array()
        .expect("panels")
        .iter()
        .flat_map(|panel| {
            panel["targets"]
                .as_array()
                .expect("targets")
                .iter()
                .map(|target| {
                    let expression = target["expr"].as_str().expect("an expression");
                    format!("{expression}\n")
                })
        });
    (targets.collect(), read("config/alerts.yml"))
}

#[test]
fn what_dashboard_rules_and_runbook_name_is_recorded_and_what_is_recorded_is_documented() {
    let recorded = recorded();
    assert!(
        recorded.contains("trunkline_sessions"),
        "the sources are read rightly"
    );
    let (dashboard, alerts) = expressions();
    let runbook = read("docs/runbook.md");
    for (place, text) in [
        ("dashboard", &dashboard),
        ("alerts", &alerts),
        ("runbook", &runbook),
    ] {
        let unknown: Vec<_> = metrics_in(text).difference(&recorded).cloned().collect();
        assert!(
            unknown.is_empty(),
            "the {place} names {unknown:?}, which nothing records"
        );
    }
    let silent: Vec<_> = recorded.difference(&metrics_in(&runbook)).cloned().collect();
    assert!(silent.is_empty(), "docs/runbook.md does not tell of {silent:?}");
}

#[test]
fn every_alert_and_every_incident_has_its_place_in_the_runbook() {
    let runbook = read("docs/runbook.md");
    let alerts = read("config/alerts.yml");
    let named: Vec<_> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(named.len() > 10);
    for alert in named {
        assert!(
            runbook.contains(&format!("\n### {alert}\n")),
            "the runbook lacks {alert}"
        );
        let link = format!("runbook_url: docs/runbook.md#{}\n", alert.to_lowercase());
        assert!(alerts.contains(&link), "{alert} does not link to its place");
    }
    // Kinds are constants of the domains: `const NAME: &str = "subject_what"`, in files that open incidents.
    let text = sources();
    let kinds = text.split("const ").skip(1).filter_map(|rest| {
        let (name, value) = rest.split_once(": &str = \"")?;
        let constant = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        let (value, _) = value.split_once('"')?;
        let opened = text.contains(&format!("open({name}, ")) || text.contains(&format!(".open({name},"));
        (constant && opened).then_some(value)
    });
    let kinds: BTreeSet<_> = kinds.chain(["session_quarantined", "session_ended"]).collect();
    assert!(
        kinds.contains("pair_held"),
        "the sources are read rightly: {kinds:?}"
    );
    for kind in kinds {
        assert!(
            runbook.contains(&format!("| `{kind}` |")),
            "the runbook lacks the incident {kind}"
        );
    }
}

/// `name{label="value"` as a rule writes it, and as Prometheus' text shows it: both begin the same.
#[tokio::test]
async fn a_fresh_daemon_shows_each_series_that_a_rule_waits_for() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let address = daemon.metrics_address().expect("metrics are served");
    let wanted = [
        "trunkline_health{check=\"store\"} ",
        "trunkline_incidents_open ",
        "trunkline_restarts_total{supervisor=\"root\"} ",
        "trunkline_sessions{state=\"transient_disconnect\"} ",
        "trunkline_sessions{state=\"bad_credentials\"} ",
        "trunkline_sessions{state=\"banned\"} ",
        "trunkline_sessions{state=\"quarantined\"} ",
        "trunkline_flood_waits_total{class=\"peer_flood\"} ",
        "trunkline_budget_warnings_total{budget=\"account\",window=\"hour\",spent=\"all\"} ",
        "trunkline_lane_oldest_age_seconds{kind=",
        "trunkline_forwards_total{outcome=\"discarded\"} ",
        "trunkline_webhook_deliveries_total{outcome=\"exhausted\"} ",
        "trunkline_store_rows_quarantined_total{table=\"sessions\"} ",
        "trunkline_store_rows_unreadable_total ",
        "trunkline_http_turned_away_total{why=\"all\"} ",
        "process_open_fds ",
        "process_max_fds ",
    ];
    let began = Instant::now();
    loop {
        let answer = reqwest::get(format!("http://{address}/metrics"))
            .await
            .expect("an answer");
        let text = answer.text().await.expect("a text");
        let missing: Vec<_> = wanted.iter().filter(|series| !text.contains(**series)).collect();
        if missing.is_empty() {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{missing:?} not in\n{text}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    daemon.stop(Duration::from_secs(10)).await;
}
