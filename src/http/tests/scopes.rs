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
        answer.status().as_u16()
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
