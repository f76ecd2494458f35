//! Any file and any environment make a configuration or an error that can be told; never a panic.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::layers::Layers;
use super::{Config, ConfigError, DEFAULT};

/// Loads it, and shows what comes of it as the process would.
fn bears(file: &str, variables: Vec<(String, String)>) -> Result<Config, ConfigError> {
    let mut layers = Layers::embedded();
    let laid = layers.add_text(Path::new("(text)"), file);
    layers.add_environment(variables.into_iter());
    let loaded = laid.and_then(|()| layers.finish());
    match &loaded {
        Ok(config) => drop((format!("{config:?}"), config.warnings())),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    loaded
}

/// The keys of the default, as section and key.
fn keys() -> Vec<(String, String)> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in DEFAULT.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
            section = name.to_owned();
        } else if let Some((key, _)) = line.split_once(" = ")
            && !line.starts_with('#')
        {
            keys.push((section.clone(), key.to_owned()));
        }
    }
    assert!(keys.len() > 20, "{keys:?}");
    keys
}

/// A value as TOML spells it, most likely of the wrong kind.
fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:?}").to_lowercase()),
        any::<String>().prop_map(|text| format!("{text:?}")),
        select(vec![
            "true",
            "\"\"",
            "[]",
            "{}",
            "[[]]",
            "{ a = 1 }",
            "\"10s\"",
            "\"1d\"",
            "\"-1s\"",
            "nan",
            "-inf",
            "0",
            "-1",
            "18446744073709551616",
            "\"99999999999999999999h\"",
            "\"127.0.0.1:0\"",
            "\"::1\"",
            "1979-05-27",
            "\"\\u0000\"",
            "[{ key = [{}] }]",
            "{ profile = \"sandbox\" }",
        ])
        .prop_map(str::to_owned),
        (1..5000_usize).prop_map(|deep| "[".repeat(deep) + &"]".repeat(deep)),
        (1..2000_usize).prop_map(|deep| "{ a = ".repeat(deep) + "1" + &" }".repeat(deep)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_as_a_file(text in any::<String>()) {
        drop(bears(&text, Vec::new()));
    }

    #[test]
    fn any_values_under_our_keys(
        chosen in subsequence(keys(), 1..4),
        values in prop::collection::vec(literal(), 4),
        unknown in prop::option::of("[a-z]{1,8}"),
    ) {
        let mut file = String::new();
        for ((section, key), value) in chosen.iter().zip(&values) {
            file += &format!("{section}.{key} = {value}\n");
        }
        file.extend(unknown.iter().map(|key| format!("zzz_{key} = 1\n")));
        prop_assert!(unknown.is_none() || bears(&file, Vec::new()).is_err());
        drop(bears(&file, Vec::new()));
    }

    #[test]
    fn the_default_with_a_piece_cut_out_or_doubled(
        from in any::<prop::sample::Index>(),
        len in 0..200_usize,
        double in any::<bool>(),
    ) {
        let chars: Vec<char> = DEFAULT.chars().collect();
        let from = from.index(chars.len());
        let to = (from + len).min(chars.len());
        let rest = if double { from } else { to };
        let file: String = chars[..to].iter().take(if double { to } else { from }).chain(&chars[rest..]).collect();
        drop(bears(&file, Vec::new()));
    }

    #[test]
    fn any_environment(
        chosen in subsequence(keys(), 0..3),
        values in prop::collection::vec(prop_oneof![literal(), any::<String>()], 3),
        odd in "(TRUNKLINE__)?[A-Z_a-z.]{0,40}",
        deep in 0..50_000_usize,
    ) {
        let ours = chosen.iter().map(|(section, key)| format!("TRUNKLINE__{section}__{key}").to_uppercase());
        let names = ours.chain([odd, format!("TRUNKLINE{}", "__A".repeat(deep))]);
        drop(bears("", names.zip(values.into_iter().cycle()).collect()));
    }
}
