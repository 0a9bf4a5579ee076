//! Watches what moves on a connection: handlers at work, and frames of bodies on their way in or out.
//! Invariant: a connection on which no handler works and nothing moves is ended in bounded time, whatever its peer
//! keeps saying beside it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use hyper_util::server::graceful::GracefulConnection;
use tokio::runtime::Handle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::places::UnderWay;
use crate::body;
use crate::config::Limits;

/// A step of an answer: also a slow reader takes one before a connection counts as stalled, at 1,100 bytes per second
/// with the usual `header_timeout`.
const STEP_BYTES: usize = 64 * 1024;
/// A connection is looked at twice in the time that it may be idle. Quiet at so many looks: it has been idle for so long.
const LOOKS: u32 = 2;
/// Quiet at so many looks: its peer does not take what it asked for, or does not answer at all.
const LOOKS_MAX: u32 = 2 * LOOKS;

/// What moves on one connection.
#[derive(Debug, Default)]
pub(super) struct Watch {
    at_work: AtomicUsize,
    /// Bodies of answers on their way.
    answers: AtomicUsize,
    /// Since a request came until its answer has been written.
    answering: AtomicBool,
    moved: AtomicU64,
}

impl Watch {
    /// A handler at work, until this is dropped.
    pub(super) fn handler(self: &Arc<Self>) -> AtWork {
        self.at_work.fetch_add(1, Ordering::Relaxed);
        self.answering.store(true, Ordering::Relaxed);
        AtWork(Arc::clone(self))
    }

    /// No handler works, and no answer is on its way.
    pub(super) fn is_at_rest(&self) -> bool {
        self.at_work.load(Ordering::Relaxed) == 0 && self.answers.load(Ordering::Relaxed) == 0
    }

    /// Whether what is written is of an answer of ours.
    pub(super) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed)
    }

    /// The last answer has been written.
    pub(super) fn has_answered(&self) {
        self.answering.store(false, Ordering::Relaxed);
    }

    /// A request's body, watched. With limits, one that is dropped before its end is read on within them and thrown
    /// away: a client that is still writing when HTTP/2 resets its stream may never look at the answer (curl 7 does not).
    pub(super) fn incoming(self: &Arc<Self>, body: Body, linger: Option<Limits>) -> RequestBody {
        let watch = Arc::clone(self);
        let body = Watched { body, rest: Bytes::new(), step: usize::MAX, watch, _answer: None };
        RequestBody { body: Some(body), linger: linger.map(|limits| (limits, Handle::current())) }
    }

    /// An answer's body, watched, in steps; the request is under way until it has gone out.
    pub(super) fn outgoing(self: &Arc<Self>, body: Body, request: Option<UnderWay>) -> Watched {
        self.answers.fetch_add(1, Ordering::Relaxed);
        let (watch, answer) = (Arc::clone(self), Answer { watch: Arc::clone(self), _request: request });
        Watched { body, rest: Bytes::new(), step: STEP_BYTES, watch, _answer: Some(answer) }
    }

    fn moved(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }
}

/// A handler at work.
pub(super) struct AtWork(Arc<Watch>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
        self.0.moved();
    }
}

/// A body whose frames are counted when they are taken.
pub(super) struct Watched {
    body: Body,
    /// Of the last frame, what is over one step.
    rest: Bytes,
    step: usize,
    watch: Arc<Watch>,
    /// Its end counts.
    _answer: Option<Answer>,
}

/// The body of an answer is on its way, until this is dropped.
struct Answer {
    watch: Arc<Watch>,
    /// The request that it is for.
    _request: Option<UnderWay>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.watch.answers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a request.
pub(super) struct RequestBody {
    /// There until this is dropped.
    body: Option<Watched>,
    linger: Option<(Limits, Handle)>,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let (Some(body), Some((limits, runtime))) = (self.body.take(), &self.linger) else { return };
        if !body.is_end_stream() {
            let _entered = runtime.enter();
            body::discard(Body::new(body), limits);
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            self.watch.moved();
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        } else {
            self.watch.moved();
        }
        let step = self.step.min(self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(step)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, hint) = (self.rest.len() as u64, self.body.size_hint());
        let mut all = SizeHint::new();
        if let Some(upper) = hint.upper() {
            all.set_upper(upper.saturating_add(rest));
        }
        all.set_lower(hint.lower().saturating_add(rest));
        all
    }
}

/// How long nothing has moved on a connection.
pub(super) struct Quiet {
    looks: Interval,
    quiet: u32,
    seen: u64,
}

impl Quiet {
    /// On a connection that may be idle for so long.
    pub(super) fn new(idle: Duration) -> Self {
        let mut looks = interval_at(Instant::now() + idle / LOOKS, idle / LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { looks, quiet: 0, seen: 0 }
    }

    /// What is to be done, looked at now and again. Loses nothing when it is dropped.
    pub(super) async fn look(&mut self, watch: &Watch) -> Due {
        self.looks.tick().await;
        let moved = watch.moved.load(Ordering::Relaxed);
        let still = moved == self.seen && watch.at_work.load(Ordering::Relaxed) == 0;
        self.quiet = if still { self.quiet + 1 } else { 0 };
        self.seen = moved;
        match self.quiet {
            LOOKS => Due::Farewell,
            LOOKS_MAX.. => Due::End,
            _ => Due::Nothing,
        }
    }
}

/// What is to be done with a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// It has been idle for long enough: its peer is asked to go.
    Farewell,
    /// Its peer does not go, or does not take what it asked for.
    End,
}

/// Serves one HTTP/1.1 connection to its end. At a stop it takes no more requests. Hyper itself ends one that is idle
/// between two requests; one whose peer takes nothing is dropped.
pub(super) async fn drive<C>(connection: C, stop: &CancellationToken, watch: &Watch, idle: Duration)
where
    C: GracefulConnection,
    C::Error: std::fmt::Display,
{
    let mut connection = pin!(connection);
    let (mut stopping, mut quiet) = (false, Quiet::new(idle));
    loop {
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
            due = quiet.look(watch) => if due == Due::End {
                tracing::debug!("connection dropped: its peer takes nothing");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn an_answer_goes_out_whole_in_steps_that_count() {
        for length in [0, 1, STEP_BYTES, STEP_BYTES + 1, 5 * STEP_BYTES + 7] {
            let watch = Arc::new(Watch::default());
            let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            let body = watch.outgoing(Body::from(bytes.clone()), None);
            assert_eq!(body.size_hint().exact(), Some(length as u64));
            let mut frames = Body::new(body).into_data_stream();
            let mut seen = Vec::new();
            while let Some(frame) = frames.next().await {
                let frame = frame.unwrap();
                assert!(frame.len() <= STEP_BYTES);
                seen.extend_from_slice(&frame);
            }
            assert_eq!(seen, bytes);
            assert!(watch.moved.load(Ordering::Relaxed) >= (length as u64).div_ceil(STEP_BYTES as u64));
        }
    }

    #[tokio::test]
    async fn what_is_left_of_a_frame_belongs_to_the_size() {
        let watch = Arc::new(Watch::default());
        let mut body = watch.outgoing(Body::from(vec![1; STEP_BYTES + 1]), None);
        let first = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert_eq!(first.unwrap().unwrap().into_data().unwrap().len(), STEP_BYTES);
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(1), false));
    }
}
