//! Accepts connections and speaks HTTP on them: TLS if it is configured, HTTP/1.1 or HTTP/2 as the client asks.
//! Invariant: everything that a connection can make us hold is bounded before it is served: its head by size and time, its
//! place by `max_connections` and its address's share of them, its HTTP/2 window by the budget. Without budget for a window,
//! TLS clients are offered HTTP/1.1.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CONNECTION, EXPECT};
use axum::response::Response;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use upload::MemoryBudget;

use super::drain::Drain;
use super::idle_timeout::ActivityTracker;
use super::places::{NoPlace, Place, Places};
use super::raw_heads::{self, REFUSED_BYTES_MAX};
use super::tls::Tls;
use super::trusted_proxy::Connection;
use super::{http1, http2};
use crate::config::Limits;
use crate::problem;

/// Connections that the system completes before they are accepted. It drops the handshakes of more, and their clients wait for
/// seconds or are reset. The system may have a lower limit (`net.core.somaxconn`, 4096 on Linux).
const BACKLOG: u32 = 4096;
/// Pause after an error of `accept` (such as no descriptors left), which would come again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// These errors are logged no more often.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Longest TLS handshake, including the wait for its first byte.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before looking again for the rest of a preface; doubled each time.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// The start of an HTTP/2 connection (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Most clients that are told at the same time that there is no place; others are just closed.
const TURNED_AWAY_MAX: usize = 64;
const TURNED_AWAY_TIMEOUT: Duration = Duration::from_secs(2);

/// Listens on this address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) router: Router,
    pub(crate) tls: Option<Tls>,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address: usize,
    /// Each of these stands for many clients.
    pub(crate) proxies: Vec<IpNet>,
    /// What HTTP/2 windows are charged to. Without it they stay small.
    pub(crate) budget: Option<MemoryBudget>,
    pub(crate) limits: Limits,
    pub(crate) stop: CancellationToken,
}

impl Listener {
    /// Serves until `stop`, then waits for the open connections.
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
                    failures.log(&error);
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
            // It may still send a last answer.
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

    /// The start of a connection, if it comes in time. After a stop, a connection without a request is closed.
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
        let tracker = Arc::new(ActivityTracker::default());
        let answer = |mut request: Request| {
            let (running, under_way, tracker) =
                (tracker.start_handler(), place.begin(), Arc::clone(&tracker));
            let expects = request.headers().contains_key(EXPECT);
            let drain = Drain::new(&self.limits);
            request.extensions_mut().insert(connection);
            request.extensions_mut().insert(under_way.clone());
            let request = request.map(|body| Body::new(drain.request(Body::new(tracker.incoming(body)))));
            let answer = self.router.clone().oneshot(request);
            async move {
                let answer: Result<Response, Infallible> = answer.await;
                drop(running);
                answer.map(|mut answer| {
                    // Whether a client that was refused before `100 Continue` sends its body is not known.
                    if expects && drain.has_unread() {
                        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    answer.map(|body| {
                        let body = Body::new(tracker.outgoing(body, Some(under_way)));
                        Body::new(drain.answer(body))
                    })
                })
            }
        };
        let (tracker, idle, stop) = (Arc::clone(&tracker), self.limits.header_timeout, &self.stop);
        if http2 {
            let budget = self.budget.as_ref();
            Box::pin(http2::Serving { answer, tracker, place, budget, idle, stop }.run(stream)).await;
        } else {
            http1::Serving { answer, tracker, idle, stop }.run(stream).await;
        }
    }
}

/// Waits for a place; none if the address has its share.
async fn place(places: &Arc<Places>, peer: SocketAddr) -> Option<Place> {
    loop {
        match places.take(peer.ip()) {
            Ok(place) => return Some(place),
            Err(NoPlace::OfAddress) => return None,
            Err(NoPlace::AtAll) => places.changed().await,
        }
    }
}

/// Errors of `accept` since the last log line.
#[derive(Default)]
struct Failures {
    count: u64,
    logged: Option<Instant>,
}

impl Failures {
    fn log(&mut self, error: &io::Error) {
        self.count += 1;
        if self.logged.is_none_or(|logged| logged.elapsed() >= LOG_EVERY) {
            tracing::warn!(error = %error, times = self.count, "accepting connections failed");
            *self = Self { count: 0, logged: Some(Instant::now()) };
        }
    }
}

/// Peeks at the first byte that a client sends; none if it left without sending.
async fn first_byte(stream: &TcpStream) -> io::Result<Option<u8>> {
    let mut first = [0];
    Ok((stream.peek(&mut first).await? > 0).then_some(first[0]))
}

fn no_place() -> Vec<u8> {
    let why = "Too many connections from your address are busy. Wait for one of them to end.";
    raw_heads::answer(
        &problem::unavailable(why, problem::RETRY_SOON),
        &["retry-after: 10", "connection: close"],
    )
}

/// The answer to plain HTTP where TLS is spoken. TLS clients start with a handshake (22), not with a method's name.
fn plain_refused() -> Vec<u8> {
    let why = "This address speaks TLS. Write https:// instead of http://.";
    raw_heads::answer(&problem::bad_request(why), &["connection: close"])
}

/// Sends an answer and closes. Reads what the client still sends: closing with unread bytes would destroy the answer.
async fn refuse(mut stream: TcpStream, answer: &[u8]) {
    let said = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(REFUSED_BYTES_MAX), &mut tokio::io::sink()).await
    };
    // A client that has left needs no answer.
    let _ = said.await;
}

/// Peeks whether the client speaks HTTP/2 with prior knowledge.
async fn begins_with_preface(stream: &TcpStream) -> io::Result<bool> {
    let mut seen = [0; PREFACE.len()];
    let (mut before, mut pause) = (0, PREFACE_PAUSE);
    loop {
        let got = stream.peek(&mut seen).await?;
        if got == PREFACE.len() || got == 0 || seen[..got] != PREFACE[..got] {
            return Ok(seen[..got] == *PREFACE);
        }
        // `peek` returns at once while there are bytes: wait for more without spinning.
        if got == before {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        before = got;
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
        // A client repeats a handshake that the system dropped, until the timeout.
        let connected: Vec<_> = (0..500).map(connect).collect::<Result<_, _>>().unwrap();
        assert_eq!(connected.len(), 500);
    }
}
