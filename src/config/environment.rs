//! Settings from the environment by our own names: `TRUNKLINE__SECTION__KEY`.

use super::Fault;

/// What a variable's name begins with.
const PREFIX: &str = "TRUNKLINE__";

/// The most parts of a key that are looked at.
const DEEPEST: usize = 8;

/// What ours begin with that are no settings, such as `TRUNKLINE_URL`; so does a setting whose underscores are too few.
const SHORT: &str = "TRUNKLINE_";

/// The settings among the variables, as paths and texts.
pub(super) fn settings(variables: &[(String, String)]) -> Vec<(Vec<String>, String)> {
    let ours = variables.iter().filter_map(|(name, value)| {
        let path = name.strip_prefix(PREFIX)?;
        // No key is so deep; the rest would only nest.
        let path = path.split("__").take(DEEPEST).map(str::to_lowercase).collect();
        Some((path, value.clone()))
    });
    ours.collect()
}

/// Variables that name a section of the configuration, but not as settings do.
pub(super) fn misspelt(variables: &[(String, String)], sections: &[&str]) -> Vec<Fault> {
    let names = variables.iter().map(|(name, _)| name);
    let misspelt = names.filter_map(|name| {
        let (section, key) = name.strip_prefix(SHORT)?.split_once('_')?;
        let section = section.to_lowercase();
        sections.contains(&section.as_str()).then(|| Fault {
            key: name.clone(),
            why: format!(
                "sets nothing: parts are joined by two underscores, as in {PREFIX}{}__{}",
                section.to_uppercase(),
                key.trim_start_matches('_')
            ),
        })
    });
    misspelt.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_after_one_underscore_is_noticed() {
        let named = |name: &str| {
            let variables = [(name.to_owned(), String::new())];
            let misspelt = misspelt(&variables, &["http", "store"]);
            misspelt.into_iter().map(|fault| fault.why).next()
        };
        let why = named("TRUNKLINE_HTTP_LISTEN").expect("noticed");
        assert!(why.ends_with("TRUNKLINE__HTTP__LISTEN"), "{why}");
        assert!(named("TRUNKLINE_STORE__SYNC").is_some_and(|why| why.ends_with("TRUNKLINE__STORE__SYNC")));
        assert_eq!(named("TRUNKLINE__HTTP__LISTEN"), None);
        assert_eq!(named("TRUNKLINE_URL"), None);
        assert_eq!(named("TRUNKLINE_API_KEY"), None);
    }
}
