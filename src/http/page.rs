//! Lists: `?limit=` and `?cursor=` in, items and the next cursor out.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// No list is longer.
pub const LONGEST: usize = 200;

/// How long a list is when nothing is said.
const USUAL: usize = 50;

/// Which part of a list is asked for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// How many items at most, 50 if nothing is said.
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page; null if there is none.
    #[schemars(required)]
    pub next: Option<String>,
}

/// The limit that was asked for, if it is allowed.
pub fn limit(asked: Option<usize>) -> Result<usize, Failure> {
    match asked.unwrap_or(USUAL) {
        count @ 1..=LONGEST => Ok(count),
        _ => Err(Failure::invalid(format!("limit must be 1 to {LONGEST}")).detail("field", "limit")),
    }
}

/// The cursor that was given, if it is one of this list.
pub fn cursor<T: FromStr>(given: Option<&str>) -> Result<Option<T>, Failure> {
    let parsed = given.map(str::parse).transpose();
    parsed.map_err(|_| Failure::invalid("this is no cursor of this list").detail("field", "cursor"))
}

impl PageQuery {
    /// The cursor, as the list's own.
    pub fn cursor_as<T: FromStr>(&self) -> Result<Option<T>, Failure> {
        cursor(self.cursor.as_deref())
    }

    /// The limit that was asked for, if it is allowed.
    pub fn limit(&self) -> Result<usize, Failure> {
        limit(self.limit)
    }

    /// Cuts a page out of a list sorted by `key`: what comes after the cursor, up to the limit.
    pub fn cut<T, K: Ord + FromStr + ToString>(
        &self,
        items: Vec<T>,
        key: impl Fn(&T) -> K,
    ) -> Result<Page<T>, Failure> {
        let (limit, cursor) = (self.limit()?, self.cursor_as::<K>()?);
        let mut rest = items
            .into_iter()
            .filter(|item| cursor.as_ref().is_none_or(|cursor| key(item) > *cursor));
        let items: Vec<T> = rest.by_ref().take(limit).collect();
        let more = rest.next().is_some();
        let next = items.last().filter(|_| more).map(|last| key(last).to_string());
        Ok(Page { items, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_to_the_whole_list() {
        let all: Vec<u32> = (10..31).collect();
        let mut query = PageQuery {
            limit: Some(7),
            cursor: None,
        };
        let mut seen = Vec::new();
        loop {
            let page = query.cut(all.clone(), |item| *item).expect("allowed");
            seen.extend(page.items);
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, all);
        query.cursor = Some("of another list".to_owned());
        assert!(query.cut(all, |item| *item).is_err());
    }

    #[test]
    fn a_limit_of_none_or_too_many_is_refused() {
        for asked in [0, 201] {
            assert!(limit(Some(asked)).is_err());
        }
        assert!(matches!(limit(Some(200)), Ok(200)));
    }
}
