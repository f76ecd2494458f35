//! Every route of the daemon, asked by those who may not: refused before anything of the request is believed.

use http_body_util::Full;
use hyper::Request;

use super::*;
use crate::http::table::table;

const SCOPES: [Scope; 4] = [Scope::Read, Scope::Send, Scope::Manage, Scope::Admin];

#[tokio::test]
async fn no_route_answers_without_its_scope() {
    let (api, _keep) = crate::http::fixture::api();
    let api = Arc::new(api);
    let mut keys = Vec::new();
    for scope in SCOPES {
        keys.push((scope, crate::http::fixture::key(&api, scope).await));
    }
    let almost = keys[3].1[..keys[3].1.len() - 1].to_owned();
    let service = Service::new(
        api,
        Router::new(table()).expect("distinct rows"),
        HttpConfig::default(),
    );
    let ask = async |route: &Route, query: &str, body: &'static str, headers: &[(&str, &str)]| {
        let path = route.path.replace(['{', '}'], "");
        let mut request = Request::builder()
            .method(route.method.clone())
            .uri(format!("{path}{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(bytes::Bytes::from_static(body.as_bytes()));
        let answer = service.answer(request.body(body).expect("a request")).await;
        let status = answer.status().as_u16();
        let declared = crate::http::openapi::refusals(route);
        assert!(
            status < 400 || declared.contains(&status),
            "{} {}: {status}",
            route.method,
            route.path
        );
        status
    };
    let mut open = Vec::new();
    for route in table() {
        let Some(needed) = route.scope else {
            open.push(route.path);
            continue;
        };
        let bearer = format!("Bearer {almost}");
        let basic = format!("Basic {}", keys[3].1);
        let right = format!("Bearer {}", keys[3].1);
        for (query, body) in [
            ("", ""),
            ("?ticket=tlt_nothing&a=b", "{"),
            ("", r#"{"session_id":"x"}"#),
        ] {
            for nobody in [
                &[][..],
                &[("x-api-key", "")],
                &[("x-api-key", almost.as_str())],
                &[("authorization", bearer.as_str())],
                &[("authorization", basic.as_str())],
                // The key that is named first is the one that counts.
                &[("x-api-key", "wrong"), ("authorization", right.as_str())],
            ] {
                let status = ask(&route, query, body, nobody).await;
                assert_eq!(status, 401, "{} {} {nobody:?}", route.method, route.path);
            }
            for (scope, key) in keys.iter().filter(|(scope, _)| *scope < needed) {
                let status = ask(&route, query, body, &[("x-api-key", key)]).await;
                assert_eq!(status, 403, "{} {} {scope:?}", route.method, route.path);
            }
        }
        for (scope, key) in keys.iter().filter(|(scope, _)| *scope >= needed) {
            let status = ask(&route, "?no=thing", "", &[("x-api-key", key)]).await;
            assert!(
                ![401, 403].contains(&status) && status < 500,
                "{} {} {scope:?}: {status}",
                route.method,
                route.path
            );
        }
    }
    assert_eq!(open, ["/health/live", "/health/ready"]);
}

/// Every row with a body, asked with a list in each place where its schema has an object.
#[tokio::test]
async fn no_route_takes_a_record_by_position() {
    let mut tried = 0;
    for route in table() {
        let (crate::http::route::Takes::Body(describe) | crate::http::route::Takes::Optional(describe)) =
            route.takes
        else {
            continue;
        };
        let mut generator = schemars::SchemaGenerator::default();
        let schema = describe(&mut generator);
        let definitions = generator.take_definitions(true);
        let mut places = Vec::new();
        find_objects(schema.as_value(), &definitions, &mut Vec::new(), &mut places);
        for place in places {
            let body = place
                .iter()
                .rev()
                .fold(json!([1]), |inner, name| json!({ name: inner }));
            let failure = (route.handler)(body.to_string().as_bytes())
                .err()
                .unwrap_or_else(|| panic!("{} takes {body}", route.path));
            let reason = failure.details["reason"].to_string();
            assert!(reason.contains("not a list"), "{} {body}: {reason}", route.path);
            tried += 1;
        }
    }
    assert!(tried > 30, "{tried}");
}

/// The places of objects in a schema, each once, as names from the outside in.
fn find_objects(
    schema: &Value,
    definitions: &serde_json::Map<String, Value>,
    at: &mut Vec<String>,
    places: &mut Vec<Vec<String>>,
) {
    if at.len() > 3 {
        return;
    }
    if let Some(target) = schema["$ref"].as_str() {
        let name = target.rsplit('/').next().expect("a name");
        find_objects(&definitions[name], definitions, at, places);
    }
    for ways in ["anyOf", "oneOf", "allOf"] {
        for way in schema[ways].as_array().into_iter().flatten() {
            find_objects(way, definitions, at, places);
        }
    }
    let is_object = |kind: &Value| kind == "object";
    let kinds = schema["type"].as_array().map_or(&[][..], Vec::as_slice);
    if is_object(&schema["type"]) || kinds.iter().any(is_object) {
        if !places.contains(at) {
            places.push(at.clone());
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            at.push(name.clone());
            find_objects(field, definitions, at, places);
            at.pop();
        }
    }
}

/// Every list, asked with a cursor that is none.
#[tokio::test]
async fn no_list_takes_a_cursor_that_is_none() {
    let (api, _keep) = crate::http::fixture::api();
    let key = crate::http::fixture::key(&api, Scope::Admin).await;
    let api = Arc::new(api);
    let mut lists = 0;
    for route in table() {
        let schemas = route.query.map(|query| (query.describe)()).unwrap_or_default();
        let mut generator = schemars::SchemaGenerator::default();
        let is_list = schemas
            .iter()
            .any(|describe| describe(&mut generator).as_value()["properties"]["cursor"].is_object());
        if !is_list {
            continue;
        }
        lists += 1;
        // Those of a thing that is not there are asked for their form alone.
        let path = route.path.replace(['{', '}'], "");
        let needs = match route.path {
            "/api/telegram/messages" => "&session_id=x&chat_id=1",
            "/api/telegram/messages/search" => "&session_id=x&chat_id=1&query=x",
            _ => "",
        };
        let service = Service::new(
            api.clone(),
            Router::new(table()).expect("distinct rows"),
            HttpConfig::default(),
        );
        for (wrong, field) in [
            ("cursor=nonsense", "cursor"),
            ("cursor=", "cursor"),
            ("cursor=%00%F0%9F%98%80", "cursor"),
            ("cursor=inc_01jbz4c9v7q4w0y3d8f6k2m5n", "cursor"),
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=abc", "limit"),
            ("limit=-1", "limit"),
        ] {
            let request = Request::get(format!("{path}?{wrong}{needs}")).header("x-api-key", &key);
            let body = Full::new(bytes::Bytes::new());
            let answer = service.answer(request.body(body).expect("a request")).await;
            let (head, body) = answer.into_parts();
            let body = http_body_util::BodyExt::collect(body).await.expect("an answer");
            let body: Value = serde_json::from_slice(&body.to_bytes()).expect("JSON");
            let named_by_path = route.path.contains('{') || !needs.is_empty();
            if named_by_path && head.status == 404 {
                continue;
            }
            assert_eq!(head.status, 400, "{path}?{wrong}: {body}");
            assert_eq!(body["details"]["field"], field, "{path}?{wrong}: {body}");
        }
    }
    assert!(lists > 9, "{lists}");
}
