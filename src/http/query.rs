//! Queries: read strictly, into the form that a row declares.
//!
//! Each name stands once, unknown ones are refused, and a refusal names the field and never repeats the value. A list's
//! `limit` and `cursor` are read apart from its other fields, which have them in no form of their own.

use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::call::refused;
use super::failure::Failure;
use super::page::PageQuery;
use super::route::Describe;

/// What a query may hold.
pub trait Query: Sized {
    /// Reads it.
    fn read(query: &str) -> Result<Self, Failure>;

    /// Its schemas; together they describe it.
    fn describe() -> Vec<Describe>;
}

/// The query of a list: which part of it, and of what.
pub struct Paged<Q> {
    /// Which part.
    pub page: PageQuery,
    /// Of what.
    pub of: Q,
}

impl<Q: DeserializeOwned + JsonSchema> Query for Q {
    fn read(query: &str) -> Result<Self, Failure> {
        let mut names = BTreeSet::new();
        for (name, _) in url::form_urlencoded::parse(query.as_bytes()) {
            if !names.insert(name.clone()) {
                return Err(Failure::invalid(format!("{name} stands twice in the query"))
                    .detail("field", name.into_owned()));
            }
        }
        let form = serde_html_form::Deserializer::from_bytes(query.as_bytes());
        serde_path_to_error::deserialize(form).map_err(|error| refused(&error))
    }

    fn describe() -> Vec<Describe> {
        vec![schema::<Q>]
    }
}

impl<Q: DeserializeOwned + JsonSchema> Query for Paged<Q> {
    fn read(query: &str) -> Result<Self, Failure> {
        let is_page = |name: &str| matches!(name, "limit" | "cursor");
        let part = |wanted: bool| {
            let pairs = url::form_urlencoded::parse(query.as_bytes());
            let pairs = pairs.filter(|(name, _)| is_page(name) == wanted);
            url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(pairs)
                .finish()
        };
        Ok(Self {
            page: Query::read(&part(true))?,
            of: Query::read(&part(false))?,
        })
    }

    fn describe() -> Vec<Describe> {
        vec![schema::<Q>, schema::<PageQuery>]
    }
}

fn schema<Q: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    Q::json_schema(generator)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::base::Code;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Chats {
        chat_id: i64,
        words: Option<String>,
    }

    fn refusal<Q: Query>(query: &str) -> (Code, String) {
        let failure = Q::read(query).err().unwrap_or_else(|| panic!("taken: {query}"));
        (
            failure.code,
            failure.details["field"].as_str().unwrap_or_default().to_owned(),
        )
    }

    #[test]
    fn a_query_is_read_strictly_and_a_refusal_names_the_field() {
        let read: Chats = Query::read("words=a%20b&chat_id=-5").expect("fits");
        assert_eq!((read.chat_id, read.words.as_deref()), (-5, Some("a b")));
        for (wrong, field) in [
            ("chat_id=70613x", "chat_id"),
            ("chat_id=", "chat_id"),
            ("", "chat_id"),
            ("words=a", "chat_id"),
            ("chat_id=1&chat_id=1", "chat_id"),
            ("chat_id=99999999999999999999", "chat_id"),
            ("chat_id=1&word=a", "word"),
        ] {
            assert_eq!(
                refusal::<Chats>(wrong),
                (Code::InvalidRequest, field.to_owned()),
                "{wrong}"
            );
        }
        let told = Chats::read("chat_id=70613x").expect_err("no number");
        assert!(!told.details["reason"].to_string().contains("70613"));
    }

    #[test]
    fn a_list_has_its_part_and_its_filter() {
        let read: Paged<Chats> = Query::read("limit=5&chat_id=1&cursor=a%26b").expect("fits");
        assert_eq!((read.page.limit, read.of.chat_id), (Some(5), 1));
        assert_eq!(read.page.cursor.as_deref(), Some("a&b"));
        for (wrong, field) in [
            ("chat_id=1&limit=x", "limit"),
            ("chat_id=1&limit=-1", "limit"),
            ("chat_id=1&limit=1&limit=2", "limit"),
            ("limit=1", "chat_id"),
            ("chat_id=1&lim=1", "lim"),
        ] {
            assert_eq!(refusal::<Paged<Chats>>(wrong).1, field, "{wrong}");
        }
    }
}
