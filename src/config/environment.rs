//! Settings from the environment by our own names: `TRUNKLINE__SECTION__KEY`.

/// What a variable's name begins with.
const PREFIX: &str = "TRUNKLINE__";

/// The most parts of a key that are looked at.
const DEEPEST: usize = 8;

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
