//! The table of routes: every route of the daemon, a chapter a resource.

use super::route::Route;
use super::routes;

/// Every route.
pub fn table() -> Vec<Route> {
    let chapters = [
        routes::sessions::routes(),
        routes::login::routes(),
        routes::messages::routes(),
        routes::rotation::routes(),
        routes::agent_login::routes(),
        routes::agent::routes(),
        routes::agent_media::routes(),
        routes::agent_archive::routes(),
        routes::pairs::routes(),
        routes::endpoints::routes(),
        routes::deliveries::routes(),
        routes::dead_letters::routes(),
        routes::keys::routes(),
        routes::admin::routes(),
        routes::session_health::routes(),
        routes::pool::routes(),
        routes::monitoring::routes(),
        routes::ws::routes(),
        routes::health::routes(),
    ];
    chapters.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::base::Code;
    use crate::http::openapi::{document, path_parameters};
    use crate::http::router::Router;

    #[test]
    fn every_row_is_found_by_its_own_path() {
        let routes = table();
        let router = Router::new(routes.clone()).expect("rows are distinct");
        for route in &routes {
            let path = route.path.replace(['{', '}'], "");
            let found = router
                .find(&route.method, &path)
                .unwrap_or_else(|_| panic!("{path}"));
            assert_eq!(found.route.path, route.path);
            assert_eq!(found.params.len(), path_parameters(route.path).count());
        }
        assert_eq!(
            router.find(&hyper::Method::GET, "/nothing").err().map(|f| f.code),
            Some(Code::NotFound)
        );
        let wrong = router
            .find(&hyper::Method::DELETE, "/health")
            .err()
            .expect("not there");
        assert_eq!(
            (wrong.code, wrong.allow.as_deref()),
            (Code::MethodNotAllowed, Some("GET"))
        );
    }

    #[test]
    fn the_document_says_what_the_table_says() {
        let routes = table();
        let document = document(&routes);
        let paths = document["paths"].as_object().expect("paths");
        let mut operations = BTreeSet::new();
        for route in &routes {
            let method = route.method.as_str().to_ascii_lowercase();
            let operation = &paths[route.path][&method];
            assert_eq!(operation["summary"], route.summary);
            assert_eq!(
                operation["x-scope"].as_str(),
                route.scope.map(|scope| scope.as_str())
            );
            assert_eq!(operation["security"].is_array(), route.scope.is_none());
            assert!(operation["responses"][route.status.as_str()].is_object());
            assert!(
                operations.insert(operation["operationId"].to_string()),
                "{}",
                route.path
            );
            let named = |place: &str| -> BTreeSet<String> {
                let parameters = operation["parameters"].as_array().expect("parameters");
                parameters
                    .iter()
                    .filter(|parameter| parameter["in"] == place)
                    .filter_map(|parameter| parameter["name"].as_str().map(str::to_owned))
                    .collect()
            };
            assert_eq!(
                named("path"),
                path_parameters(route.path).map(str::to_owned).collect()
            );
            assert_eq!(named("query").is_empty(), route.query.is_none(), "{}", route.path);
        }
        let rows: usize = paths
            .values()
            .filter_map(Value::as_object)
            .map(|methods| methods.len())
            .sum();
        assert_eq!(rows, routes.len());
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = document(&table());
        let mut open = vec![&document];
        while let Some(value) = open.pop() {
            match value {
                Value::Array(items) => open.extend(items),
                Value::Object(fields) => {
                    if let Some(Value::String(target)) = fields.get("$ref") {
                        let pointer = target.trim_start_matches('#');
                        assert!(document.pointer(pointer).is_some(), "{target}");
                    }
                    open.extend(fields.values());
                }
                _ => {}
            }
        }
        // Two types of one name would get a number each.
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        for name in schemas.keys() {
            assert!(!name.ends_with(|letter: char| letter.is_ascii_digit()), "{name}");
        }
        let codes = &document["components"]["schemas"]["ErrorCode"]["enum"];
        assert_eq!(codes.as_array().map(Vec::len), Some(Code::ALL.len()));
    }
}
