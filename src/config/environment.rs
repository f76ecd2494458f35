//! Settings from the environment: `TRUNKLINE__SECTION__KEY`, and the names that older deployments use.

/// What a variable's name begins with.
const PREFIX: &str = "TRUNKLINE__";

/// The most parts of a key that are looked at.
const DEEPEST: usize = 8;

/// Names of older deployments, weaker than ours: variable, section, key.
const OLDER: &[(&str, &str, &str)] = &[
    ("TELEGRAM_API_ID", "telegram", "api_id"),
    ("TELEGRAM_API_HASH", "telegram", "api_hash"),
];

/// The settings among the variables, as paths and texts, the stronger ones last.
pub(super) fn settings(variables: impl Iterator<Item = (String, String)>) -> Vec<(Vec<String>, String)> {
    let mut older = Vec::new();
    let mut ours = Vec::new();
    for (name, value) in variables {
        if let Some(path) = name.strip_prefix(PREFIX) {
            // No key is so deep; the rest would only nest.
            let path = path.split("__").take(DEEPEST).map(str::to_lowercase).collect();
            ours.push((path, value));
        } else if let Some((_, section, key)) = OLDER.iter().find(|(known, ..)| *known == name) {
            older.push((vec![(*section).to_owned(), (*key).to_owned()], value));
        }
    }
    older.into_iter().chain(ours).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_come_after_the_older_ones() {
        let variables = [
            ("TRUNKLINE__TELEGRAM__API_ID".to_owned(), "1".to_owned()),
            ("TELEGRAM_API_ID".to_owned(), "2".to_owned()),
            ("PATH".to_owned(), "/bin".to_owned()),
        ];
        let found = settings(variables.into_iter());
        let key = vec!["telegram".to_owned(), "api_id".to_owned()];
        assert_eq!(found, vec![(key.clone(), "2".to_owned()), (key, "1".to_owned())]);
    }
}
