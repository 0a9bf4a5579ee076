//! Finds files of a crate that use each other in a circle, from `use` lines and `crate::`, `super::` and `self::` paths.
//! Not counted: `lib.rs` and `main.rs`, which tie a crate together, and the tests at the end of a file.

use std::collections::{BTreeMap, BTreeSet};

/// The files of one crate: path below `src`, text.
pub(super) type Sources = BTreeMap<String, String>;

/// A path of names: `crate::a::B` is `["crate", "a", "B"]`.
type Names = Vec<String>;

/// Each circle as its arrows, `a.rs -> b.rs`.
pub(super) fn circles(sources: &Sources) -> Vec<Vec<String>> {
    let modules: BTreeMap<_, _> =
        sources.iter().map(|(path, text)| (module(path), Module::read(path, text))).collect();
    let arrows: BTreeMap<_, BTreeSet<_>> =
        modules.iter().map(|(at, module)| (at, module.uses(at, &modules))).collect();
    let reached: BTreeMap<_, _> = modules.keys().map(|from| (from, reach(from, &arrows))).collect();
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (from, to) in &reached {
        if !to.contains(*from) || !seen.insert(*from) {
            continue;
        }
        let circle: BTreeSet<_> = to.iter().filter(|other| reached[other].contains(*from)).collect();
        let file = |at: &Names| modules[at].file.clone();
        let inside = circle.iter().flat_map(|a| arrows[*a].iter().map(move |b| (*a, b)));
        let inside = inside.filter(|(_, b)| circle.contains(b));
        found.push(inside.map(|(a, b)| format!("{} -> {}", file(a), file(b))).collect());
        seen.extend(modules.keys().filter(|at| circle.contains(at)));
    }
    found
}

fn reach(from: &Names, arrows: &BTreeMap<&Names, BTreeSet<Names>>) -> BTreeSet<Names> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<_> = arrows[from].iter().collect();
    while let Some(at) = next.pop() {
        if reached.insert(at.clone()) {
            next.extend(&arrows[at]);
        }
    }
    reached
}

/// `a/b.rs` and `a/b/mod.rs` are `a::b`; `lib.rs` and `main.rs` are the root.
fn module(path: &str) -> Names {
    let path = path.trim_end_matches(".rs");
    let path = path.trim_end_matches("/mod");
    if path == "lib" || path == "main" { Names::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// What a file says about others.
struct Module {
    file: String,
    /// What its `use` lines bring in, by the name it gets here.
    imports: Vec<(String, Names)>,
    /// The other paths it spells out.
    paths: Vec<Names>,
    children: BTreeSet<String>,
}

impl Module {
    fn read(file: &str, text: &str) -> Self {
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let (mut imports, mut rest, mut children) = (Vec::new(), String::new(), BTreeSet::new());
        let code = code(text);
        let mut pieces = code.split_inclusive([';', '{', '}']);
        while let Some(piece) = pieces.next() {
            let words: Vec<_> = piece.split_whitespace().collect();
            if words.contains(&"use") {
                let mut tree = piece.split_once("use ").map_or("", |(_, tree)| tree).to_owned();
                while !tree.ends_with(';') {
                    let Some(more) = pieces.next() else { break };
                    tree.push_str(more);
                }
                expand(&[], tree.trim_end_matches(';'), &mut imports);
            } else if let [.., "mod", child] = words[..]
                && let Some(child) = child.strip_suffix(';')
            {
                children.insert(child.to_owned());
            } else {
                rest.push_str(piece);
            }
        }
        Self { file: file.to_owned(), imports, paths: spelled(&rest), children }
    }

    /// The files whose names it uses, without the root and itself.
    fn uses(&self, at: &Names, modules: &BTreeMap<Names, Self>) -> BTreeSet<Names> {
        if at.is_empty() {
            return BTreeSet::new();
        }
        let imported = self.imports.iter().map(|(_, path)| path);
        let targets = imported.chain(&self.paths).filter_map(|path| resolve(at, path, modules, 0));
        targets.filter(|target| !target.is_empty() && target != at).collect()
    }
}

/// The file that a path leads to: through what the files on its way import. None for another crate's.
fn resolve(at: &Names, path: &[String], modules: &BTreeMap<Names, Module>, depth: usize) -> Option<Names> {
    let mut now = match path[0].as_str() {
        "crate" => Names::new(),
        "self" | "super" => at.clone(),
        first if modules[at].children.contains(first) => [&at[..], &[first.to_owned()]].concat(),
        _ => return None,
    };
    let mut rest = path.iter().skip(usize::from(path[0] != "super")).peekable();
    while rest.next_if(|name| *name == "super").is_some() {
        now.pop();
    }
    while let Some(name) = rest.peek() {
        let inner = [&now[..], &[(*name).clone()]].concat();
        if !modules.contains_key(&inner) {
            break;
        }
        (now, _) = (inner, rest.next());
    }
    let imported =
        rest.peek().and_then(|item| modules.get(&now)?.imports.iter().find(|(name, _)| name == *item));
    match imported {
        Some((_, path)) if depth < 5 => resolve(&now, path, modules, depth + 1),
        _ => modules.contains_key(&now).then_some(now),
    }
}

/// `a::{b, c as d}` is `(b, a::b)` and `(d, a::c)`.
fn expand(before: &[String], tree: &str, found: &mut Vec<(String, Names)>) {
    let tree = tree.trim();
    if let Some((head, inner)) = tree.split_once('{') {
        let before: Names = [before, &names(head)].concat();
        let mut depth = 0;
        let outer_comma = |char| {
            depth += i32::from(char == '{') - i32::from(char == '}');
            char == ',' && depth == 0
        };
        for branch in inner.strip_suffix('}').unwrap_or(inner).split(outer_comma) {
            expand(&before, branch, found);
        }
        return;
    }
    let (path, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
    let mut path: Names = [before, &names(path)].concat();
    if path.len() > 1 {
        path.pop_if(|last| last == "self");
    }
    if let Some(last) = path.last().filter(|_| !tree.is_empty()) {
        found.push((if alias.is_empty() { last.clone() } else { alias.trim().to_owned() }, path));
    }
}

fn names(path: &str) -> Names {
    path.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Every path of two names and more in code without `use` lines.
fn spelled(code: &str) -> Vec<Names> {
    let mut found = Vec::new();
    let is_name = |char: char| char.is_alphanumeric() || char == '_';
    for word in code.split(|char: char| !is_name(char) && char != ':') {
        let names: Names = word.split("::").take_while(|name| !name.is_empty()).map(str::to_owned).collect();
        if names.len() > 1 && !names.iter().any(|name| name.contains(':')) {
            found.push(names);
        }
    }
    found
}

/// The text without comments and string literals.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("r#\"") {
            rest.find("\"#").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("'\"'") {
            3
        } else if char == '"' {
            quoted(rest)
        } else {
            code.push(char);
            char.len_utf8()
        };
        rest = &rest[skipped..];
    }
    code
}

/// Bytes of the literal that begins here.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[test]
fn circles_are_found_in_use_lines_and_paths() {
    type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);
    let cases: [Case; 9] = [
        (&[("a.rs", "use crate::b::B;"), ("b.rs", "pub struct B;")], &[]),
        (&[("a.rs", "use crate::b::B;"), ("b.rs", "use super::a::A;")], &["a.rs -> b.rs", "b.rs -> a.rs"]),
        // A path in code counts, one in a comment, in quotes or in a test does not.
        (
            &[("a.rs", "use crate::b;"), ("b.rs", "fn f() { crate::a::f() }")],
            &["a.rs -> b.rs", "b.rs -> a.rs"],
        ),
        (
            &[
                ("a.rs", "use crate::b;"),
                (
                    "b.rs",
                    "// crate::a\nconst B: &str = \"crate::a::A\";\n#[cfg(test)]\nmod tests {\n use crate::a; }",
                ),
            ],
            &[],
        ),
        // Three in a circle, through braces.
        (
            &[
                ("a.rs", "use crate::{x::X, b::{self, B}};"),
                ("b.rs", "pub(crate) use crate::{\n    c::C,\n};"),
                ("c.rs", "use crate::{a::{A, D as E}, y};"),
                ("x.rs", ""),
            ],
            &["a.rs -> b.rs", "b.rs -> c.rs", "c.rs -> a.rs"],
        ),
        // A parent and its child.
        (
            &[("a.rs", "mod b;\nfn f() { b::f() }"), ("a/b.rs", "use super::A;")],
            &["a.rs -> a/b.rs", "a/b.rs -> a.rs"],
        ),
        // A re-export of a parent leads to the child that defines it.
        (&[("a/mod.rs", "mod b;\nmod c;\npub use b::B;"), ("a/b.rs", ""), ("a/c.rs", "use super::B;")], &[]),
        // The root does not count, but what it passes on does.
        (
            &[
                ("lib.rs", "mod a;\nmod b;\npub use a::A;\nfn f() { b::f() }"),
                ("a.rs", "use crate::b::B;"),
                ("b.rs", "use crate::{A, f};"),
            ],
            &["a.rs -> b.rs", "b.rs -> a.rs"],
        ),
        // Another crate's names are not ours.
        (&[("bytes.rs", "use crate::a;"), ("a.rs", "use bytes::Bytes;\nuse std::fmt;")], &[]),
    ];
    for (files, arrows) in cases {
        let sources = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        assert_eq!(circles(&sources).concat(), arrows, "{files:?}");
    }
}
