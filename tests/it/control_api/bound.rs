//! Every route of the daemon, asked with a key that is bound to one session: by what is its own, and by what is not.

use reqwest::Method;
use serde_json::{Value, json};
use trunkline::access::Scope;
use trunkline::base::SessionId;
use trunkline::http::binding::Binding;
use trunkline::http::route::Route;
use trunkline::http::table::table;
use trunkline::model::ChatId;

use super::caller::{Answer, Caller, answer, id};
use crate::stage::Stage;

/// What a request may be about.
#[derive(Clone)]
struct Things {
    session: SessionId,
    agent: i64,
    pair: String,
    endpoint: String,
    delivery: String,
}

/// A body that names a session, for every route that has its session there.
fn body(route: &Route, things: &Things) -> Option<Value> {
    let session = things.session;
    let place = json!({"session": session, "chat": 1});
    Some(match (route.method.as_str(), route.path) {
        ("POST", "/api/telegram/disconnect") => json!({"session_id": session}),
        ("POST", "/api/telegram/send-message") => {
            json!({"session_id": session, "chat_id": 1, "message": "x"})
        }
        ("POST", "/api/telegram/send-media") => {
            json!({"session_id": session, "chat_id": 1, "kind": "document", "file": "eA=="})
        }
        ("POST", "/api/telegram/verify-code") => json!({"session_id": session, "code": "1"}),
        ("POST", "/api/telegram/verify-password") => json!({"session_id": session, "password": "x"}),
        ("POST", "/api/telegram/request-code") => json!({"session_id": session, "phone": "+989120000001"}),
        ("POST", "/api/telegram/request-qr") => json!({"agent_id": things.agent}),
        ("POST", "/api/pairs") => json!({"source": place, "destination": place}),
        ("POST", "/api/webhooks/endpoints") => json!({"url": "https://1.1.1.1/", "sessions": [session]}),
        ("POST", "/api/sessions/{id}/login/code") => json!({"code": "1"}),
        ("POST", "/api/sessions/{id}/login/password") => json!({"password": "x"}),
        ("POST", "/api/sessions/{id}/messages") => json!({"chat": 1, "text": "x"}),
        ("POST", "/api/sessions/{id}/export") => json!({"form": "telethon"}),
        ("POST", "/api/webhooks/endpoints/{id}/recover") => json!({"since": "2026-01-01T00:00:00Z"}),
        _ => return None,
    })
}

/// Asks a route about these things.
async fn ask(caller: &Caller, route: &Route, things: &Things) -> Answer {
    let object = match route.binding {
        Binding::Pair => things.pair.clone(),
        Binding::Endpoint => things.endpoint.clone(),
        Binding::Delivery => things.delivery.clone(),
        _ => things.session.to_string(),
    };
    let mut path = route.path.replace("{user_id}", "1");
    for parameter in ["{id}", "{session_id}"] {
        path = path.replace(parameter, &object);
    }
    if matches!(route.binding, Binding::Query | Binding::Chosen) {
        path = format!("{path}?session_id={}", things.session);
        if path.contains("/messages") {
            path.push_str("&chat_id=1");
        }
        if path.contains("/search") {
            path.push_str("&query=x");
        }
    }
    let body = body(route, things);
    assert!(
        body.is_some() || route.binding != Binding::Body,
        "say how to ask {}",
        route.path
    );
    let method = Method::from_bytes(route.method.as_str().as_bytes()).expect("a method");
    let has_body = !matches!(method.as_str(), "GET" | "DELETE");
    let mut request = caller.request(method, &path);
    if has_body {
        request = request.json(&body.unwrap_or_else(|| json!({})));
    }
    answer(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_key_reaches_by_no_route_what_is_not_its_own() {
    let stage = Stage::new().await;
    let daemon = stage.daemon().await;
    let admin = Caller::new(&daemon, Scope::Admin, None).await;
    let mut sessions = Vec::new();
    for (agent, phone) in [(1, "+989120000001"), (2, "+989120000002")] {
        let user = stage.user(phone, "Ann");
        let channel = |title: &str| {
            stage.world.world(|world| {
                world
                    .add_channel(None, user, title, true, &[])
                    .expect("a channel")
            })
        };
        let chats = [channel("News"), channel("Copies")].map(ChatId::channel);
        let session = stage.log_in(&daemon, phone).await;
        let path = format!("/api/sessions/{session}");
        admin.patch(&path, json!({"agent_id": agent})).await.ok();
        sessions.push((session, chats));
    }
    let [(own, own_chats), (foreign, foreign_chats)] = sessions[..] else {
        unreachable!()
    };
    let pair = async |source: (SessionId, ChatId), destination: (SessionId, ChatId)| {
        let place = |(session, chat): (SessionId, ChatId)| json!({"session": session, "chat": chat});
        let body = json!({"source": place(source), "destination": place(destination)});
        id(&admin.post("/api/pairs", body).await.ok())
    };
    let endpoint = async |sessions: Value| {
        let body = json!({"url": "https://1.1.1.1/", "sessions": sessions});
        let made = id(&admin.post("/api/webhooks/endpoints", body).await.ok());
        let path = format!("/api/webhooks/endpoints/{made}/send-example");
        let delivery = id(&admin.post(&path, json!({})).await.ok());
        (made, delivery)
    };
    let things = async |session: SessionId, agent: i64, pair: String, of: Value| {
        let (endpoint, delivery) = endpoint(of).await;
        Things {
            session,
            agent,
            pair,
            endpoint,
            delivery,
        }
    };
    let own_pair = pair((own, own_chats[0]), (own, own_chats[1])).await;
    let their_pair = pair((foreign, foreign_chats[0]), (foreign, foreign_chats[1])).await;
    let shared_pair = pair((own, own_chats[0]), (foreign, foreign_chats[0])).await;
    let mine = things(own, 1, own_pair, json!([own])).await;
    let not_mine = [
        things(foreign, 2, their_pair, json!([foreign])).await,
        things(foreign, 2, shared_pair, json!(["*"])).await,
    ];
    let bound = Caller::new(&daemon, Scope::Manage, Some(&[own])).await;
    let view = admin.get(&format!("/api/sessions/{foreign}")).await.ok();
    let uuid = view["session_id"].as_str().expect("a UUID").to_owned();

    let mut kinds = std::collections::BTreeSet::new();
    for route in table() {
        let what = format!("{} {}", route.method, route.path);
        kinds.insert(route.binding.as_str());
        for theirs in &not_mine {
            let got = ask(&bound, &route, theirs).await;
            assert!(got.status < 500, "{what}: {got:?}");
            let told = got.body.to_string();
            let names = [
                &uuid,
                &theirs.session.to_string(),
                &theirs.pair,
                &theirs.endpoint,
                &theirs.delivery,
            ];
            assert!(names.iter().all(|name| !told.contains(*name)), "{what}: {told}");
            let is_list = route.method == Method::GET.as_str();
            match route.binding {
                Binding::Nothing => {}
                // No connection of the test's is upgraded.
                Binding::Own if is_list && route.path == "/ws" => {}
                Binding::Own if is_list || body(&route, theirs).is_none() => {
                    assert_eq!(got.status, 200, "{what}: {got:?}");
                }
                _ if route.scope > Some(Scope::Manage) => {
                    assert_eq!(got.refusal(), (403, "FORBIDDEN"), "{what}");
                }
                Binding::Unbound => assert_eq!(got.refusal(), (403, "FORBIDDEN"), "{what}"),
                _ => assert_eq!(got.refusal(), (404, "NOT_FOUND"), "{what}"),
            }
        }
        let looks = route.method == Method::GET.as_str() && route.path != "/ws";
        if looks && route.scope <= Some(Scope::Manage) && route.binding != Binding::Unbound {
            let got = ask(&bound, &route, &mine).await;
            assert!(![401, 403, 404].contains(&got.status), "{what}: {got:?}");
        }
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    let after = admin.get(&format!("/api/sessions/{foreign}")).await.ok();
    assert_eq!(
        (&after["state"], &after["wanted"]),
        (&view["state"], &view["wanted"])
    );
    for theirs in &not_mine {
        let pair = admin.get(&format!("/api/pairs/{}", theirs.pair)).await.ok();
        assert_eq!(pair["state"], "running");
        let path = format!("/api/webhooks/endpoints/{}", theirs.endpoint);
        assert_eq!(admin.get(&path).await.ok()["state"], "active");
    }
}
