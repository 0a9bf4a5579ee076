//! Accepts connections and speaks HTTP on them: TLS where it is configured, HTTP/1.1 or HTTP/2 as the client asks.
//! Invariant: what a connection may make us hold is bounded before it is served: its head by size and time, its place by
//! `max_connections`, its HTTP/2 window by a share of the byte budget. When the share is spent, clients get HTTP/1.1.

mod raw;
mod watch;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use raw::Raw;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use upload::{Budget, Window};
use watch::{Watch, drive};

use crate::config::Limits;
use crate::problem;
use crate::proxy::Connection;
use crate::tls::Tls;

/// Largest request head, bytes; a larger one is answered 431.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// What an HTTP/1.1 connection buffers outside of the budget: as fast as larger ones, and `max_connections` of them stay
/// small. Where hyper's buffer grows it doubles, and may hold nearly twice this: by itself it bounds no head.
const BUFFER_BYTES: usize = 64 * 1024;
/// HTTP/2 window of a connection and of each of its streams: at 50 ms of delay, 80 MB/s.
const WINDOW_BYTES: u32 = 4 << 20;
/// Of an answer, so much is buffered for one stream: at most `STREAMS_MAX` of them for a connection.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// Requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 32;
/// Streams a client may open and reset unseen before the connection is ended (rapid reset, CVE-2023-44487).
const RESETS_MAX: usize = 20;
/// Streams we may have to reset before the connection is ended. A client may assume room for 100 streams until it has read
/// our settings (RFC 9113 section 6.5.2); what is over `STREAMS_MAX` is refused, and safe to send again.
const REFUSALS_MAX: usize = 128;
/// An HTTP/2 connection whose peer does not answer a ping for so long is gone.
const PING_EVERY: Duration = Duration::from_secs(20);
/// After an error of `accept` (no descriptors left, say), wait before the next: the error comes at once again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A TLS handshake takes no longer, the wait for its first byte included.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// When a part of the preface has come, wait before the next look; each time twice as long.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// What an HTTP/2 connection begins with (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What an HTTP/2 client is told when the share for windows is spent: empty SETTINGS, and GOAWAY with the error
/// `HTTP_1_1_REQUIRED` (RFC 9113 sections 3.4, 6.8 and 7).
const HTTP1_REQUIRED: &[u8] =
    &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13];
/// Of what a client still sends after it was refused here, so much is read, that it may see the refusal.
const REFUSED_BYTES_MAX: u64 = 64 << 20;

/// How to serve connections.
#[derive(Clone)]
pub(crate) struct Listen {
    pub(crate) router: Router,
    pub(crate) tls: Option<Tls>,
    pub(crate) connections_max: usize,
    /// What the windows of HTTP/2 connections are charged to; none: they are not served.
    pub(crate) budget: Option<Budget>,
    /// For a request head and an idle connection, and for what is read on after a refusal.
    pub(crate) limits: Limits,
    pub(crate) stop: CancellationToken,
}

impl Listen {
    /// Serves until `stop`, then lets the connections under way end.
    pub(crate) async fn run(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(self.connections_max.min(Semaphore::MAX_PERMITS)));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => break,
                accepted = accept(&listener, &places) => accepted,
            };
            let Some((stream, peer, place)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let listen = self.clone();
            connections.spawn(async move {
                listen.connection(stream, peer).await;
                drop(place);
            });
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr) {
        let _ = stream.set_nodelay(true);
        if let Some(tls) = &self.tls {
            let patience = HANDSHAKE_TIMEOUT.min(self.limits.header_timeout);
            if let Some((stream, window)) = self.begun(patience, self.secured(tls, stream)).await {
                self.serve(stream, Connection { peer, tls: true }, window).await;
            }
        } else if let Some((stream, window)) =
            self.begun(self.limits.header_timeout, self.plain(stream)).await
        {
            self.serve(stream, Connection { peer, tls: false }, window).await;
        }
    }

    /// What a connection begins with, if it begins in time. At a stop, one that has asked for nothing yet is closed.
    async fn begun<T>(&self, patience: Duration, begin: impl Future<Output = Option<T>>) -> Option<T> {
        tokio::select! {
            biased;
            begun = tokio::time::timeout(patience, begin) => begun.ok()?,
            () = self.stop.cancelled() => None,
        }
    }

    /// The connection after the handshake, with a window if it is HTTP/2. One is charged when a client asks for it, so
    /// that connections which say nothing take none.
    async fn secured(&self, tls: &Tls, stream: TcpStream) -> Option<(TlsStream<TcpStream>, Option<Window>)> {
        if first_byte(&stream).await.ok()??.is_ascii_uppercase() {
            refuse(stream, &plain_refused()).await;
            return None;
        }
        let mut window = None;
        let room = || {
            window = self.window();
            window.is_some()
        };
        let (stream, is_http2) = tls.accept(stream, room).await.ok()?;
        Some((stream, window.filter(|_| is_http2)))
    }

    /// The connection, with a window if it is HTTP/2.
    async fn plain(&self, stream: TcpStream) -> Option<(TcpStream, Option<Window>)> {
        if !begins_with_preface(&stream).await.ok()? {
            return Some((stream, None));
        }
        // A client that knows that HTTP/2 is spoken here may know nothing else: it gets a moment's patience.
        let window = match &self.budget {
            Some(budget) => budget.window_soon(WINDOW_BYTES as usize).await,
            None => None,
        };
        if window.is_none() {
            refuse(stream, HTTP1_REQUIRED).await;
            return None;
        }
        Some((stream, window))
    }

    fn window(&self) -> Option<Window> {
        self.budget.as_ref()?.window(WINDOW_BYTES as usize)
    }

    async fn serve<S>(&self, stream: S, connection: Connection, window: Option<Window>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let watch = Arc::new(Watch::default());
        let (router, watched) = (self.router.clone(), Arc::clone(&watch));
        // Of HTTP/1.1, `body::linger` reads on where that is due.
        let linger = window.is_some().then(|| self.limits.clone());
        let seen = raw::Shared::default();
        let heads = Arc::clone(&seen);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let (at_work, watch) = (watched.handler(), Arc::clone(&watched));
            let fragment = raw::request(&heads, request.body().size_hint().exact());
            let mut request = request.map(|body| Body::new(watch.incoming(body, linger.clone())));
            request.extensions_mut().insert(connection);
            if let Some(fragment) = fragment {
                request.extensions_mut().insert(fragment);
            }
            let answer = router.clone().oneshot(request);
            async move {
                let answer = answer.await;
                drop(at_work);
                answer.map(|answer| answer.map(|body| watch.outgoing(body)))
            }
        });
        if window.is_some() {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_stream_window_size(WINDOW_BYTES)
                .initial_connection_window_size(WINDOW_BYTES)
                .max_concurrent_streams(STREAMS_MAX)
                .max_pending_accept_reset_streams(RESETS_MAX)
                .max_local_error_reset_streams(REFUSALS_MAX)
                .max_send_buf_size(SEND_BYTES_MAX)
                .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_EVERY)
                .serve_connection(TokioIo::new(stream), service);
            drive(connection, &self.stop, &watch, self.limits.header_timeout, true).await;
        } else {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.limits.header_timeout)
                // A client that has sent everything and shut its side down still gets its answer.
                .half_close(true)
                .max_header_size(HEAD_BYTES_MAX)
                .max_buf_size(BUFFER_BYTES)
                .serve_connection(TokioIo::new(Raw::new(stream, Arc::clone(&watch), seen)), service);
            drive(connection, &self.stop, &watch, self.limits.header_timeout, false).await;
        }
        drop(window);
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) => {
            tracing::warn!(error = %error, "accept connection");
            None
        }
    }
}

/// The first byte a client sends. Looks without taking; none when it sent nothing and left.
async fn first_byte(stream: &TcpStream) -> std::io::Result<Option<u8>> {
    let mut first = [0];
    Ok((stream.peek(&mut first).await? > 0).then_some(first[0]))
}

/// What a client is told that begins with the name of a method, where a TLS client begins with a handshake (22).
fn plain_refused() -> Vec<u8> {
    let why = "This address speaks TLS: write https:// instead of http://.";
    raw::answer(&problem::bad_request(why), &["connection: close"])
}

/// Says this and closes. What the client sends meanwhile is thrown away: closing with something unread would take the
/// answer away from it.
async fn refuse(mut stream: TcpStream, answer: &[u8]) {
    let said = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(REFUSED_BYTES_MAX), &mut tokio::io::sink()).await
    };
    // A client that has left needs no answer.
    let _ = said.await;
}

/// Whether the client speaks HTTP/2 without being asked (prior knowledge). Looks without taking.
async fn begins_with_preface(stream: &TcpStream) -> std::io::Result<bool> {
    let mut seen = [0; PREFACE.len()];
    let (mut before, mut pause) = (0, PREFACE_PAUSE);
    loop {
        let got = stream.peek(&mut seen).await?;
        if got == PREFACE.len() || got == 0 || seen[..got] != PREFACE[..got] {
            return Ok(seen[..got] == *PREFACE);
        }
        // `peek` answers at once while there is something: wait for more without turning in circles.
        if got == before {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        before = got;
    }
}
