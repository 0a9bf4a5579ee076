//! What the desk and Slack call. Each answer follows a durable record, and the work is a job.
//! Invariant: nothing happens without a valid and fresh signature, and nothing happens twice.

pub(crate) mod slack;
pub(crate) mod workflow;
pub(crate) mod zendesk;

use std::collections::HashMap;

use axum::body::Body;
use axum::http::HeaderMap;
use bytes::Bytes;
use desk::slack::Slack;

use crate::http::bounded_body;
use crate::problem::{self, Problem};

/// Largest body: a signature covers all of it.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// The secrets of hooks, and the client for answers. A hook without its secret does not exist.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) zendesk_secret: Option<String>,
    pub(crate) slack: Option<Slack>,
    /// Hashes of the secrets of partners' workflows, by short name.
    pub(crate) workflow_hashes: HashMap<String, String>,
}

/// The body of a signed request. One without a signature is refused before its body is read.
async fn signed_body(signature: &str, body: Body) -> Result<Bytes, Problem> {
    if signature.is_empty() {
        return Err(problem::bad_signature("The request has no signature."));
    }
    bounded_body::read(body, BODY_BYTES_MAX).await
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
