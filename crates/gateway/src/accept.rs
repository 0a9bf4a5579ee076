//! The format of an answer, as the client's `Accept` asks for it. Pure.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseFormat {
    /// For a terminal.
    Text,
    Json,
    Html,
}

impl ResponseFormat {
    /// Browsers name HTML and programs JSON; curl accepts anything.
    pub(crate) fn wanted(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let types: Vec<_> = lines
            .flat_map(|line| line.split(','))
            .map(|item| item.split(';').next().unwrap_or_default().trim())
            .collect();
        let names = |wanted: &str| types.iter().any(|found| found.eq_ignore_ascii_case(wanted));
        if names("text/html") {
            Self::Html
        } else if names("application/json") || names("application/problem+json") {
            Self::Json
        } else {
            Self::Text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for (lines, expected) in [
            (&["*/*"][..], ResponseFormat::Text),
            (&["application/json"], ResponseFormat::Json),
            (&["text/plain, application/json;q=0.5"], ResponseFormat::Json),
            (&["text/html,application/xhtml+xml,*/*;q=0.8"], ResponseFormat::Html),
            (&[""], ResponseFormat::Text),
            (&["text/plain", "application/json"], ResponseFormat::Json),
            (&[], ResponseFormat::Text),
        ] {
            let headers = lines.iter().map(|line| (ACCEPT, line.parse().unwrap())).collect();
            assert_eq!(ResponseFormat::wanted(&headers), expected, "{lines:?}");
        }
    }
}
