//! Where a body's form has objects, a body has objects.
//!
//! Records are read from lists too, their fields in order: fields that are refused by name would pass by place, and a
//! new field between two others would change what callers say. So lists are only taken where the schema has lists. All
//! else that may be wrong with a body is found when it is read.

use schemars::JsonSchema;
use serde_json::Value;

use super::body::meaning;
use super::failure::Failure;

/// The schema of a body.
pub struct Shape(Value);

/// Why a value does not fit a schema.
struct Misfit {
    path: String,
    /// Whether it is a list in the place of an object.
    is_list: bool,
}

impl Shape {
    /// The form of a type.
    pub fn of<B: JsonSchema>() -> Self {
        Self(schemars::schema_for!(B).into())
    }

    /// Refuses a body that has a list in the place of an object. What is no JSON is somebody else's to refuse.
    pub fn check(&self, body: &[u8]) -> Result<(), Failure> {
        let Ok(value) = serde_json::from_slice::<Value>(meaning(body)) else {
            return Ok(());
        };
        match self.fit(&self.0, &value, "") {
            Err(misfit) if misfit.is_list && !misfit.path.is_empty() => {
                let reason = format!("{} has to be an object, not a list", misfit.path);
                Err(Failure::invalid(reason).detail("field", misfit.path))
            }
            _ => Ok(()),
        }
    }

    fn fit(&self, schema: &Value, value: &Value, path: &str) -> Result<(), Misfit> {
        if let Some(target) = schema["$ref"].as_str() {
            let target = self.0.pointer(target.trim_start_matches('#'));
            if let Some(target) = target {
                self.fit(target, value, path)?;
            }
        }
        for all in schema["allOf"].as_array().into_iter().flatten() {
            self.fit(all, value, path)?;
        }
        for ways in ["anyOf", "oneOf"] {
            let mut nearest: Option<Misfit> = None;
            for way in schema[ways].as_array().into_iter().flatten() {
                match self.fit(way, value, path) {
                    Ok(()) => {
                        nearest = None;
                        break;
                    }
                    // A list is what is looked for; else the way that goes deepest is the one that was meant.
                    Err(misfit) => {
                        let nearer = nearest.as_ref().is_none_or(|known| {
                            (misfit.is_list, misfit.path.len()) > (known.is_list, known.path.len())
                        });
                        if nearer {
                            nearest = Some(misfit);
                        }
                    }
                }
            }
            if let Some(misfit) = nearest {
                return Err(misfit);
            }
        }
        match value {
            Value::Array(items) => {
                if !may_be(schema, "array") {
                    let is_list = may_be(schema, "object");
                    return Err(misfit(path, is_list));
                }
                let fitting = &schema["items"];
                for (at, item) in items.iter().enumerate() {
                    self.fit(fitting, item, &format!("{path}[{at}]"))?;
                }
            }
            Value::Object(fields) => {
                if !may_be(schema, "object") {
                    return Err(misfit(path, false));
                }
                for (name, field) in fields {
                    let known = &schema["properties"][name];
                    let fitting = if known.is_null() {
                        &schema["additionalProperties"]
                    } else {
                        known
                    };
                    let dot = if path.is_empty() { "" } else { "." };
                    self.fit(fitting, field, &format!("{path}{dot}{name}"))?;
                }
                let required = schema["required"].as_array().into_iter().flatten();
                let mut required = required.filter_map(Value::as_str);
                if !required.all(|name| fields.contains_key(name)) {
                    return Err(misfit(path, false));
                }
            }
            // Of several ways, this tells the one that is meant.
            word => {
                let others = |names: &Value| names.as_array().is_some_and(|names| !names.contains(word));
                let other = schema.get("const").is_some_and(|known| known != word);
                if other || others(&schema["enum"]) {
                    return Err(misfit(path, false));
                }
            }
        }
        Ok(())
    }
}

fn misfit(path: &str, is_list: bool) -> Misfit {
    Misfit {
        path: path.to_owned(),
        is_list,
    }
}

/// Whether a schema lets a value be of this kind; one that says nothing lets it be anything.
fn may_be(schema: &Value, kind: &str) -> bool {
    match &schema["type"] {
        Value::Null => schema.get("const").is_none() && schema.get("enum").is_none(),
        Value::Array(kinds) => kinds.iter().any(|known| known == kind),
        known => known == kind,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is asked for")]
    struct Outer {
        inner: Inner,
        maybe: Option<Inner>,
        many: Vec<Inner>,
        named: BTreeMap<String, Inner>,
        either: Either,
        tagged: Option<Tagged>,
        #[serde(flatten)]
        flat: Flat,
        anything: Value,
        words: Vec<String>,
    }

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is asked for")]
    struct Inner {
        a: u8,
        deep: Option<Box<Inner>>,
    }

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is asked for")]
    struct Flat {
        place: Option<Inner>,
    }

    #[derive(JsonSchema)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code, reason = "only its schema is asked for")]
    enum Either {
        One(Inner),
        List(Vec<u8>),
    }

    #[derive(JsonSchema)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    #[allow(dead_code, reason = "only its schema is asked for")]
    enum Tagged {
        First { inner: Inner },
        Second,
    }

    #[test]
    fn a_list_in_the_place_of_an_object_is_refused_wherever_it_is() {
        let shape = Shape::of::<Outer>();
        let refused = |body: &str| {
            let failure = shape.check(body.as_bytes()).err()?;
            Some(failure.details["field"].as_str().expect("a field").to_owned())
        };
        for (body, field) in [
            (r#"{"inner":[1]}"#, "inner"),
            (r#"{"inner":{"deep":[1]}}"#, "inner.deep"),
            (
                r#"{"inner":{"deep":{"deep":{"deep":[]}}}}"#,
                "inner.deep.deep.deep",
            ),
            (r#"{"maybe":[1,null]}"#, "maybe"),
            (r#"{"maybe":{"deep":[1]}}"#, "maybe.deep"),
            (r#"{"many":[{"a":1},[1]]}"#, "many[1]"),
            (r#"{"named":{"x":[1]}}"#, "named.x"),
            (r#"{"either":{"one":[1]}}"#, "either.one"),
            (r#"{"tagged":{"kind":"first","inner":[1]}}"#, "tagged.inner"),
            (r#"{"place":[1]}"#, "place"),
        ] {
            assert_eq!(refused(body).as_deref(), Some(field), "{body}");
        }
        for body in [
            r#"{"inner":{"a":1,"deep":null},"maybe":null,"many":[],"named":{},"words":["a"]}"#,
            r#"{"either":{"list":[1,2]},"tagged":{"kind":"second"},"anything":[[{"a":[1]}]]}"#,
            r#"{"inner":3,"maybe":"x","unknown":[1]}"#,
            "",
            "{",
            "[1]",
        ] {
            assert_eq!(refused(body), None, "{body}");
        }
    }
}
