//! Walls of the house: who imports whom, and which crate is known where. Reads the sources, so it needs no daemon.
//!
//! Code that is only there for tests (`#[cfg(test)]`) may reach wherever it likes; its files still open with a comment
//! and stay small.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What each room may import, besides itself. The order is the floors', lowest first: a room only names rooms above
/// it in this list, so imports go down.
const FLOORS: &[(&str, &str)] = &[
    ("base", ""),
    ("sandbox", "base"),
    ("model", "base"),
    ("runtime", "base"),
    ("store", "base model"),
    ("telemetry", "base runtime"),
    ("config", "base model telemetry store"),
    ("limiter", "base model runtime store"),
    ("ops", "base model runtime store"),
    ("access", "base model runtime store ops"),
    ("webhook", "base model runtime store ops"),
    ("telegram", "base model runtime store limiter ops"),
    ("forward", "base model runtime store telegram ops"),
    (
        "http",
        "base model runtime store limiter access ops webhook telegram forward",
    ),
    (
        "app",
        "base model runtime store telemetry config limiter access ops webhook telegram forward http",
    ),
    (
        "cli",
        "base model runtime store telemetry config access ops http sandbox app",
    ),
];

/// Imports that the floors do not allow, each with its reason: file or folder, how the import begins or ends, why.
const IMPORTS: &[(&str, &str, &str)] = &[
    (
        "src/config/",
        "Config",
        "each room owns its section; config only puts them together",
    ),
    (
        "src/app/demo/",
        "sandbox::",
        "the demo shows the daemon and a sandbox in one process",
    ),
];

/// Crates that are known in some rooms only.
const FENCES: &[(&str, &[&str])] = &[
    ("grammers_tl_types", &["src/telegram/", "src/sandbox/"]),
    ("grammers_crypto", &["src/telegram/", "src/sandbox/"]),
    ("grammers_", &["src/telegram/"]),
    ("sled", &["src/store/"]),
    ("hyper", &["src/http/", "src/sandbox/"]),
    ("hyper_util", &["src/http/", "src/sandbox/"]),
    ("tokio_tungstenite", &["src/http/", "src/cli/"]),
];

/// Where work may be started that no supervisor knows, each with its reason.
const SPAWNS: &[(&str, &str)] = &[
    ("src/runtime/", "this is where supervised work is started"),
    ("src/sandbox/", "a server of its own, beside the house"),
    (
        "src/cli/login/terminal.rs",
        "the command waits for a line and for Ctrl-C; the thread ends with the process",
    ),
    (
        "src/http/tasks.rs",
        "a handler outlives its caller, not its row's deadline nor the listener's drain",
    ),
    (
        "src/http/serve.rs",
        "a task a connection, ended with the listener that is supervised",
    ),
    (
        "src/store/export.rs",
        "what an export is written to may hang; the thread ends when the export is over or given up",
    ),
    (
        "src/store/exports.rs",
        "the folder of exports may hang; one thread at a time, and none begins while one is there",
    ),
    (
        "src/telemetry/lines.rs",
        "log lines go on being written, in whatever state the tree is",
    ),
    (
        "src/store/start.rs",
        "the committer's thread, started and joined by the store's supervised task",
    ),
];

/// Longest file.
const LINES: usize = 600;

/// One source file: its path, its text, and its code without comments, texts and tests.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    /// The room it belongs to; `None` for the files of the crate itself.
    fn room(&self) -> Option<&str> {
        self.path
            .strip_prefix("src/")?
            .split_once('/')
            .map(|(room, _)| room)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join("src"), &mut paths);
    let mut sources = Vec::new();
    let mut tests = BTreeSet::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a readable source");
        let bare = without_comments_and_texts(&text);
        tests.extend(test_modules(&path, &bare));
        let name = path
            .strip_prefix(root)
            .expect("is below the root")
            .to_str()
            .expect("is UTF-8");
        sources.push((
            path.clone(),
            Source {
                path: name.to_owned(),
                text,
                code: without_tests(&bare),
            },
        ));
    }
    for (path, source) in &mut sources {
        if tests
            .iter()
            .any(|test| path.starts_with(test) || *path == test.with_extension("rs"))
        {
            source.code.clear();
        }
    }
    sources.into_iter().map(|(_, source)| source).collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
    into.sort();
}

/// Blanks comments, strings and characters.
fn without_comments_and_texts(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        match (chars[i], at(i + 1)) {
            ('/', '/') => {
                while i < chars.len() && chars[i] != '\n' {
                    i += 1;
                }
            }
            ('/', '*') => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= chars.len() {
                        break;
                    }
                }
            }
            ('r', '"' | '#') if !at(i.wrapping_sub(1)).is_alphanumeric() || at(i.wrapping_sub(1)) == 'b' => {
                let hashes = chars[i + 1..].iter().take_while(|c| **c == '#').count();
                if at(i + 1 + hashes) == '"' {
                    let end: Vec<char> = std::iter::once('"')
                        .chain(std::iter::repeat_n('#', hashes))
                        .collect();
                    i += hashes + 2;
                    while i < chars.len() && !chars[i..].starts_with(&end) {
                        i += 1;
                    }
                    i += end.len();
                    out.push_str("\"\"");
                } else {
                    out.push('r');
                    i += 1;
                }
            }
            ('"', _) => {
                i += 1;
                while i < chars.len() && chars[i] != '"' {
                    i += if chars[i] == '\\' { 2 } else { 1 };
                }
                i += 1;
                out.push_str("\"\"");
            }
            ('\'', '\\') => {
                i += 3;
                while i < chars.len() && chars[i] != '\'' {
                    i += 1;
                }
                i += 1;
            }
            ('\'', _) if at(i + 2) == '\'' => i += 3,
            (c, _) => {
                out.push(c);
                i += 1;
            }
        }
    }
    out
}

/// Where the file's own `#[cfg(test)] mod name;` modules lie, without extension.
fn test_modules(path: &Path, code: &str) -> Vec<PathBuf> {
    let folder = match path.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") => path.parent().expect("has a folder").to_owned(),
        _ => path.with_extension(""),
    };
    let after = code.split("#[cfg(test)]").skip(1);
    let names = after.filter_map(|rest| {
        let (head, _) = rest.split_once(';')?;
        let (_, name) = head.rsplit_once("mod ")?;
        name.chars()
            .all(|c| c.is_alphanumeric() || c == '_')
            .then(|| name.to_owned())
    });
    names.map(|name| folder.join(name)).collect()
}

/// The code without what stands behind `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut parts = code.split("#[cfg(test)]");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut depth = 0_usize;
        let end = part.char_indices().find_map(|(at, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            (depth == 0 && matches!(c, '}' | ';')).then_some(at + 1)
        });
        out.push_str(&part[end.unwrap_or(part.len())..]);
    }
    out
}

/// Every path that begins with `start::`, with braces spelled out.
fn paths(code: &str, start: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(&format!("{start}::")) {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        if !before.is_alphanumeric() && before != '_' && before != ':' {
            let mut rest = code[at + start.len()..].chars().peekable();
            branch(&mut rest, "", &mut found);
        }
    }
    found
}

/// Reads what follows a segment: `::next`, `::{a, b::c}`, or something else, which ends the path.
fn branch(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, path: &str, found: &mut BTreeSet<String>) {
    let skip = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
    };
    if rest.next_if_eq(&':').is_none() || rest.next_if_eq(&':').is_none() {
        found.insert(path.to_owned());
        return;
    }
    skip(rest);
    if rest.next_if_eq(&'{').is_none() {
        return segment(rest, path, found);
    }
    loop {
        skip(rest);
        if rest.next_if_eq(&'}').is_some() || rest.peek().is_none() {
            return;
        }
        segment(rest, path, found);
        while rest.next_if(|c| !matches!(c, ',' | '}')).is_some() {}
        rest.next_if_eq(&',');
    }
}

fn segment(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, path: &str, found: &mut BTreeSet<String>) {
    let mut name = String::new();
    while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '*')) {
        name.push(c);
    }
    let path = if path.is_empty() {
        name
    } else {
        format!("{path}::{name}")
    };
    branch(rest, &path, found);
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_room_has_its_floor_and_rooms_import_downward() {
    let mut below = BTreeSet::new();
    for (room, may) in FLOORS {
        let up: Vec<_> = may
            .split_whitespace()
            .filter(|other| !below.contains(other))
            .collect();
        assert!(
            up.is_empty(),
            "{room} may not import {up:?}, which stand above it"
        );
        below.insert(*room);
    }
    for source in sources() {
        if let Some(room) = source.room() {
            assert!(below.contains(room), "{room} has no floor yet");
        }
    }
}

#[test]
fn imports_keep_to_the_floors() {
    let floors: BTreeMap<_, _> = FLOORS.iter().copied().collect();
    let mut unused: BTreeSet<_> = (0..IMPORTS.len()).collect();
    let mut faults = Vec::new();
    for source in sources() {
        let Some(room) = source.room() else { continue };
        let may = floors.get(room).copied().unwrap_or_default();
        for path in paths(&source.code, "crate") {
            let other = path.split("::").next().unwrap_or_default();
            if other == room || may.split_whitespace().any(|may| may == other) || !floors.contains_key(other)
            {
                continue;
            }
            let allowed = IMPORTS.iter().position(|(place, item, _)| {
                source.path.starts_with(place) && (path.ends_with(item) || path.starts_with(item))
            });
            match allowed {
                Some(exception) => drop(unused.remove(&exception)),
                None => faults.push(format!("{} imports {path}", source.path)),
            }
        }
    }
    none(&faults);
    let unused: Vec<_> = unused
        .into_iter()
        .map(|at| format!("no longer needed: {:?}", IMPORTS[at]))
        .collect();
    none(&unused);
}

#[test]
fn crates_stay_behind_their_fences() {
    let mut faults = Vec::new();
    for source in sources() {
        let words: BTreeSet<_> = source
            .code
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .collect();
        for word in words {
            let named = FENCES
                .iter()
                .find(|(name, _)| word == *name || name.ends_with('_') && word.starts_with(name));
            if let Some((_, places)) = named
                && source.code.contains(&format!("{word}::"))
                && !places.iter().any(|place| source.path.starts_with(place))
            {
                faults.push(format!("{} knows {word}", source.path));
            }
        }
    }
    none(&faults);
}

#[test]
fn calls_of_sessions_go_through_the_limiter() {
    let door = "src/telegram/limits.rs";
    let beside = |source: &Source| source.path != door && source.code.contains("link.invoke(");
    let faults: Vec<_> = sources()
        .into_iter()
        .filter(|source| source.path.starts_with("src/telegram/") && beside(source))
        .map(|source| source.path)
        .collect();
    assert!(
        faults.is_empty(),
        "calls that the limiter never hears of: {faults:?}"
    );
}

#[test]
fn the_edges_do_not_touch_tables() {
    let mut faults = Vec::new();
    for source in sources() {
        if matches!(source.room(), Some("http" | "cli")) {
            let tables = paths(&source.code, "crate").into_iter().filter(|path| {
                let item = path.strip_prefix("store::").unwrap_or_default();
                ["Batch", "Table", "catalog"]
                    .iter()
                    .any(|table| item.starts_with(table))
            });
            faults.extend(tables.map(|path| format!("{} imports {path}", source.path)));
        }
    }
    none(&faults);
}

#[test]
fn work_is_started_by_supervisors_only() {
    let starts = [
        "tokio::spawn",
        "task::spawn(",
        "spawn_local(",
        "thread::spawn",
        "thread::Builder",
        "JoinSet::new",
        "TaskTracker,",
    ];
    let files = SPAWNS
        .iter()
        .map(|(place, _)| *place)
        .filter(|place| place.ends_with(".rs"));
    let mut unused: BTreeSet<_> = files.collect();
    let mut faults = Vec::new();
    for source in sources() {
        for start in starts.iter().filter(|start| source.code.contains(**start)) {
            match SPAWNS.iter().find(|(place, _)| source.path.starts_with(place)) {
                Some((place, _)) => drop(unused.remove(place)),
                None => faults.push(format!("{} uses {start}", source.path)),
            }
        }
    }
    none(&faults);
    assert!(unused.is_empty(), "no longer needed: {unused:?}");
}

#[test]
fn nothing_is_unwrapped() {
    let bare = sources()
        .into_iter()
        .filter(|source| source.code.contains(".unwrap()"));
    none(
        &bare
            .map(|source| format!("{} unwraps", source.path))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_file_says_what_it_is_and_is_small() {
    let mut faults = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in ["src", "tests", "benches"].map(|folder| root.join(folder)) {
        if folder.is_dir() {
            collect(&folder, &mut paths);
        }
    }
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a readable source");
        if !text.starts_with("//! ") {
            faults.push(format!("{} does not open with its head comment", path.display()));
        }
        if text.lines().count() > LINES {
            faults.push(format!("{} has over {LINES} lines", path.display()));
        }
    }
    none(&faults);
}

#[test]
fn no_text_is_left_that_promises_later_work() {
    let words = ["TODO", "FIXME", "XXX", "HACK"];
    let promises = |text: &str| {
        let mut found = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        found.any(|word| words.contains(&word))
    };
    let bare = sources().into_iter().filter(|source| promises(&source.text));
    none(&bare.map(|source| source.path).collect::<Vec<_>>());
}

#[test]
fn the_reader_of_sources_reads_them_rightly() {
    let code = "use crate::{a::{B, c::D}, e};\nlet x = crate::f::g(1); my_crate::h::i;";
    let read: Vec<_> = paths(code, "crate").into_iter().collect();
    assert_eq!(read, ["a::B", "a::c::D", "e", "f::g"]);
    let text = "a // crate::x\n/* /* b */ */ \"crate::\\\"y\" r#\"crate::z\"# 'c' '\\'' &'a str";
    let bare = without_comments_and_texts(text);
    assert!(!bare.contains("crate") && bare.contains("&'a str"), "{bare}");
    let code = "one\n#[cfg(test)]\nmod tests { fn a() { b } }\ntwo\n#[cfg(test)]\nmod t;\nthree";
    let left: Vec<_> = without_tests(code)
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    assert_eq!(left, ["one", "two", "three"]);
    let tests = test_modules(Path::new("/s/a/mod.rs"), code);
    assert_eq!(tests, [Path::new("/s/a/t")]);
}
