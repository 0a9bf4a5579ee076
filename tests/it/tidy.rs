//! House rules as a test: which crate may use which, whose names are spoken where, how long a file may be, and that
//! what is said about the code is there.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest file.
const LINES_MAX: usize = 500;

/// Who may depend on whom. Arrows never turn back; `ledger`, `bucket` and `desk` do not know each other.
const ARROWS: [(&str, &[&str]); 10] = [
    ("api", &[]),
    ("ledger", &[]),
    ("bucket", &[]),
    ("desk", &[]),
    ("page", &[]),
    ("sandbox", &[]),
    ("wb", &["api", "bucket"]),
    ("upload", &["ledger", "bucket"]),
    ("delivery", &["api", "ledger", "bucket", "desk"]),
    ("gateway", &["api", "upload", "delivery", "ledger", "bucket", "desk", "page", "sandbox"]),
];

/// A library is named in these crates only. `sandbox` plays the outside world, so it speaks HTTP too.
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
fn arrows_point_one_way() {
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
fn each_library_is_named_in_its_crate_only() {
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
fn files_are_short_and_say_what_they_are_for() {
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
fn nothing_is_left_for_later_or_ignored() {
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
fn what_the_map_names_is_there() {
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
