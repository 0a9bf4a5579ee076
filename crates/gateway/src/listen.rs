//! Accepts connections and speaks HTTP on them: TLS where it is configured, HTTP/1.1 or HTTP/2 as the client asks.
//! Invariant: what a connection may make us hold is bounded before it is served: its head by size and time, its place by
//! `max_connections` and its address's share of them, its HTTP/2 window by what it has shown and the budget. When that is spent, TLS clients are
//! offered HTTP/1.1.

mod http2;
mod places;
mod raw;
mod watch;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use raw::Raw;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use upload::MemoryBudget;

use places::{NoPlace, Place, Places, UnderWay};
use watch::{Watch, drive};

use crate::config::Limits;
use crate::problem;
use crate::proxy::Connection;
use crate::tls::Tls;

/// What an HTTP/1.1 connection buffers outside of the budget: as fast as larger ones, and `max_connections` of them stay
/// small. Where hyper's buffer grows it doubles, and may hold nearly twice this: by itself it bounds no head.
const BUFFER_BYTES: usize = 64 * 1024;
/// Connections that the system completes before they are accepted. Beyond that it drops their handshakes, and clients
/// wait seconds or are reset. The system may have a lower bound (`net.core.somaxconn`, 4096 on Linux).
const BACKLOG: u32 = 4096;
/// After an error of `accept` (no descriptors left, say), wait before the next: the error comes at once again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Such errors are told no more often.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// A TLS handshake takes no longer, the wait for its first byte included.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// When a part of the preface has come, wait before the next look; each time twice as long.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// What an HTTP/2 connection begins with (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Of what a client still sends after it was refused here, so much is read, that it may see the refusal.
const REFUSED_BYTES_MAX: u64 = 64 << 20;
/// Clients who are told at the same time that there is no place for them; others are not told.
const TURNED_AWAY_MAX: usize = 64;
/// It takes no longer to tell one.
const TURNED_AWAY_TIMEOUT: Duration = Duration::from_secs(2);

/// Listens on this address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// How to serve connections.
#[derive(Clone)]
pub(crate) struct Listen {
    pub(crate) router: Router,
    pub(crate) tls: Option<Tls>,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address: usize,
    /// Behind these there are many.
    pub(crate) proxies: Vec<IpNet>,
    /// What the windows of HTTP/2 connections are charged to; none: they stay small.
    pub(crate) budget: Option<MemoryBudget>,
    /// For a request head and an idle connection, and for what is read on after a refusal.
    pub(crate) limits: Limits,
    pub(crate) stop: CancellationToken,
}

impl Listen {
    /// Serves until `stop`, then lets the connections under way end.
    pub(crate) async fn run(self, listener: TcpListener) {
        let places = Places::new(self.connections_max, self.connections_per_address, self.proxies.clone());
        let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
        let (connections, mut failures) = (TaskTracker::new(), Failures::default());
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    failures.tell(&error);
                    places.shed();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let place = tokio::select! {
                () = self.stop.cancelled() => break,
                place = place(&places, peer) => place,
            };
            if let Some(place) = place {
                connections.spawn(self.clone().connection(stream, peer, place));
            } else if self.tls.is_none()
                && let Ok(permit) = Arc::clone(&turned_away).try_acquire_owned()
            {
                connections.spawn(async move {
                    let _ = tokio::time::timeout(TURNED_AWAY_TIMEOUT, refuse(stream, &no_place())).await;
                    drop(permit);
                });
            }
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr, place: Place) {
        tokio::select! {
            // It may have a last word.
            biased;
            () = self.served(stream, peer, &place) => {}
            () = place.displaced() => {}
        }
    }

    async fn served(&self, stream: TcpStream, peer: SocketAddr, place: &Place) {
        let _ = stream.set_nodelay(true);
        if let Some(tls) = &self.tls {
            let patience = HANDSHAKE_TIMEOUT.min(self.limits.header_timeout);
            let secured = async {
                if first_byte(&stream).await.ok()??.is_ascii_uppercase() {
                    refuse(stream, &plain_refused()).await;
                    return None;
                }
                let room = || self.budget.as_ref().is_some_and(http2::has_room);
                tls.accept(stream, room).await.ok()
            };
            if let Some((stream, http2)) = self.begun(patience, secured).await {
                self.serve(stream, Connection { peer, tls: true }, http2, place).await;
            }
        } else {
            let begins = async { begins_with_preface(&stream).await.ok() };
            if let Some(http2) = self.begun(self.limits.header_timeout, begins).await {
                self.serve(stream, Connection { peer, tls: false }, http2, place).await;
            }
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

    async fn serve<S>(&self, stream: S, connection: Connection, http2: bool, place: &Place)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let watch = Arc::new(Watch::default());
        // Of HTTP/1.1, `body::linger` reads on where that is due.
        let linger = http2.then(|| self.limits.clone());
        let answer = |request: Request| {
            let (at_work, under_way, watch) = (watch.handler(), place.begin(), Arc::clone(&watch));
            let mut request = request.map(|body| Body::new(watch.incoming(body, linger.clone())));
            request.extensions_mut().insert(connection);
            request.extensions_mut().insert(under_way.clone());
            let answer = self.router.clone().oneshot(request);
            async move {
                let answer: Result<Response, Infallible> = answer.await;
                drop(at_work);
                answer.map(|answer| answer.map(|body| Body::new(watch.outgoing(body, Some(under_way)))))
            }
        };
        let idle = self.limits.header_timeout;
        if http2 {
            let (watch, budget, stop) = (Arc::clone(&watch), self.budget.as_ref(), &self.stop);
            Box::pin(http2::Serving { answer, watch, place, budget, idle, stop }.run(stream)).await;
        } else {
            let seen = raw::Shared::default();
            let heads = Arc::clone(&seen);
            let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| {
                let fragment = raw::request(&heads, request.body().size_hint().exact());
                let mut request = request.map(Body::new);
                if let Some(fragment) = fragment {
                    request.extensions_mut().insert(fragment);
                }
                answer(request)
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(idle)
                // A client that has sent everything and shut its side down still gets its answer.
                .half_close(true)
                .max_header_size(crate::head::BYTES_MAX)
                .max_buf_size(BUFFER_BYTES)
                .serve_connection(TokioIo::new(Raw::new(stream, Arc::clone(&watch), seen)), service);
            drive(connection, &self.stop, &watch, idle).await;
        }
    }
}

/// A place for a connection, as soon as there is one; none if its address has enough.
async fn place(places: &Arc<Places>, peer: SocketAddr) -> Option<Place> {
    loop {
        match places.take(peer.ip()) {
            Ok(place) => return Some(place),
            Err(NoPlace::OfAddress) => return None,
            Err(NoPlace::AtAll) => places.changed().await,
        }
    }
}

/// Errors of `accept` since they were last told.
#[derive(Default)]
struct Failures {
    count: u64,
    told: Option<Instant>,
}

impl Failures {
    fn tell(&mut self, error: &io::Error) {
        self.count += 1;
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            tracing::warn!(error = %error, times = self.count, "accept connections");
            *self = Self { count: 0, told: Some(Instant::now()) };
        }
    }
}

/// The first byte a client sends. Looks without taking; none when it sent nothing and left.
async fn first_byte(stream: &TcpStream) -> io::Result<Option<u8>> {
    let mut first = [0];
    Ok((stream.peek(&mut first).await? > 0).then_some(first[0]))
}

/// What a client is told for which there is no place, since its address has enough that are all at work.
fn no_place() -> Vec<u8> {
    let why = "Too many connections from your address are at work. Wait for one of them to end.";
    raw::answer(&problem::unavailable(why, problem::RETRY_SOON), &["retry-after: 10", "connection: close"])
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
async fn begins_with_preface(stream: &TcpStream) -> io::Result<bool> {
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

/// The sender of the request with these extensions has named a valid link or staff token: its connection counts for more.
pub(crate) fn authenticated(extensions: &axum::http::Extensions) {
    if let Some(under_way) = extensions.get::<UnderWay>() {
        under_way.authenticated();
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    #[tokio::test]
    async fn connections_wait_to_be_accepted() {
        let listener = super::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(10));
        // A handshake that the system drops is tried again after a second, in vain.
        let connected: Vec<_> = (0..500).map(connect).collect::<Result<_, _>>().unwrap();
        assert_eq!(connected.len(), 500);
    }
}
