//! `GET /api/v2/search`: the part of Zendesk's query language that finds the tickets of an organization.
//! Invariant: an unknown term finds nothing, rather than being ignored and finding everything.

use std::sync::Arc;

use axum::extract::{Query, State as Shared};
use axum::response::Json;
use serde_json::Value;

use super::answer::Refusal;
use super::instance::{Desk, Params};
use super::model::{Status, Ticket};
use super::paging::{answer, number};
use super::render::Base;

/// Zendesk shows the first 1,000 results and answers 422 beyond.
const MOST: usize = 1_000;

/// One word of a query: `-status<solved` is `{field: "status", comparison: '<', value: "solved", negated: true}`.
#[derive(Debug, PartialEq)]
struct Term {
    negated: bool,
    /// Empty for plain text.
    field: String,
    /// `:` or `<`.
    comparison: char,
    value: String,
}

pub(super) async fn search(
    Shared(desk): Shared<Arc<Desk>>,
    base: Base,
    Query(params): Query<Params>,
) -> Result<Json<Value>, Refusal> {
    let (page, size) = (number(&params, "page", 1)?, number(&params, "per_page", 100)?.clamp(1, 100));
    if page.saturating_mul(size) > MOST {
        return Err(Refusal::unprocessable(
            "invalid",
            "Invalid search: Requested response size was greater than Search Response Limits",
        ));
    }
    let terms = parse(params.get("query").map_or("", String::as_str));
    if terms.is_empty() {
        return Err(Refusal::unprocessable("invalid", "Invalid search: query is missing"));
    }
    let state = desk.read();
    let found: Vec<_> =
        state.tickets.values().filter(|ticket| !ticket.deleted && matches(ticket, &terms)).collect();
    let item = |ticket: &Ticket| {
        let mut item = base.ticket(ticket);
        item["result_type"] = "ticket".into();
        item
    };
    answer("results", &found, |ticket| ticket.id, item, (&params, &base, "search"))
}

fn matches(ticket: &Ticket, terms: &[Term]) -> bool {
    terms.iter().all(|term| fits(ticket, term) != term.negated)
}

fn fits(ticket: &Ticket, term: &Term) -> bool {
    let value = term.value.as_str();
    let number = value.parse::<u64>().ok();
    match term.field.as_str() {
        "" => number == Some(ticket.id) || texts(ticket).any(|text| contains(text, value)),
        "type" => value == "ticket",
        "subject" => contains(&ticket.subject, value),
        "external_id" => ticket.external_id.as_deref() == Some(value),
        "organization" => number.is_some() && ticket.organization_id == number,
        "tags" => ticket.tags.iter().any(|tag| tag == &value.to_lowercase()),
        "status" => Status::parse(&value.to_lowercase()).is_some_and(|wanted| match term.comparison {
            '<' => ticket.status < wanted,
            _ => ticket.status == wanted,
        }),
        "fieldvalue" => ticket.custom_fields.iter().any(|field| shows(&field.value, value)),
        field => {
            field.strip_prefix("custom_field_").and_then(|id| id.parse::<u64>().ok()).is_some_and(|id| {
                ticket.custom_fields.iter().any(|field| field.id == id && shows(&field.value, value))
            })
        }
    }
}

/// Subject first, then every comment.
fn texts(ticket: &Ticket) -> impl Iterator<Item = &str> {
    std::iter::once(ticket.subject.as_str())
        .chain(ticket.comments.iter().map(|comment| comment.body.as_str()))
}

fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

fn shows(value: &Value, text: &str) -> bool {
    match value {
        Value::String(value) => value.eq_ignore_ascii_case(text),
        Value::Number(value) => value.to_string() == text,
        Value::Bool(value) => value.to_string() == text,
        _ => false,
    }
}

fn parse(query: &str) -> Vec<Term> {
    let mut terms = Vec::new();
    let mut rest = query.trim_start();
    while !rest.is_empty() {
        let mut quoted = false;
        let end = rest.find(|c: char| {
            quoted ^= c == '"';
            c.is_whitespace() && !quoted
        });
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after.trim_start();
        terms.extend(term(word));
    }
    terms
}

fn term(word: &str) -> Option<Term> {
    let (negated, word) = word.strip_prefix('-').map_or((false, word), |word| (true, word));
    let split = word.find([':', '<']).filter(|_| !word.starts_with('"'));
    let (field, comparison, value) = match split {
        Some(at) => (&word[..at], char::from(word.as_bytes()[at]), &word[at + 1..]),
        None => ("", ':', word),
    };
    let value = value.trim_matches('"').to_owned();
    if field.is_empty() && value.is_empty() {
        return None;
    }
    Some(Term { negated, field: field.to_lowercase(), comparison, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_parsed_into_terms() {
        let term = |negated, field: &str, comparison, value: &str| Term {
            negated,
            field: field.to_owned(),
            comparison,
            value: value.to_owned(),
        };
        let cases = [
            (
                "type:ticket organization:7",
                vec![term(false, "type", ':', "ticket"), term(false, "organization", ':', "7")],
            ),
            (r#"subject:"a b" c"#, vec![term(false, "subject", ':', "a b"), term(false, "", ':', "c")]),
            ("-status:closed", vec![term(true, "status", ':', "closed")]),
            ("status<solved", vec![term(false, "status", '<', "solved")]),
            (r#""x: y""#, vec![term(false, "", ':', "x: y")]),
            ("  ", vec![]),
        ];
        for (query, terms) in cases {
            assert_eq!(parse(query), terms, "{query}");
        }
    }
}
