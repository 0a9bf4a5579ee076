//! Refuses calls beyond the account's limit, and reports the limit in Zendesk's headers.

use std::sync::{Arc, PoisonError};

use axum::extract::{Request, State as Shared};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::answer::Refusal;
use super::instance::Desk;

pub(super) async fn account(Shared(desk): Shared<Arc<Desk>>, request: Request, next: Next) -> Response {
    let (now, most) = (desk.now(), desk.options.requests_per_minute);
    let left = desk.limits.lock().unwrap_or_else(PoisonError::into_inner).call(now, most);
    let reset = 60 - now.rem_euclid(60);
    let mut response = match left {
        Some(_) => next.run(request).await,
        None => Refusal::too_many(reset).into_response(),
    };
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert("x-rate-limit", most.into());
    headers.insert("x-rate-limit-remaining", left.unwrap_or(0).into());
    headers.insert("ratelimit-limit", most.into());
    headers.insert("ratelimit-remaining", left.unwrap_or(0).into());
    headers.insert("ratelimit-reset", reset.into());
    response
}
