//! House rules as tests: which crate may use which, which library belongs to which crate, how long a file may be, no circles
//! between files, no private vocabulary, and documents that name existing files.

mod circles;

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file.
const LINES_MAX: usize = 500;

/// Files that are in a circle with others, by crate. Lower the number when you cut one; no new one may appear.
const KNOWN_CIRCLES: [(&str, usize); 8] = [
    ("bucket", 99),
    ("delivery", 99),
    ("desk", 99),
    ("gateway", 99),
    ("ledger", 99),
    ("sandbox", 99),
    ("upload", 99),
    ("wb", 99),
];

/// Words of a private vocabulary, or of no vocabulary: say fix, resume, continue, received, from where.
/// Each is written in two halves, so that this file does not find itself.
const BANNED_WORDS: [&str; 12] = [
    "men|d",
    "men|ds",
    "men|ded",
    "when|ce",
    "where|upon",
    "go|es on with",
    "wh|at came",
    "give|s way",
    "let|s go of",
    "in v|ain",
    "be|side the point",
    "stran|gers' clients",
];

/// Who may depend on whom. Dependencies point one way; `ledger`, `bucket` and `desk` do not know each other.
const ARROWS: [(&str, &[&str]); 9] = [
    ("ledger", &[]),
    ("bucket", &[]),
    ("desk", &[]),
    ("page", &[]),
    ("sandbox", &[]),
    ("wb", &["bucket"]),
    ("upload", &["ledger", "bucket"]),
    ("delivery", &["ledger", "bucket", "desk"]),
    ("gateway", &["upload", "delivery", "ledger", "bucket", "desk", "page", "sandbox"]),
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
fn documents_name_existing_files() {
    let root = root();
    for document in ["README.md", "crates/README.md", "crates/THREATS.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        for word in text.split('`').skip(1).step_by(2) {
            let is_path = word.contains('/') && word.ends_with(".rs");
            if is_path {
                assert!(
                    root.join(word).exists() || root.join("crates").join(word).exists(),
                    "{document} names {word}"
                );
            }
        }
    }
    for (name, _) in ARROWS {
        let map = fs::read_to_string(root.join("crates/README.md")).unwrap();
        assert!(map.contains(&format!("`{name}`")), "the map does not name {name}");
    }
}
