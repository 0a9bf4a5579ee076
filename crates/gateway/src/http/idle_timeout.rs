//! Tracks activity on a connection: running handlers, and frames of bodies in either direction.
//! Invariant: a connection with no running handler and no moving bytes ends in bounded time, whatever else its peer sends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::places::UnderWay;

/// Answers are sent in steps of this size. A slow reader takes one before its connection counts as stalled, at 1,100 bytes per
/// second with the default `header_timeout`.
const STEP_BYTES: usize = 64 * 1024;
/// Checks per idle timeout. A connection that was quiet at this many checks has been idle for that long.
const CHECKS: u32 = 2;
/// A connection that was quiet at this many checks has a peer that reads nothing, or has gone.
const QUIET_CHECKS_MAX: u32 = 2 * CHECKS;

#[derive(Debug, Default)]
pub(super) struct ActivityTracker {
    handlers: AtomicUsize,
    /// Bodies of answers being sent.
    answers: AtomicUsize,
    /// From a request's arrival until its answer is written.
    answering: AtomicBool,
    moved: AtomicU64,
}

impl ActivityTracker {
    /// A handler runs until this is dropped.
    pub(super) fn start_handler(self: &Arc<Self>) -> RunningHandler {
        self.handlers.fetch_add(1, Ordering::Relaxed);
        self.answering.store(true, Ordering::Relaxed);
        RunningHandler(Arc::clone(self))
    }

    /// No handler runs, and no answer is being sent.
    pub(super) fn is_at_rest(&self) -> bool {
        self.handlers.load(Ordering::Relaxed) == 0 && self.answers.load(Ordering::Relaxed) == 0
    }

    /// Whether the bytes being written belong to one of our answers.
    pub(super) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed)
    }

    /// The last answer has been written.
    pub(super) fn has_answered(&self) {
        self.answering.store(false, Ordering::Relaxed);
    }

    pub(super) fn incoming(self: &Arc<Self>, body: Body) -> Tracked {
        Tracked { body, rest: Bytes::new(), step: usize::MAX, tracker: Arc::clone(self), _answer: None }
    }

    /// An answer's body, in steps. The request counts as under way until it is sent.
    pub(super) fn outgoing(self: &Arc<Self>, body: Body, request: Option<UnderWay>) -> Tracked {
        self.answers.fetch_add(1, Ordering::Relaxed);
        let (tracker, answer) = (Arc::clone(self), Answer { tracker: Arc::clone(self), _request: request });
        Tracked { body, rest: Bytes::new(), step: STEP_BYTES, tracker, _answer: Some(answer) }
    }

    fn moved(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) struct RunningHandler(Arc<ActivityTracker>);

impl Drop for RunningHandler {
    fn drop(&mut self) {
        self.0.handlers.fetch_sub(1, Ordering::Relaxed);
        self.0.moved();
    }
}

/// A body whose frames count as activity when they are read.
pub(super) struct Tracked {
    body: Body,
    /// What is left of the last frame after one step.
    rest: Bytes,
    step: usize,
    tracker: Arc<ActivityTracker>,
    _answer: Option<Answer>,
}

/// An answer's body is being sent until this is dropped.
struct Answer {
    tracker: Arc<ActivityTracker>,
    _request: Option<UnderWay>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.tracker.answers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            self.tracker.moved();
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        } else {
            self.tracker.moved();
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

/// How long a connection has been quiet.
pub(super) struct Quiet {
    checks: Interval,
    quiet: u32,
    seen: u64,
}

impl Quiet {
    pub(super) fn new(idle: Duration) -> Self {
        let mut checks = interval_at(Instant::now() + idle / CHECKS, idle / CHECKS);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { checks, quiet: 0, seen: 0 }
    }

    /// Waits for the next check and tells what to do. Cancel safe.
    pub(super) async fn check(&mut self, tracker: &ActivityTracker) -> Due {
        self.checks.tick().await;
        let moved = tracker.moved.load(Ordering::Relaxed);
        let still = moved == self.seen && tracker.handlers.load(Ordering::Relaxed) == 0;
        self.quiet = if still { self.quiet + 1 } else { 0 };
        self.seen = moved;
        match self.quiet {
            CHECKS => Due::GoAway,
            QUIET_CHECKS_MAX.. => Due::End,
            _ => Due::Nothing,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// It has been idle for too long: ask its peer to close it.
    GoAway,
    /// Its peer does not close it, or reads nothing.
    End,
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn answers_are_sent_completely_in_steps() {
        for length in [0, 1, STEP_BYTES, STEP_BYTES + 1, 5 * STEP_BYTES + 7] {
            let tracker = Arc::new(ActivityTracker::default());
            let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            let body = tracker.outgoing(Body::from(bytes.clone()), None);
            assert_eq!(body.size_hint().exact(), Some(length as u64));
            let mut frames = Body::new(body).into_data_stream();
            let mut seen = Vec::new();
            while let Some(frame) = frames.next().await {
                let frame = frame.unwrap();
                assert!(frame.len() <= STEP_BYTES);
                seen.extend_from_slice(&frame);
            }
            assert_eq!(seen, bytes);
            assert!(tracker.moved.load(Ordering::Relaxed) >= (length as u64).div_ceil(STEP_BYTES as u64));
        }
    }

    #[tokio::test]
    async fn size_hint_includes_the_rest_of_a_frame() {
        let tracker = Arc::new(ActivityTracker::default());
        let mut body = tracker.outgoing(Body::from(vec![1; STEP_BYTES + 1]), None);
        let first = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert_eq!(first.unwrap().unwrap().into_data().unwrap().len(), STEP_BYTES);
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(1), false));
    }
}
