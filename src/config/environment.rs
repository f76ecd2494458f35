//! Settings from the environment by our own names: `TRUNKLINE__SECTION__KEY`.

use std::ffi::OsString;

use super::{Fault, older};

/// What a variable's name begins with.
const PREFIX: &str = "TRUNKLINE__";

/// The most parts of a key that are looked at.
const DEEPEST: usize = 8;

/// What ours begin with that are no settings, such as `TRUNKLINE_URL`; so does a setting whose underscores are too few.
const SHORT: &str = "TRUNKLINE_";

/// The key that seals secrets may come as a variable, and must not be passed over.
const SEAL_KEY: &str = "TRUNKLINE_SEAL_KEY";

/// The variables that are texts, and the faults of settings that are none. What else is none is not ours: any program may
/// put any bytes there.
pub(super) fn texts(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> (Vec<(String, String)>, Vec<Fault>) {
    let (mut texts, mut faults) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => texts.push((name, value)),
            Err(_) if name.starts_with(PREFIX) || name == SEAL_KEY || older::knows(&name) => {
                faults.push(Fault {
                    key: name,
                    why: "must be UTF-8".to_owned(),
                });
            }
            Err(_) => {}
        }
    }
    (texts, faults)
}

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
    fn bytes_that_are_no_text_are_a_fault_of_ours_alone() {
        use std::os::unix::ffi::OsStringExt;

        let bytes = || OsString::from_vec(vec![b'a', 0xa3]);
        let ours = [
            "TRUNKLINE__STORE__FOLDER",
            "TRUNKLINE_SEAL_KEY",
            "API_SECRET_KEY",
            "DATABASE_URL",
        ];
        let others = ["BAD", "LANG", "TRUNKLINE_CONFIG"];
        let variables = ours.iter().chain(&others);
        let variables = variables.map(|name| (OsString::from(name), bytes()));
        let nameless = (bytes(), OsString::from("x"));
        let right = (OsString::from("HOST"), OsString::from("::1"));
        let (texts, faults) = texts(variables.chain([nameless, right]));
        assert_eq!(texts, [("HOST".to_owned(), "::1".to_owned())]);
        assert_eq!(
            faults.iter().map(|fault| fault.key.as_str()).collect::<Vec<_>>(),
            ours
        );
    }

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
