//! Reads a TOML file key by key and collects every mistake, with its line and fix, instead of stopping at the first.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::units::{parse_duration, parse_size};

/// A mistake in the file, its place, and the fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// It works but is not safe.
    pub(crate) is_warning: bool,
    pub(crate) line: usize,
    pub(crate) key: String,
    pub(crate) what: String,
    pub(crate) fix: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = if self.is_warning { "warning: " } else { "" };
        write!(f, "line {}: {}: {weight}{}; {}", self.line, self.key, self.what, self.fix)
    }
}

/// The file that is being read, and every mistake found in it so far.
pub(crate) struct File<'a> {
    pub(super) text: &'a str,
    /// Everyone on this machine may read it.
    pub(super) is_open_to_all: bool,
    pub(super) mistakes: RefCell<Vec<Mistake>>,
}

impl File<'_> {
    pub(super) fn wrong(&self, line: usize, key: &str, what: &str, fix: &str) {
        self.report(false, line, key, what, fix);
    }

    fn report(&self, is_warning: bool, line: usize, key: &str, what: &str, fix: &str) {
        let (key, what, fix) = (key.into(), what.into(), fix.into());
        self.mistakes.borrow_mut().push(Mistake { is_warning, line, key, what, fix });
    }

    fn line(&self, offset: usize) -> usize {
        line(self.text, offset)
    }
}

/// A table that is being read. Keys that nobody reads are mistakes.
pub(crate) struct Section<'a> {
    path: String,
    table: Option<&'a DeTable<'a>>,
    span: Range<usize>,
    asked: BTreeSet<&'static str>,
    pub(super) file: &'a File<'a>,
}

type Value<'a> = &'a Spanned<DeValue<'a>>;

impl<'a> Section<'a> {
    pub(crate) fn root(file: &'a File<'a>, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self { path: String::new(), table: Some(table.get_ref()), span: 0..0, asked: BTreeSet::new(), file }
    }

    /// A table below this one.
    fn below(&self, path: String, table: Option<&'a DeTable<'a>>, span: Range<usize>) -> Self {
        Self { path, table, span, asked: BTreeSet::new(), file: self.file }
    }

    /// The table `key`; an absent one reads as empty.
    pub(crate) fn section(&mut self, key: &'static str) -> Self {
        let path = self.name(key);
        let Some(value) = self.get(key) else {
            return self.below(path, None, self.span.clone());
        };
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong(key, "is not a table", &format!("write it as `[{path}]`"));
        }
        self.below(path, table, value.span())
    }

    /// Every table below `key`, by name.
    pub(crate) fn sections(&mut self, key: &'static str) -> Vec<(String, Self)> {
        let outer = self.section(key);
        let mut found = Vec::new();
        for (name, value) in outer.table.into_iter().flatten() {
            let path = format!("{key}.{}", name.get_ref());
            match value.get_ref().as_table() {
                Some(table) => {
                    found.push((name.get_ref().to_string(), outer.below(path, Some(table), name.span())));
                }
                None => {
                    let (line, fix) = (self.file.line(name.span().start), format!("write it as `[{path}]`"));
                    self.file.wrong(line, &path, "is not a table", &fix);
                }
            }
        }
        found
    }

    /// The line where it starts.
    pub(crate) fn line(&self) -> usize {
        self.file.line(self.span.start)
    }

    pub(crate) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    pub(crate) fn has(&self, key: &'static str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    pub(crate) fn string(&mut self, key: &'static str) -> Option<String> {
        let value = self.get(key)?;
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.wrong(key, "is not a text", "put it in quotes");
        }
        text
    }

    /// A list of texts. A single one needs no brackets.
    pub(crate) fn strings(&mut self, key: &'static str) -> Vec<String> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let value = value.get_ref();
        let texts = match (value.as_str(), value.as_array()) {
            (Some(text), _) => Some(vec![text.to_owned()]),
            (None, Some(all)) => {
                all.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            }
            (None, None) => None,
        };
        if texts.is_none() {
            self.wrong(key, "is not a list of texts", "write `[\"ONE\", \"TWO\"]`");
        }
        texts.unwrap_or_default()
    }

    pub(crate) fn required(&mut self, key: &'static str, example: &str) -> String {
        if !self.has(key) {
            self.wrong(key, "is missing", &format!("add `{key} = {example}`"));
        }
        self.string(key).unwrap_or_default()
    }

    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?.get_ref().as_bool();
        if value.is_none() {
            self.wrong(key, "is neither true nor false", "write `true` or `false`");
        }
        value
    }

    /// A whole number that is not negative. `example` is shown for anything else.
    pub(crate) fn number(&mut self, key: &'static str, example: &str) -> Option<u64> {
        let value = self.get(key)?.get_ref();
        match integer(value) {
            Some(Ok(number)) => return Some(number),
            Some(Err(what)) => self.wrong(key, what, &format!("write for example `{example}`")),
            None => {
                let fix = format!("write digits only, for example `{example}`");
                self.wrong(key, "is not a whole number", &fix);
            }
        }
        None
    }

    /// Bytes: a whole number, or a text such as `20GB` or `256MiB`.
    pub(crate) fn size(&mut self, key: &'static str, default: u64) -> u64 {
        let Some(value) = self.get(key) else { return default };
        let example = default.to_string();
        let Some(text) = value.get_ref().as_str() else {
            return self.number(key, &example).unwrap_or(default);
        };
        parse_size(text, &example).unwrap_or_else(|(what, fix)| {
            self.wrong(key, &what, &fix);
            default
        })
    }

    /// A text such as `48h`, `30s`, `7d`. `example` has the usual unit.
    pub(crate) fn duration(&mut self, key: &'static str, example: &str, default: Duration) -> Duration {
        let Some(value) = self.get(key).map(Spanned::get_ref) else { return default };
        let number = value.as_integer().map(|number| number.as_str());
        parse_duration(value.as_str().or(number).unwrap_or_default(), example).unwrap_or_else(
            |(what, fix)| {
                self.wrong(key, &what, &fix);
                default
            },
        )
    }

    /// Parses a text. `fix` says what to write.
    pub(crate) fn parsed<T: std::str::FromStr>(&mut self, key: &'static str, fix: &str) -> Option<T> {
        let text = self.string(key)?;
        let value = text.parse().ok();
        if value.is_none() {
            self.wrong(key, &format!("`{text}` cannot be parsed"), fix);
        }
        value
    }

    /// Reports that the value of `key` is wrong.
    pub(crate) fn wrong(&self, key: &str, what: &str, fix: &str) {
        self.file.wrong(self.line_of(key), &self.name(key), what, fix);
    }

    /// Reports that the value of `key` works but is not safe.
    pub(crate) fn warn(&self, key: &str, what: &str, fix: &str) {
        self.file.report(true, self.line_of(key), &self.name(key), what, fix);
    }

    fn line_of(&self, key: &str) -> usize {
        let found = self.table.and_then(|table| table.get_key_value(key));
        self.file.line(found.map_or(self.span.start, |(name, _)| name.span().start))
    }

    /// Reports that the table's own name is wrong.
    pub(crate) fn wrong_name(&self, what: &str, fix: &str) {
        self.file.wrong(self.line(), &self.path, what, fix);
    }

    /// Reports every key that was not read; most are misspelled.
    pub(crate) fn finish(self) {
        for (key, _) in self.table.into_iter().flatten() {
            let key = key.get_ref().as_ref();
            if !self.asked.contains(key) {
                let near = self
                    .asked
                    .iter()
                    .max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
                let fix = match near {
                    Some(near) if strsim::jaro_winkler(near, key) > 0.8 => format!("did you mean `{near}`?"),
                    _ => format!(
                        "remove it; known here: {}",
                        self.asked.iter().copied().collect::<Vec<_>>().join(", ")
                    ),
                };
                self.wrong(key, "is not a known key", &fix);
            }
        }
    }

    pub(super) fn get(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.asked.insert(key);
        self.table.and_then(|table| table.get(key))
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// A whole number, or why it is wrong; none for anything else.
fn integer(value: &DeValue<'_>) -> Option<Result<u64, &'static str>> {
    let number = value.as_integer()?;
    if number.as_str().starts_with('-') {
        return Some(Err("is negative"));
    }
    let number = u64::from_str_radix(number.as_str(), number.radix()).ok();
    Some(number.filter(|number| i64::try_from(*number).is_ok()).ok_or("is too large"))
}

pub(crate) fn line(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// An http or https URL, without a slash at its end.
pub(super) fn url(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    let text = section.string(key)?;
    match url::Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
            Some(text.trim_end_matches('/').to_owned())
        }
        _ => {
            let fix = "write for example `\"https://files.example.com\"`";
            section.wrong(key, &format!("`{text}` is not an http or https URL"), fix);
            None
        }
    }
}
