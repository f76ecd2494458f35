//! The OpenAPI 3.1 document, made from the table of routes and from nothing else.

use std::collections::BTreeSet;

use hyper::Method;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::answer::JSON;
use super::binding::Binding;
use super::failure::status;
use super::route::{Route, Takes};
use crate::base::{Category, Code};

/// The content type of forms.
const FORM: &str = "multipart/form-data";

/// The licence, as the package names it.
const LICENCE: &str = env!("CARGO_PKG_LICENSE");

/// The document of a table.
pub fn document(routes: &[Route]) -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    // A field with a default may be left out of a request, and always stands in an answer.
    let mut asked = settings().for_deserialize().into_generator();
    let mut answered = settings().for_serialize().into_generator();
    let category = answered.subschema_for::<Category>();

    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
        let operation = operation(route, &mut asked, &mut answered);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(route.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    let mut schemas = asked.take_definitions(true);
    schemas.extend(answered.take_definitions(true));
    schemas.insert("Error".to_owned(), error_schema(&category));
    schemas.insert("ErrorCode".to_owned(), code_schema());
    let tags: BTreeSet<_> = routes.iter().map(|route| route.tag).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "trunkline control API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": LICENCE, "identifier": LICENCE},
            "description": "Keeps Telegram user sessions alive and puts them to work. Scopes are ordered: \
                read, send, manage, admin; each includes those before it. Unknown fields are refused. \
                Every error has the form `Error`; `X-Request-Id` is taken or made, and answered.",
        },
        "servers": [{"url": "http://127.0.0.1:8000"}],
        "security": [{"key": []}, {"bearer": []}],
        "tags": tags.into_iter().map(|tag| json!({"name": tag})).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "responses": error_responses(),
        },
    })
}

fn operation(route: &Route, asked: &mut SchemaGenerator, answered: &mut SchemaGenerator) -> Value {
    let (content, schema) = (route.answer)(answered);
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": parameters(route, asked),
        "responses": {
            route.status.as_str(): {
                "description": "Success",
                "content": {content: {"schema": schema}},
            },
            "default": {"$ref": "#/components/responses/Error"},
        },
    });
    for status in refusals(route) {
        let target = format!("#/components/responses/Error{status}");
        operation["responses"][status.to_string()] = json!({"$ref": target});
    }
    let Some(fields) = operation.as_object_mut() else {
        return operation;
    };
    if !route.audits.is_empty() {
        fields.insert("x-audited".to_owned(), json!(route.audits));
    }
    match route.scope {
        Some(scope) => {
            fields.insert("x-scope".to_owned(), scope.as_str().into());
            let text = format!("Needs the scope `{}`.", scope.as_str());
            fields.insert("description".to_owned(), text.into());
        }
        None => {
            fields.insert("security".to_owned(), json!([]));
        }
    }
    fields.insert("x-sessions".to_owned(), route.binding.as_str().into());
    if let Some(limit) = route.within {
        fields.insert("x-deadline-seconds".to_owned(), limit.as_secs().into());
    }
    if !route.reveals.is_empty() {
        let text = format!(
            "A repeat under the same Idempotency-Key: the same object without {}, and with `secret_shown`.",
            route.reveals.join(", ")
        );
        let shown = json!({"type": "object", "properties": {"secret_shown": {"const": true}}});
        let ok = &mut fields["responses"]["200"];
        match ok {
            // What a first answer of the same status looks like is told already.
            Value::Object(ok) => drop(ok.insert("description".to_owned(), text.into())),
            ok => *ok = json!({"description": text, "content": {JSON: {"schema": shown}}}),
        }
    }
    let body = match route.takes {
        Takes::Nothing => None,
        Takes::Body(describe) => Some((true, describe)),
        Takes::Optional(describe) => Some((false, describe)),
    };
    if let Some((required, describe)) = body {
        let schema = describe(asked);
        let mut content = json!({JSON: {"schema": schema}});
        if route.form {
            content[FORM] = content[JSON].clone();
        }
        fields.insert(
            "requestBody".to_owned(),
            json!({"required": required, "content": content}),
        );
    }
    operation
}

/// What dispatch itself may refuse a request of a row with; what its domain refuses comes besides.
pub fn refusals(route: &Route) -> BTreeSet<u16> {
    let mut codes = vec![
        Code::InvalidRequest,
        Code::TooBusy,
        Code::Unavailable,
        Code::StoreUnavailable,
        Code::Internal,
        // A body is read whatever the method.
        Code::BodyTooLarge,
        Code::UnsupportedMediaType,
        Code::RequestTimeout,
    ];
    if route.scope.is_some() {
        codes.extend([Code::Unauthorized, Code::Forbidden]);
        if route.method == Method::POST {
            codes.extend([
                Code::IdempotencyMismatch,
                Code::IdempotencyInProgress,
                Code::RateLimited,
            ]);
        }
    }
    let names_session = matches!(
        route.binding,
        Binding::Path(_) | Binding::Query | Binding::Chosen | Binding::Body
    );
    if names_session {
        // A session that ended with its login is told so.
        codes.extend([Code::NotFound, Code::LoginExpired, Code::AnotherAccount]);
    } else if route.binding != Binding::Nothing {
        codes.push(Code::NotFound);
    }
    codes.into_iter().map(|code| status(code).as_u16()).collect()
}

/// The responses of errors: one of each status, and one of any.
fn error_responses() -> Value {
    let content = json!({JSON: {"schema": {"$ref": "#/components/schemas/Error"}}});
    let any = "It failed; the code says why. Every 429 and 503 carries Retry-After.";
    let mut responses = json!({"Error": {"description": any, "content": content}});
    let statuses: BTreeSet<u16> = Code::ALL.iter().map(|code| status(*code).as_u16()).collect();
    for number in statuses {
        let codes: Vec<_> = Code::ALL
            .iter()
            .filter(|code| status(**code).as_u16() == number)
            .map(|code| code.as_str())
            .collect();
        responses[format!("Error{number}")] = json!({"description": codes.join(", "), "content": content});
    }
    responses
}

/// Method and words of the path: `post_sessions_id_start`.
fn operation_id(route: &Route) -> String {
    let mut words = vec![route.method.as_str().to_ascii_lowercase()];
    words.extend(
        route
            .path
            .split(['/', '{', '}', '-', '.'])
            .filter(|word| !word.is_empty() && *word != "api")
            .map(str::to_owned),
    );
    words.join("_")
}

fn parameters(route: &Route, asked: &mut SchemaGenerator) -> Vec<Value> {
    let mut parameters: Vec<Value> = path_parameters(route.path)
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    if let Some(query) = route.query {
        let schemas = (query.describe)();
        parameters.extend(
            schemas
                .iter()
                .flat_map(|describe| query_parameters(&describe(asked))),
        );
    }
    if route.method == Method::POST && route.scope.is_some() {
        parameters.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": false,
            "description": "A name of the caller's for this request: up to 255 visible ASCII characters. The same \
                request under the same name within a day has one effect and one answer, which is given again with \
                `Idempotent-Replayed: true`.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        }));
    }
    parameters
}

/// The names in braces.
pub fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn query_parameters(schema: &Schema) -> Vec<Value> {
    let required: BTreeSet<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    properties
        .iter()
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            let mut parameter = json!({
                "name": name,
                "in": "query",
                "required": required.contains(name.as_str()),
            });
            if let (Some(fields), Some(parameter)) = (schema.as_object_mut(), parameter.as_object_mut()) {
                if let Some(text) = fields.remove("description") {
                    parameter.insert("description".to_owned(), text);
                }
                // Left out, never null: a query has no null.
                if let Some(Value::Array(kinds)) = fields.get("type")
                    && let Some(kind) = kinds.first().cloned()
                {
                    fields.insert("type".to_owned(), kind);
                }
                fields.remove("default");
                parameter.insert("schema".to_owned(), schema);
            }
            parameter
        })
        .collect()
}

fn error_schema(category: &Schema) -> Value {
    json!({
        "type": "object",
        "description": "Every error of the daemon. `error` and `message` are the same text, in the \
            language that Accept-Language asks for (en, fa).",
        "required": ["success", "error", "message", "code", "category", "details", "request_id"],
        "properties": {
            "success": {"const": false},
            "error": {"type": "string"},
            "message": {"type": "string"},
            "code": {"$ref": "#/components/schemas/ErrorCode"},
            "category": category,
            "details": {"type": "object", "description": "What is known beyond the code."},
            "request_id": {"type": "string"},
            "retry_after": {"type": "integer", "description": "Seconds, as in Retry-After."},
        },
    })
}

fn code_schema() -> Value {
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let statuses: Map<String, Value> = Code::ALL
        .iter()
        .map(|code| (code.as_str().to_owned(), status(*code).as_u16().into()))
        .collect();
    json!({
        "type": "string",
        "description": "The one list of stable codes; `x-status` names the status of each.",
        "enum": codes,
        "x-status": statuses,
    })
}
