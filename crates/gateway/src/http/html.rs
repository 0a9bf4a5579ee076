//! Pages for people, in their language.

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_LANGUAGE, VARY};
use axum::response::{Html, IntoResponse, Response};
use page::Language;

/// The language that a browser asks for. Unreadable headers ask for none.
pub(crate) fn language(headers: &HeaderMap) -> Language {
    let lines: Vec<_> =
        headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|line| line.to_str().ok()).collect();
    Language::wanted(&lines.join(","))
}

/// The headers of a page in a language, which nobody keeps: its address may be a secret.
pub(crate) fn headers(language: Language) -> [(axum::http::HeaderName, &'static str); 3] {
    [(CACHE_CONTROL, "no-store"), (VARY, "Accept-Language"), (CONTENT_LANGUAGE, language.tag())]
}

pub(crate) fn response(language: Language, html: String) -> Response {
    (headers(language), Html(html)).into_response()
}
