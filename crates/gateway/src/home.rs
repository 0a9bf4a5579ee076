//! `GET /`: what this host is, and whom to ask.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use crate::accept::ResponseFormat;
use crate::http::html;
use crate::state::AppState;

pub(crate) async fn get(State(state): State<AppState>, headers: HeaderMap) -> Response {
    let support = &state.tickets.policy().support;
    let ask = support.ask.as_deref();
    if ResponseFormat::wanted(&headers) == ResponseFormat::Html {
        let language = html::language(&headers);
        let page = page::HomePage { language, ask, form_page: support.form_page.as_deref() };
        return html::response(language, page::html(&page));
    }
    let whom = ask.map_or_else(|| "on your ticket".to_owned(), str::to_owned);
    format!(
        "Partners send files to support here, through a link that support gives them.\n\
         Without such a link there is nothing to do here. To get a link, ask {whom}.\n"
    )
    .into_response()
}
