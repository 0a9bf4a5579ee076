//! Serves one HTTP/1.1 connection.
//! Invariant: what the connection buffers is bounded, and a connection whose peer reads nothing ends.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::head;
use super::idle_timeout::{ActivityTracker, Due, Quiet};
use super::raw_heads::{self, RawHeads};

/// What a connection buffers outside of the budget. Larger buffers are no faster, and `max_connections` of these stay small.
/// Hyper doubles its buffer and may hold nearly twice this, so this alone bounds no head.
const BUFFER_BYTES: usize = 64 * 1024;

pub(super) struct Serving<'a, F> {
    pub(super) answer: F,
    pub(super) tracker: Arc<ActivityTracker>,
    pub(super) idle: Duration,
    pub(super) stop: &'a CancellationToken,
}

impl<F, A> Serving<'_, F>
where
    F: Fn(Request<Body>) -> A,
    A: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    /// Serves the connection to its end. After a stop it accepts no more requests. Hyper ends connections that are idle between
    /// requests; a connection whose peer reads nothing is dropped here.
    pub(super) async fn run(self, io: impl AsyncRead + AsyncWrite + Unpin) {
        let seen = raw_heads::Shared::default();
        let heads = Arc::clone(&seen);
        let service = service_fn(|request: Request<Incoming>| {
            let fragment = raw_heads::request(&heads, request.body().size_hint().exact());
            let mut request = request.map(Body::new);
            if let Some(fragment) = fragment {
                request.extensions_mut().insert(fragment);
            }
            // In a task of its own: the connection's task is woken for every frame, and would poll all of the router each time.
            let answer = AbortOnDropHandle::new(tokio::spawn((self.answer)(request)));
            async {
                match answer.await {
                    Ok(answer) => answer,
                    Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                    // The runtime shuts down.
                    Err(_) => pending().await,
                }
            }
        });
        let io = TokioIo::new(RawHeads::new(io, Arc::clone(&self.tracker), seen));
        let mut connection = pin!(
            Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.idle)
                // A client that has sent everything and shut its side down still gets its answer.
                .half_close(true)
                .max_header_size(head::BYTES_MAX)
                .max_buf_size(BUFFER_BYTES)
                .serve_connection(io, service)
        );
        let (mut stopping, mut quiet) = (false, Quiet::new(self.idle));
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error = %error, "connection ended");
                    }
                    return;
                }
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                due = quiet.check(&self.tracker) => if due == Due::End {
                    tracing::debug!("connection dropped: its peer reads nothing");
                    return;
                }
            }
        }
    }
}
