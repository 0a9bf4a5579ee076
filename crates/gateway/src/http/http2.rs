//! One HTTP/2 connection, on `h2` itself: hyper sets a connection's window once, for strangers and partners alike.
//! Invariant: a peer may send `WINDOW_OF_STRANGERS_BYTES` ahead, until it has named a valid link or staff token and a larger
//! window is charged to the budget. Without budget the window stays small, and the connection works all the same.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONNECTION, CONTENT_LENGTH, DATE, TE, TRANSFER_ENCODING, UPGRADE};
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, Reason, RecvStream, SendStream};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;
use upload::{ConnectionCredit, MemoryBudget};

use super::idle_timeout::{ActivityTracker, Due, Quiet};
use super::places::Place;
use crate::headers::http_date;

/// The window of a connection once it is charged (80 MB/s at 50 ms of delay), and of each stream always.
const WINDOW_BYTES: u32 = 4 << 20;
/// Sizes to try. Larger is better: streams that wait for a bucket must not hold up the others.
const WINDOWS_BYTES: [u32; 3] = [WINDOW_BYTES, 1 << 20, 256 << 10];
/// How often to ask for a larger window while a request has a valid token.
const WIDEN_EVERY: Duration = Duration::from_millis(500);
/// The window of every new connection (RFC 9113 section 6.9.2).
const WINDOW_OF_STRANGERS_BYTES: u32 = 65_535;
/// Larger heads are refused by the library, with an empty body. `head.rs` refuses smaller ones, with a problem.
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;
/// What is buffered of an answer, for each of `STREAMS_MAX` streams.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// Concurrent requests on one connection.
const STREAMS_MAX: u32 = 32;
/// Streams that a client may open and reset at once before the connection is ended (rapid reset, CVE-2023-44487).
const RESETS_MAX: usize = 20;
/// Streams that we may reset before the connection is ended. A client may assume 100 streams until it has read our settings
/// (RFC 9113 section 6.5.2); those over `STREAMS_MAX` are refused and safe to send again.
const REFUSALS_MAX: usize = 128;
/// A peer that does not answer a ping within this time is gone.
const PING_EVERY: Duration = Duration::from_secs(20);

pub(super) struct Serving<'a, F> {
    pub(super) answer: F,
    pub(super) tracker: Arc<ActivityTracker>,
    pub(super) place: &'a Place,
    /// What its window is charged to. Without it the window stays small.
    pub(super) budget: Option<&'a MemoryBudget>,
    pub(super) idle: Duration,
    pub(super) stop: &'a CancellationToken,
}

impl<F, A> Serving<'_, F>
where
    F: Fn(Request<Body>) -> A,
    A: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    /// Serves the connection to its end. After a stop, or after `idle` without a request, its peer is asked to close it.
    pub(super) async fn run(self, io: impl AsyncRead + AsyncWrite + Unpin) {
        let begun = tokio::select! {
            begun = timeout(2 * self.idle, handshake(io)) => begun,
            () = self.stop.cancelled() => return,
        };
        let ended = match begun {
            Ok(Ok(mut connection)) => self.drive(&mut connection).await,
            Ok(Err(error)) => Err(error),
            Err(_) => return,
        };
        if let Err(error) = ended {
            tracing::debug!(error = %error, "connection ended");
        }
    }

    async fn drive<S>(&self, connection: &mut Connection<S, Bytes>) -> Result<(), h2::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(mut pings) = connection.ping_pong() else { return Ok(()) };
        let (mut stopping, mut quiet) = (false, Quiet::new(self.idle));
        let (mut every, mut unanswered) = (interval_at(Instant::now() + PING_EVERY, PING_EVERY), false);
        let (mut bytes, mut _window) = (WINDOW_OF_STRANGERS_BYTES, None);
        let mut larger = pin!(self.larger(bytes));
        loop {
            tokio::select! {
                biased;
                () = self.place.displaced() => {
                    // Its peer is told, if that takes no time.
                    connection.graceful_shutdown();
                    let _ = poll_fn(|cx| Poll::Ready(connection.poll_closed(cx).is_ready())).await;
                    return Ok(());
                }
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.graceful_shutdown();
                }
                charged = &mut larger, if bytes < WINDOW_BYTES => {
                    (bytes, _window) = (charged.0, Some(charged.1));
                    larger.set(self.larger(bytes));
                    self.place.guest.holds_window.store(true, Ordering::Relaxed);
                    connection.set_target_window_size(bytes);
                }
                due = quiet.check(&self.tracker) => match due {
                    Due::Nothing => {}
                    Due::GoAway => connection.graceful_shutdown(),
                    Due::End => {
                        tracing::debug!("connection dropped: its peer reads nothing");
                        return Ok(());
                    }
                },
                _ = every.tick() => {
                    if unanswered {
                        tracing::debug!("connection dropped: its peer does not respond");
                        return Ok(());
                    }
                    unanswered = true;
                    pings.send_ping(Ping::opaque())?;
                }
                pong = poll_fn(|cx| pings.poll_pong(cx)), if unanswered => {
                    pong?;
                    unanswered = false;
                }
                accepted = connection.accept() => match accepted.transpose()? {
                    Some((request, respond)) => {
                        let answer = (self.answer)(request.map(|body| Body::new(Received::new(body))));
                        tokio::spawn(answered(answer, respond, 2 * self.idle));
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    /// Waits for a window larger than this one, while a request has a valid token.
    async fn larger(&self, than: u32) -> (u32, ConnectionCredit) {
        // It queues for the largest only once, ahead of the uploads that it is for. More often would hold them up.
        let mut queues = than == WINDOW_OF_STRANGERS_BYTES;
        loop {
            let Some(budget) = self.budget.filter(|_| self.place.guest.has_known_request()) else {
                self.place.guest.met.notified().await;
                continue;
            };
            if std::mem::take(&mut queues)
                && let Some(window) = budget.connection_credit(WINDOW_BYTES as usize).await
            {
                return (WINDOW_BYTES, window);
            }
            let larger = WINDOWS_BYTES.into_iter().filter(|bytes| *bytes > than);
            let charge = |bytes| Some((bytes, budget.try_connection_credit(bytes as usize)?));
            if let Some(charged) = larger.filter_map(charge).next() {
                return charged;
            }
            // The freed window is available the next time.
            self.place.displace_window();
            sleep(WIDEN_EVERY).await;
        }
    }
}

/// Whether a new connection would get its large window. If not, its client is better off with HTTP/1.1.
pub(super) fn has_room(budget: &MemoryBudget) -> bool {
    budget.try_connection_credit(WINDOW_BYTES as usize).is_some()
}

async fn handshake<S>(io: S) -> Result<Connection<S, Bytes>, h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Builder::new()
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_OF_STRANGERS_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(Some(REFUSALS_MAX))
        .max_send_buffer_size(SEND_BYTES_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .handshake(io)
        .await
}

/// Sends the answer when it is ready. Ends when the client resets the stream, or reads nothing for `patience`.
async fn answered<A>(answer: A, mut respond: SendResponse<Bytes>, patience: Duration)
where
    A: Future<Output = Result<Response<Body>, Infallible>>,
{
    let answer = tokio::select! {
        biased;
        Ok(answer) = answer => answer,
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
    };
    let (mut head, body) = answer.into_parts();
    complete(&mut head.headers, &body);
    let ends = body.is_end_stream();
    let sent = match respond.send_response(Response::from_parts(head, ()), ends) {
        Ok(stream) if !ends => send(body, stream, patience).await,
        sent => sent.map(drop),
    };
    if let Err(error) = sent {
        tracing::debug!(error = %error, "stream ended");
    }
}

/// Adds what every answer needs, and removes what HTTP/2 forbids (RFC 9113 section 8.2.2).
fn complete(headers: &mut HeaderMap, body: &Body) {
    for name in [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    if let Some(bytes) = body.size_hint().exact().filter(|_| !body.is_end_stream()) {
        headers.entry(CONTENT_LENGTH).or_insert_with(|| bytes.into());
    }
    if let Ok(now) = HeaderValue::from_str(&http_date(ledger::now_ms())) {
        headers.entry(DATE).or_insert(now);
    }
}

/// Sends a body frame by frame. Capacity is reserved only with a frame in hand: idle reservations would starve other streams.
async fn send(mut body: Body, mut stream: SendStream<Bytes>, patience: Duration) -> Result<(), h2::Error> {
    loop {
        let frame = tokio::select! {
            biased;
            frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)) => frame,
            reset = poll_fn(|cx| stream.poll_reset(cx)) => return reset.map(drop),
        };
        match frame.map(|frame| frame.map(Frame::into_data)) {
            None => return stream.send_data(Bytes::new(), true),
            Some(Ok(Ok(data))) => {
                if !data.is_empty() {
                    stream.reserve_capacity(1);
                    match timeout(patience, poll_fn(|cx| room(&mut stream, cx))).await {
                        Ok(Some(room)) => room?,
                        Ok(None) => return Ok(()),
                        Err(_) => {
                            stream.send_reset(Reason::CANCEL);
                            return Ok(());
                        }
                    }
                }
                let ends = body.is_end_stream();
                stream.send_data(data, ends)?;
                if ends {
                    return Ok(());
                }
            }
            Some(Ok(Err(frame))) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return stream.send_trailers(trailers);
                }
            }
            Some(Err(error)) => {
                tracing::debug!(error = %error, "an answer broke off");
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            }
        }
    }
}

/// Ready when there is capacity for a byte; none when the client has reset the stream.
fn room(stream: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<Option<Result<(), h2::Error>>> {
    if stream.poll_reset(cx)?.is_ready() {
        return Poll::Ready(None);
    }
    while stream.capacity() == 0 {
        match ready!(stream.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        }
    }
    Poll::Ready(Some(Ok(())))
}

/// A request's body. A reset by the client is an error, whatever its reason: the body has not ended.
struct Received {
    stream: RecvStream,
    has_ended: bool,
}

impl Received {
    fn new(stream: RecvStream) -> Self {
        Self { stream, has_ended: false }
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.has_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.has_ended = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}
