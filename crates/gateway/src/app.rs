//! What every request handler can reach, and how the routes are put together.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::HeaderMap;
use axum::routing::{any, get};
use bucket::Buckets;
use desk::Desk;
use ledger::{Ledger, Link};
use upload::Uploads;

use crate::config::Limits;
use crate::rate::{Absent, Rates};
use crate::{head, headers, observe, ops, partner, problem, proxy, staff};

/// The gateway's parts; clones share them.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) ledger: Ledger,
    pub(crate) buckets: Buckets,
    pub(crate) desk: Desk,
    pub(crate) uploads: Uploads,
    pub(crate) limits: Limits,
    /// Requests of each link.
    pub(crate) requests: Rates,
    /// Tickets that each unbound link names and the desk is, or may be, asked about.
    pub(crate) lookups: Rates,
    pub(crate) absent: Absent,
    /// Without a slash at its end.
    pub(crate) public_url: String,
    /// Whose word on the client's address and scheme is taken.
    pub(crate) trusted_proxies: Vec<ipnet::IpNet>,
    pub(crate) draining: std::sync::atomic::AtomicBool,
    /// The last time it was tried, nothing could be written to the ledger.
    pub(crate) ledger_refuses: std::sync::atomic::AtomicBool,
    /// Where the ledger is, if it is a file.
    pub(crate) ledger_file: Option<std::path::PathBuf>,
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// How long an upload that nobody works on stays before it is cancelled or completed.
pub(crate) const IDLE_UPLOAD: Duration = Duration::from_secs(60);

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Requests that this link may make in a minute.
    pub(crate) fn requests_per_minute(&self, link: &Link) -> u32 {
        let own = link.max_requests_per_minute.map(|max| u32::try_from(max).unwrap_or(u32::MAX));
        own.unwrap_or(self.limits.link_requests_per_minute)
    }

    /// Every route of the public address.
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/healthz", get(ops::healthz))
            .route("/readyz", get(ops::readyz))
            .method_not_allowed_fallback(|headers: HeaderMap| async move {
                problem::method_not_allowed("GET, HEAD").answer(headers::wanted(&headers))
            })
            .nest("/api/v1", staff::router())
            .fallback(|request: Request| async move {
                problem::not_found_at(request.uri().path()).answer(headers::wanted(request.headers()))
            })
            .layer(axum::middleware::from_fn_with_state(self.clone(), head::checked))
            // Checks its heads by itself: its refusals say more.
            .route("/u/{*rest}", any(partner::handle))
            .layer(axum::middleware::from_fn(ops::common_headers))
            // Sizes are counted where the bytes are read; no extractor collects a body of a partner's.
            .layer(DefaultBodyLimit::max(staff::BODY_BYTES_MAX))
            // No answer goes without the request's id.
            .layer(axum::middleware::from_fn(observe::request))
            .layer(axum::middleware::from_fn_with_state(self.clone(), proxy::identify))
            .with_state(self.clone())
    }
}
