//! Accepts connections and speaks HTTP on them: TLS where it is configured, HTTP/1.1 or HTTP/2 as the client asks.
//! Invariant: what a connection may make us hold is bounded before it is served: its head by size and time, its place by
//! `max_connections`, its HTTP/2 window by a share of the byte budget. When the share is spent, clients get HTTP/1.1.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use upload::{Budget, Window};

use crate::proxy::Connection;
use crate::tls::Tls;

/// Largest request head, bytes; a larger one is answered 431. Also what an HTTP/1.1 connection may buffer outside of the
/// budget: as fast as larger ones, and `max_connections` of them stay small.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// HTTP/2 window of a connection and of each of its streams: at 50 ms of delay, 80 MB/s.
const WINDOW_BYTES: u32 = 4 << 20;
/// Of an answer, so much is buffered for one stream: at most `STREAMS_MAX` of them for a connection.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// Requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 32;
/// Streams a client may open and reset before the connection is ended (rapid reset, CVE-2023-44487).
const RESETS_MAX: usize = 20;
/// An HTTP/2 connection whose peer does not answer a ping for so long is gone.
const PING_EVERY: Duration = Duration::from_secs(20);
/// After an error of `accept` (no descriptors left, say), wait before the next: the error comes at once again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A TLS handshake takes no longer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// What an HTTP/2 connection begins with (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client is told that speaks plain HTTP where TLS is spoken.
const PLAIN_REFUSED: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\
    content-length: 60\r\n\r\nThis address speaks TLS. Write https:// instead of http://.\n";

/// How to serve connections.
#[derive(Clone)]
pub(crate) struct Listen {
    pub(crate) router: Router,
    pub(crate) tls: Option<Tls>,
    pub(crate) connections_max: usize,
    /// What the windows of HTTP/2 connections are charged to; none: they are not served.
    pub(crate) budget: Option<Budget>,
    /// For a request head, and for an idle connection.
    pub(crate) header_timeout: Duration,
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
        let http2 = self.budget.as_ref().and_then(|budget| budget.window(WINDOW_BYTES as usize));
        match &self.tls {
            Some(tls) => {
                let first = tokio::time::timeout(self.header_timeout, first_byte(&stream)).await;
                if matches!(first, Ok(Ok(Some(byte))) if byte.is_ascii_uppercase()) {
                    return refuse_plain(stream).await;
                }
                let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream, http2.is_some()));
                let Ok(Ok((stream, is_http2))) = handshake.await else { return };
                let connection = Connection { peer, tls: true };
                self.serve(stream, connection, http2.filter(|_| is_http2)).await;
            }
            None => {
                let begun = tokio::time::timeout(self.header_timeout, begins_with_preface(&stream));
                let Ok(Ok(is_http2)) = begun.await else { return };
                if is_http2 && http2.is_none() {
                    return;
                }
                let connection = Connection { peer, tls: false };
                self.serve(stream, connection, http2.filter(|_| is_http2)).await;
            }
        }
    }

    async fn serve<S>(self, stream: S, connection: Connection, window: Option<Window>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let active = Arc::new(AtomicUsize::new(0));
        let router = self.router.clone();
        let counted = Arc::clone(&active);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let under_way = UnderWay::new(&counted);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(connection);
            let answer = router.clone().oneshot(request);
            async move {
                let answer = answer.await;
                drop(under_way);
                answer
            }
        });
        let io = TokioIo::new(stream);
        if window.is_some() {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_stream_window_size(WINDOW_BYTES)
                .initial_connection_window_size(WINDOW_BYTES)
                .max_concurrent_streams(STREAMS_MAX)
                .max_pending_accept_reset_streams(RESETS_MAX)
                .max_local_error_reset_streams(RESETS_MAX)
                .max_send_buf_size(SEND_BYTES_MAX)
                .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_EVERY)
                .serve_connection(io, service);
            drive(connection, &self.stop, Some((self.header_timeout, active))).await;
        } else {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.header_timeout)
                // A client that has sent everything and shut its side down still gets its answer.
                .half_close(true)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(io, service);
            drive(connection, &self.stop, None).await;
        }
        drop(window);
    }
}

/// A request under way on a connection.
struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn new(active: &Arc<AtomicUsize>) -> Self {
        active.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(active))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves one connection to its end. At a stop it takes no more requests. An HTTP/2 connection that had no request at the
/// beginning and at the end of an idle time is ended: hyper bounds that for HTTP/1.1 only.
async fn drive<C>(connection: C, stop: &CancellationToken, idle: Option<(Duration, Arc<AtomicUsize>)>)
where
    C: GracefulConnection,
    C::Error: std::fmt::Display,
{
    let mut connection = pin!(connection);
    let (mut stopping, mut was_idle) = (false, false);
    loop {
        let idle_time = async {
            match &idle {
                Some((time, _)) if !stopping => tokio::time::sleep(*time).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error = %error, "connection ended");
                }
                return;
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = idle_time => {
                let is_idle = idle.as_ref().is_some_and(|(_, active)| active.load(Ordering::Relaxed) == 0);
                if is_idle && was_idle {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                was_idle = is_idle;
            }
        }
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

/// Tells a client that begins with the name of a method, where a TLS client begins with a handshake (22).
async fn refuse_plain(mut stream: TcpStream) {
    let said = tokio::time::timeout(HANDSHAKE_TIMEOUT, async {
        stream.write_all(PLAIN_REFUSED).await?;
        stream.shutdown().await?;
        // Closing with something unread would take the answer away from the client.
        tokio::io::copy(&mut (&mut stream).take(HEAD_BYTES_MAX as u64), &mut tokio::io::sink()).await
    });
    let _ = said.await;
}

/// Whether the client speaks HTTP/2 without being asked (prior knowledge). Looks without taking.
async fn begins_with_preface(stream: &TcpStream) -> std::io::Result<bool> {
    let mut seen = [0; PREFACE.len()];
    let mut before = 0;
    loop {
        let got = stream.peek(&mut seen).await?;
        if got == PREFACE.len() || got == 0 || seen[..got] != PREFACE[..got] {
            return Ok(seen[..got] == *PREFACE);
        }
        // `peek` answers at once while there is something: wait for more without turning in circles.
        if got == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        before = got;
    }
}
