//! From method and path to the row of the table.

use hyper::Method;

use super::failure::Failure;
use super::route::Route;
use crate::base::Code;

/// The table, searchable.
pub struct Router {
    routes: Vec<Route>,
    paths: matchit::Router<Vec<usize>>,
}

/// What was found.
pub struct Found<'a> {
    /// The row.
    pub route: &'a Route,
    /// The parameters of the path, decoded.
    pub params: Vec<(String, String)>,
}

impl Router {
    /// A router over a table; two rows that cannot be told apart are an error of the table.
    pub fn new(routes: Vec<Route>) -> Result<Self, matchit::InsertError> {
        let mut by_path: Vec<(&'static str, Vec<usize>)> = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            match by_path.iter_mut().find(|(path, _)| *path == route.path) {
                Some((_, rows)) => rows.push(index),
                None => by_path.push((route.path, vec![index])),
            }
        }
        let mut paths = matchit::Router::new();
        for (path, rows) in by_path {
            paths.insert(path, rows)?;
        }
        Ok(Self { routes, paths })
    }

    /// The row of a request: 404 for a path that nothing has, 405 with the methods it knows.
    pub fn find(&self, method: &Method, path: &str) -> Result<Found<'_>, Failure> {
        let matched = self.paths.at(path).map_err(|_| Failure::not_found())?;
        let rows = || matched.value.iter().filter_map(|index| self.routes.get(*index));
        // hyper leaves the body of an answer to HEAD away by itself.
        let asked = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let Some(route) = rows().find(|route| route.method == asked) else {
            let mut failure = Failure::new(Code::MethodNotAllowed);
            let known: Vec<_> = rows().map(|route| route.method.as_str()).collect();
            failure.allow = Some(known.join(", "));
            return Err(failure);
        };
        let params = matched
            .params
            .iter()
            .map(|(name, value)| (name.to_owned(), decode(value)))
            .collect();
        Ok(Found { route, params })
    }
}

/// Percent-decodes a segment of a path; no character means more than itself there.
fn decode(segment: &str) -> String {
    if !segment.contains('%') {
        return segment.to_owned();
    }
    let kept = segment
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    url::form_urlencoded::parse(kept.as_bytes())
        .next()
        .map_or_else(String::new, |(name, _)| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn a_segment_is_decoded_and_nothing_else() {
        assert_eq!(decode("ses_1"), "ses_1");
        assert_eq!(decode("%2B98+1&a=b%20c"), "+98+1&a=b c");
    }
}
