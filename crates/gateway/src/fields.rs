//! Reads the fields of a ticket or an escalation, from JSON or from a form, and collects every mistake before it answers.
//! Invariant: a line is one line without control characters, and no text is longer than its limit.

use std::collections::BTreeMap;

use api::{BODY_BYTES_MAX, FieldError, LINE_CHARS_MAX, TEXT_CHARS_MAX};
use axum::body::Body;
use axum::http::HeaderMap;
use serde_json::{Map, Value};
use tickets::{is_unprintable, visible};

use crate::headers::is_type;
use crate::http::bounded_body;
use crate::problem::{self, Problem};

#[derive(Debug, Default)]
pub(crate) struct Fields {
    values: BTreeMap<String, Value>,
    /// Of all names and values of a form.
    bytes: usize,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// From a JSON object, or `application/x-www-form-urlencoded`.
    pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Problem> {
        let bytes = bounded_body::read(body, BODY_BYTES_MAX).await?;
        if is_type(headers, "application/x-www-form-urlencoded")? {
            return Ok(Self::of_form(
                url::form_urlencoded::parse(&bytes)
                    .map(|(name, value)| (name.into_owned(), value.into_owned())),
            ));
        }
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(Value::Object(values)) => Ok(Self::of_json(values)),
            _ => Err(problem::bad_request(
                "The body is not a JSON object. Send `Content-Type: application/json` with the fields, or a form.",
            )),
        }
    }

    pub(crate) fn of_json(values: Map<String, Value>) -> Self {
        let values = values.into_iter().filter(|(_, value)| !value.is_null()).collect();
        Self { values, ..Self::default() }
    }

    pub(crate) fn of_form(values: impl Iterator<Item = (String, String)>) -> Self {
        let mut fields = Self::default();
        for (name, value) in values {
            fields.add(name, value);
        }
        fields
    }

    /// How many bytes of a form's next field are kept.
    pub(crate) fn room(&self) -> usize {
        BODY_BYTES_MAX.saturating_sub(self.bytes)
    }

    /// Adds a field of a form. An empty one counts as left out; one that comes twice is a mistake.
    pub(crate) fn add(&mut self, name: String, value: String) {
        self.bytes += name.len() + value.len();
        if value.trim().is_empty() {
            return;
        }
        if self.values.contains_key(&name) {
            self.wrong(&name, "It appears more than once. Send it once.");
        }
        self.values.insert(name, value.into());
    }

    pub(crate) fn wrong(&mut self, field: &str, detail: &str) {
        if !self.errors.iter().any(|error| error.field == field) {
            self.errors.push(FieldError { field: field.to_owned(), detail: detail.to_owned() });
        }
    }

    /// A line that must be there.
    pub(crate) fn line(&mut self, name: &'static str, hint: &str) -> String {
        self.optional_line(name).unwrap_or_else(|| {
            self.wrong(name, &format!("It is missing. {hint}"));
            String::new()
        })
    }

    pub(crate) fn optional_line(&mut self, name: &'static str) -> Option<String> {
        let text = self.text_of(name)?.trim().to_owned();
        if text.chars().any(is_unprintable) {
            self.wrong(name, "It has line breaks or characters that cannot be seen. Write one plain line.");
        }
        if text.chars().count() > LINE_CHARS_MAX {
            self.wrong(name, &format!("It is longer than {LINE_CHARS_MAX} characters. Shorten it."));
        }
        Some(text)
    }

    /// A text of several lines that must be there.
    pub(crate) fn text(&mut self, name: &'static str, hint: &str) -> String {
        let Some(text) = self.text_of(name) else {
            self.wrong(name, &format!("It is missing. {hint}"));
            return String::new();
        };
        if text.chars().count() > TEXT_CHARS_MAX {
            self.wrong(
                name,
                &format!("It is longer than {TEXT_CHARS_MAX} characters. Send the rest as a file."),
            );
        }
        let text = visible(&text);
        if text.trim().is_empty() {
            self.wrong(name, &format!("It has no characters that can be seen. {hint}"));
        }
        text
    }

    /// `true` or `false`, or what a checkbox sends.
    pub(crate) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(value) => Some(value),
            Value::String(text) => {
                let value = as_boolean(&text);
                if value.is_none() {
                    self.wrong(name, "Write `true` or `false`.");
                }
                value
            }
            _ => {
                self.wrong(name, "Write `true` or `false`.");
                None
            }
        }
    }

    /// Ends the reading. A field that nobody asked for is a mistake: most are misspelled.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        let names: Vec<_> = self.values.keys().cloned().collect();
        for name in names {
            let shown: String = name.chars().filter(|c| !is_unprintable(*c)).take(50).collect();
            self.wrong(&shown, &format!("No field has this name. Use {}.", self.known.join(", ")));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(problem::bad_fields(&self.errors)) }
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.values.remove(name)
    }

    /// A text, or a number as one. An empty one counts as left out.
    fn text_of(&mut self, name: &'static str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) if text.trim().is_empty() => None,
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => {
                self.wrong(name, "It is not a text. Put it in quotes.");
                Some(String::new())
            }
        }
    }
}

pub(crate) fn as_boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" | "" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        let Value::Object(values) = value else { panic!("not an object") };
        Fields::of_json(values)
    }

    fn errors(fields: Fields) -> Vec<String> {
        let Err(problem) = fields.finish() else { return Vec::new() };
        problem.field_errors().into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn every_mistake_is_named() {
        let mut read = fields(json!({
            "subject": "a\nb", "long": "x".repeat(151), "number": 12, "flag": "maybe", "list": [1], "typo": 1, "none": null,
            "text": "a\r\nb\u{202e}\u{7}c",
        }));
        read.line("subject", "");
        read.line("long", "");
        assert_eq!(read.line("number", ""), "12");
        assert_eq!(read.boolean("flag"), None);
        read.line("list", "");
        read.line("missing", "Write it.");
        assert_eq!(read.optional_line("none"), None);
        assert_eq!(read.text("text", ""), "a\nbc");
        assert_eq!(errors(read), ["subject", "long", "flag", "list", "missing", "typo"]);
    }

    #[test]
    fn forms_leave_out_what_is_empty() {
        let pairs = [("subject", " "), ("nfr", "on"), ("case_number", "1"), ("case_number", "2")];
        let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut read = Fields::of_form(pairs);
        assert_eq!((read.optional_line("subject"), read.boolean("nfr")), (None, Some(true)));
        read.optional_line("case_number");
        assert_eq!(errors(read), ["case_number"]);
    }
}
