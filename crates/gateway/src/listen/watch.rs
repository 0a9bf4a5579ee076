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
use hyper::body::Incoming;
use hyper_util::server::graceful::GracefulConnection;
use tokio::runtime::Handle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

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
    pub(super) fn incoming(self: &Arc<Self>, body: Incoming, linger: Option<Limits>) -> RequestBody {
        let body =
            Watched { body, rest: Bytes::new(), step: usize::MAX, watch: Arc::clone(self), _answer: None };
        RequestBody { body: Some(body), linger: linger.map(|limits| (limits, Handle::current())) }
    }

    /// An answer's body, watched, in steps.
    pub(super) fn outgoing<B>(self: &Arc<Self>, body: B) -> Watched<B> {
        self.answers.fetch_add(1, Ordering::Relaxed);
        let answer = Some(Answer(Arc::clone(self)));
        Watched { body, rest: Bytes::new(), step: STEP_BYTES, watch: Arc::clone(self), _answer: answer }
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
pub(super) struct Watched<B> {
    body: B,
    /// Of the last frame, what is over one step.
    rest: Bytes,
    step: usize,
    watch: Arc<Watch>,
    /// Its end counts.
    _answer: Option<Answer>,
}

/// The body of an answer is on its way, until this is dropped.
struct Answer(Arc<Watch>);

impl Drop for Answer {
    fn drop(&mut self) {
        self.0.answers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a request.
pub(super) struct RequestBody {
    /// There until this is dropped.
    body: Option<Watched<Incoming>>,
    linger: Option<(Limits, Handle)>,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
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

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
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

/// Serves one connection to its end. At a stop it takes no more requests. After `idle` without a request under way an
/// HTTP/2 connection is asked to end, which hyper does for HTTP/1.1 only; after twice that, any connection is dropped.
pub(super) async fn drive<C>(
    connection: C,
    stop: &CancellationToken,
    watch: &Watch,
    idle: Duration,
    http2: bool,
) where
    C: GracefulConnection,
    C::Error: std::fmt::Display,
{
    let mut connection = pin!(connection);
    let mut looks = interval_at(Instant::now() + idle / LOOKS, idle / LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut stopping, mut quiet, mut seen) = (false, 0, 0);
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
            _ = looks.tick() => {
                let moved = watch.moved.load(Ordering::Relaxed);
                let still = moved == seen && watch.at_work.load(Ordering::Relaxed) == 0;
                quiet = if still { quiet + 1 } else { 0 };
                seen = moved;
                if quiet == LOOKS && http2 {
                    connection.as_mut().graceful_shutdown();
                }
                if quiet >= LOOKS_MAX {
                    tracing::debug!("connection dropped: its peer takes nothing");
                    return;
                }
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
            let body = watch.outgoing(Body::from(bytes.clone()));
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
        let mut body = watch.outgoing(Body::from(vec![1; STEP_BYTES + 1]));
        let first = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert_eq!(first.unwrap().unwrap().into_data().unwrap().len(), STEP_BYTES);
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(1), false));
    }
}
