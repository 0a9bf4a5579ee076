//! House rules as tests: which crate may use which, which library belongs to which crate, how long a file may be, no circles
//! between files, no private vocabulary, and documents that name existing files.

mod circles;

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file.
const LINES_MAX: usize = 500;

/// Words that read wrong everywhere, in two halves so that this file does not find itself: say fix, resume, continue, received
/// bytes, make room.
const BANNED_WORDS: [&str; 13] = [
    "men|d",
    "men|ds",
    "men|ded",
    "go o|n",
    "goes o|n",
    "going o|n",
    "gone o|n",
    "what ca|me",
    "give w|ay",
    "gives w|ay",
    "in va|in",
    "when|ce",
    "where|upon",
];

/// Where these words are banned. Migrations stay as they were applied.
const PLAIN_ENGLISH: [&str; 9] = [
    ".ci",
    "benches",
    "crates",
    "deploy",
    "tests",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
];

/// Who may depend on whom. Dependencies point one way; `ledger`, `bucket` and `desk` do not know each other.
const ARROWS: [(&str, &[&str]); 13] = [
    ("access", &["api", "ledger", "desk"]),
    ("api", &[]),
    ("ledger", &[]),
    ("bucket", &[]),
    ("desk", &[]),
    ("page", &[]),
    ("sandbox", &[]),
    ("wb", &["api", "bucket"]),
    ("upload", &["ledger", "bucket"]),
    ("tickets", &["access", "api", "ledger", "desk"]),
    ("delivery", &["access", "api", "ledger", "bucket", "desk", "tickets"]),
    ("rebuild", &["access", "ledger", "bucket", "desk"]),
    (
        "gateway",
        &[
            "access", "api", "upload", "delivery", "rebuild", "ledger", "bucket", "desk", "page", "sandbox",
            "tickets",
        ],
    ),
];

/// Only these crates may depend on a library. `sandbox` plays the outside world, so it speaks HTTP too.
const NAMES: [(&str, &[&str]); 7] = [
    ("sqlx", &["ledger"]),
    ("aws_sdk_s3", &["bucket"]),
    ("aws_config", &["bucket"]),
    ("axum", &["gateway", "sandbox"]),
    ("s3s", &["sandbox"]),
    ("indicatif", &["wb"]),
    ("opentelemetry", &["gateway"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn files(folder: &Path, ending: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != "node_modules" && !name.starts_with('.') {
                files(&path, ending, found);
            }
        } else if ending.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

/// A path below a folder, with slashes.
fn shown(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap().display().to_string()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(folder, &[".rs"], &mut found);
    found
}

fn manifest(krate: &str) -> toml::Table {
    fs::read_to_string(root().join("crates").join(krate).join("Cargo.toml")).unwrap().parse().unwrap()
}

#[test]
fn crates_depend_one_way() {
    let crates: Vec<_> = ARROWS.iter().map(|(name, _)| *name).collect();
    let mut folders: Vec<_> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut named: Vec<_> = crates.iter().map(ToString::to_string).collect();
    named.sort();
    assert_eq!(folders, named, "a crate without a place in ARROWS, or one that is gone");
    for (name, allowed) in ARROWS {
        let manifest = manifest(name);
        for dependency in manifest["dependencies"].as_table().unwrap().keys() {
            let ours = crates.contains(&dependency.as_str());
            assert!(!ours || allowed.contains(&dependency.as_str()), "{name} must not use {dependency}");
        }
    }
}

#[test]
fn libraries_stay_in_their_crates() {
    for (library, allowed) in NAMES {
        for (name, _) in ARROWS {
            if allowed.contains(&name) {
                continue;
            }
            let package = library.replace('_', "-");
            let manifest = manifest(name);
            assert!(
                !manifest["dependencies"].as_table().unwrap().contains_key(&package),
                "{name} depends on {package}"
            );
        }
    }
}

#[test]
fn files_are_short_and_state_their_job() {
    let root = root();
    for folder in ["crates", "tests", "benches"] {
        for path in sources(&root.join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            let shown = path.strip_prefix(&root).unwrap().display();
            let lines = text.lines().count();
            assert!(lines <= LINES_MAX, "{shown} has {lines} lines: split it where it has a seam");
            assert!(text.starts_with("//!"), "{shown} does not say what it is for");
            let opening = text.lines().take_while(|line| line.starts_with("//!")).count();
            let shared_docs = path.ends_with("lib.rs") || text.contains("//! ```");
            assert!(
                opening <= 5 || shared_docs,
                "{shown} opens with {opening} lines: one to five say enough"
            );
        }
    }
}

#[test]
fn nothing_is_postponed_or_ignored() {
    // Written in two halves, so that this file does not find itself.
    let banned = ["#[igno|re", "todo|!(", "unimplement|ed!(", "FIX|ME", "XX|X", "dbg|!("]
        .map(|word| word.replace('|', ""));
    let root = root();
    for folder in ["crates", "tests", "benches"] {
        for path in sources(&root.join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            for word in &banned {
                assert!(!text.contains(word.as_str()), "{}: {word}", path.display());
            }
        }
    }
}

#[test]
fn versions_are_pinned_once() {
    let root = root();
    let mut manifests = Vec::new();
    files(&root.join("crates"), &["Cargo.toml"], &mut manifests);
    manifests.extend([root.join("tests/Cargo.toml"), root.join("benches/Cargo.toml")]);
    for path in manifests {
        let manifest: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in manifest.get(kind).and_then(toml::Value::as_table).into_iter().flatten() {
                let inherited = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(inherited, "{}: {name} is not inherited from the workspace", path.display());
            }
        }
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{}", path.display());
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    for (name, _) in ARROWS {
        let folder = root().join("crates").join(name).join("src");
        let text = |path: PathBuf| (shown(&path, &folder), fs::read_to_string(&path).unwrap());
        let circles = circles::circles(&sources(&folder).into_iter().map(text).collect());
        assert!(circles.is_empty(), "{name}: these files use each other in a circle: {circles:#?}");
    }
}

#[test]
fn words_of_a_private_vocabulary_stay_out() {
    let mut paths = Vec::new();
    for place in PLAIN_ENGLISH {
        let place = root().join(place);
        if place.is_dir() { files(&place, &[""], &mut paths) } else { paths.push(place) }
    }
    let banned = BANNED_WORDS.map(|word| word.replace('|', ""));
    let mut found = Vec::new();
    for path in paths {
        if path.extension().is_some_and(|ending| ending == "sql") {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            let words: Vec<_> = line.split(|char: char| !char.is_alphanumeric()).collect();
            let line = format!(" {} ", words.join(" "));
            let is_banned = |word: &&String| line.contains(&format!(" {word} "));
            let at = format!("{}:{}", shown(&path, &root()), number + 1);
            found.extend(banned.iter().filter(is_banned).map(|word| format!("{at}: {word}")));
        }
    }
    assert!(found.is_empty(), "say fix, resume, continue, received, make room: {found:#?}");
}

#[test]
fn documents_name_existing_files() {
    let root = root();
    let mut documents = Vec::new();
    files(&root, &[".md"], &mut documents);
    let mut missing = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for word in text.split('`').skip(1).step_by(2) {
            let is_path = word.contains('/') && (word.ends_with(".rs") || word.starts_with(".ci/"));
            let path = word.split(' ').next().unwrap_or_default();
            if is_path && !root.join(path).exists() && !root.join("crates").join(path).exists() {
                missing.push(format!("{}: {path}", shown(&document, &root)));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    let map = fs::read_to_string(root.join("crates/README.md")).unwrap();
    for (name, _) in ARROWS {
        assert!(map.contains(&format!("`{name}`")), "the map does not name {name}");
    }
}
