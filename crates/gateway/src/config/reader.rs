//! Reads a TOML file key by key and collects every mistake with its line and its mend, instead of stopping at the first.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something wrong in the file, where, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) line: usize,
    pub(crate) key: String,
    pub(crate) what: String,
    pub(crate) mend: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}; {}", self.line, self.key, self.what, self.mend)
    }
}

/// A table being read. Keys that nobody asks for are mistakes.
pub(crate) struct Section<'a> {
    path: String,
    table: Option<&'a DeTable<'a>>,
    span: Range<usize>,
    asked: BTreeSet<&'static str>,
    text: &'a str,
}

type Value<'a> = &'a Spanned<DeValue<'a>>;

impl<'a> Section<'a> {
    pub(crate) fn root(text: &'a str, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self { path: String::new(), table: Some(table.get_ref()), span: 0..0, asked: BTreeSet::new(), text }
    }

    /// The table `key`; an absent one reads as empty.
    pub(crate) fn section(&mut self, key: &'static str, mistakes: &mut Vec<Mistake>) -> Self {
        let path = self.name(key);
        let Some(value) = self.get(key) else {
            return Self {
                path,
                table: None,
                span: self.span.clone(),
                asked: BTreeSet::new(),
                text: self.text,
            };
        };
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong(key, "is not a table", &format!("write it as `[{path}]`"), mistakes);
        }
        Self { path, table, span: value.span(), asked: BTreeSet::new(), text: self.text }
    }

    /// Every table below `key`, by name.
    pub(crate) fn sections(&mut self, key: &'static str, mistakes: &mut Vec<Mistake>) -> Vec<(String, Self)> {
        let outer = self.section(key, mistakes);
        let mut found = Vec::new();
        for (name, value) in outer.table.into_iter().flatten() {
            let path = format!("{key}.{}", name.get_ref());
            match value.get_ref().as_table() {
                Some(table) => found.push((
                    name.get_ref().to_string(),
                    Self {
                        path,
                        table: Some(table),
                        span: name.span(),
                        asked: BTreeSet::new(),
                        text: self.text,
                    },
                )),
                None => mistakes.push(Mistake {
                    line: line(self.text, name.span().start),
                    what: "is not a table".into(),
                    mend: format!("write it as `[{path}]`"),
                    key: path,
                }),
            }
        }
        found
    }

    /// The line where it begins.
    pub(crate) fn line(&self) -> usize {
        line(self.text, self.span.start)
    }

    pub(crate) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    pub(crate) fn has(&self, key: &'static str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    pub(crate) fn string(&mut self, key: &'static str, mistakes: &mut Vec<Mistake>) -> Option<String> {
        let value = self.get(key)?;
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.wrong(key, "is not a text", "put it in quotes", mistakes);
        }
        text
    }

    /// A list of texts; one alone may stand without brackets.
    pub(crate) fn strings(&mut self, key: &'static str, mistakes: &mut Vec<Mistake>) -> Vec<String> {
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
            self.wrong(key, "is not a list of texts", "write `[\"ONE\", \"TWO\"]`", mistakes);
        }
        texts.unwrap_or_default()
    }

    pub(crate) fn required(
        &mut self,
        key: &'static str,
        example: &str,
        mistakes: &mut Vec<Mistake>,
    ) -> String {
        if !self.has(key) {
            self.wrong(key, "is missing", &format!("add `{key} = {example}`"), mistakes);
        }
        self.string(key, mistakes).unwrap_or_default()
    }

    /// A text, `{ env = "NAME" }` or `{ file = "PATH" }`.
    pub(crate) fn secret(&mut self, key: &'static str, mistakes: &mut Vec<Mistake>) -> Option<String> {
        let value = self.get(key)?.get_ref();
        if let Some(text) = value.as_str() {
            return Some(text.to_owned());
        }
        let source = value.as_table().and_then(|table| {
            let only = table.len() == 1;
            let named = |name| table.get(name).and_then(|v| v.get_ref().as_str()).map(str::to_owned);
            only.then(|| named("env").map(Source::Env).or_else(|| named("file").map(Source::File)))?
        });
        match source {
            Some(Source::Env(name)) => match std::env::var(&name) {
                Ok(text) => return Some(text),
                Err(_) => {
                    let what = format!("the environment variable `{name}` is not set");
                    self.wrong(key, &what, "set it for this process", mistakes);
                }
            },
            Some(Source::File(path)) => match std::fs::read_to_string(&path) {
                Ok(text) => return Some(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => {
                    let what = format!("`{path}` cannot be read ({error})");
                    self.wrong(key, &what, "make it readable for this process", mistakes);
                }
            },
            None => {
                let mend = "write a text, `{ env = \"NAME\" }` or `{ file = \"PATH\" }`";
                self.wrong(key, "is not a secret", mend, mistakes);
            }
        }
        None
    }

    pub(crate) fn boolean(&mut self, key: &'static str, mistakes: &mut Vec<Mistake>) -> Option<bool> {
        let value = self.get(key)?.get_ref().as_bool();
        if value.is_none() {
            self.wrong(key, "is neither true nor false", "write `true` or `false`", mistakes);
        }
        value
    }

    pub(crate) fn number(&mut self, key: &'static str, mistakes: &mut Vec<Mistake>) -> Option<u64> {
        let value = self.get(key)?.get_ref();
        let number = value.as_integer().and_then(|i| u64::from_str_radix(i.as_str(), i.radix()).ok());
        if number.is_none() {
            self.wrong(key, "is not a whole number", "write digits only, for example `20000000`", mistakes);
        }
        number
    }

    /// A number of seconds, or a text such as `48h`, `30s`, `7d`.
    pub(crate) fn duration(&mut self, key: &'static str, mistakes: &mut Vec<Mistake>) -> Option<Duration> {
        let value = self.get(key)?.get_ref();
        let duration = match value.as_str() {
            Some(text) => parse_duration(text),
            None => value
                .as_integer()
                .and_then(|i| u64::from_str_radix(i.as_str(), i.radix()).ok())
                .map(Duration::from_secs),
        };
        if duration.is_none() {
            self.wrong(
                key,
                "is not a duration",
                "write for example `\"48h\"`, `\"15m\"` or `\"30s\"`",
                mistakes,
            );
        }
        duration
    }

    /// Parses a text; `mend` says what would be right.
    pub(crate) fn parsed<T: std::str::FromStr>(
        &mut self,
        key: &'static str,
        mend: &str,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<T> {
        let text = self.string(key, mistakes)?;
        let value = text.parse().ok();
        if value.is_none() {
            self.wrong(key, &format!("`{text}` is not understood"), mend, mistakes);
        }
        value
    }

    /// Says that the value of `key` is wrong.
    pub(crate) fn wrong(&self, key: &str, what: &str, mend: &str, mistakes: &mut Vec<Mistake>) {
        let span = self
            .table
            .and_then(|table| table.get_key_value(key))
            .map_or_else(|| self.span.clone(), |(name, _)| name.span());
        mistakes.push(Mistake {
            line: line(self.text, span.start),
            key: self.name(key),
            what: what.into(),
            mend: mend.into(),
        });
    }

    /// Says that the table's own name is wrong.
    pub(crate) fn wrong_name(&self, what: &str, mend: &str, mistakes: &mut Vec<Mistake>) {
        mistakes.push(Mistake {
            line: line(self.text, self.span.start),
            key: self.path.clone(),
            what: what.into(),
            mend: mend.into(),
        });
    }

    /// Every key that was not asked for is a mistake, most likely a misspelling.
    pub(crate) fn finish(self, mistakes: &mut Vec<Mistake>) {
        for (key, _) in self.table.into_iter().flatten() {
            let key = key.get_ref().as_ref();
            if !self.asked.contains(key) {
                let near = self
                    .asked
                    .iter()
                    .max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
                let mend = match near {
                    Some(near) if strsim::jaro_winkler(near, key) > 0.8 => format!("did you mean `{near}`?"),
                    _ => format!(
                        "remove it; known here: {}",
                        self.asked.iter().copied().collect::<Vec<_>>().join(", ")
                    ),
                };
                self.wrong(key, "is not a known key", &mend, mistakes);
            }
        }
    }

    fn get(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.asked.insert(key);
        self.table.and_then(|table| table.get(key))
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

enum Source {
    Env(String),
    File(String),
}

/// `48h`, `1h 30m`, `7d`; never negative.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let days = text.trim().strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    if let Some(days) = days {
        return Some(Duration::from_secs(u64::from(days) * 24 * 60 * 60));
    }
    let duration: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(duration).ok()
}

pub(crate) fn line(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}
