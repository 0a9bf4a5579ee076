//! A request's body as the engine reads it, whose sender must keep a minimum rate.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::HeaderMap;
use futures_util::Stream;
use futures_util::task::AtomicWaker;
use tokio::time::{Instant, Sleep};
use upload::{BodyError, Frame};

use crate::config::Limits;
use crate::headers;

/// The rate is measured over the time that we wait for the sender. Time that storage takes does not count, even if it keeps us
/// from reading bytes that have arrived.
pub(crate) struct RateLimitedBody {
    body: Body,
    /// The body is a whole file, so its digests are the file's.
    whole: bool,
    min_rate: u64,
    window: Duration,
    waited: Duration,
    bytes: u64,
    waiting_since: Option<Instant>,
    arrival: Arc<Arrival>,
    timer: Pin<Box<Sleep>>,
}

/// When the awaited bytes arrived, which may be long before they are read.
#[derive(Default)]
struct Arrival {
    at: Mutex<Option<Instant>>,
    reader: AtomicWaker,
}

impl Arrival {
    fn take(&self) -> Option<Instant> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Wake for Arrival {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
        self.reader.wake();
    }
}

impl RateLimitedBody {
    pub(crate) fn new(body: Body, whole: bool, limits: &Limits) -> Self {
        Self {
            body,
            whole,
            min_rate: limits.min_rate,
            window: limits.min_rate_window,
            waited: Duration::ZERO,
            bytes: 0,
            waiting_since: None,
            arrival: Arc::default(),
            timer: Box::pin(tokio::time::sleep(limits.min_rate_window)),
        }
    }

    /// Whether the sender was below the rate in this window. Starts the next window.
    fn too_slow(&mut self) -> bool {
        let wanted = self.min_rate.saturating_mul(self.waited.as_secs().max(1));
        let slow = self.bytes < wanted;
        self.waited = Duration::ZERO;
        self.bytes = 0;
        slow
    }
}

impl Stream for RateLimitedBody {
    type Item = Result<Frame, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            self.arrival.reader.register(cx.waker());
            let (came, waker) = (self.arrival.take(), Waker::from(Arc::clone(&self.arrival)));
            if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(&mut Context::from_waker(&waker))
            {
                if let Some(since) = self.waiting_since.take() {
                    self.waited += came.unwrap_or_else(Instant::now).saturating_duration_since(since);
                }
                let Some(frame) = frame else { return Poll::Ready(None) };
                let Ok(frame) = frame else { return Poll::Ready(Some(Err(BodyError::Interrupted))) };
                let bytes = match frame.into_data() {
                    Ok(bytes) => bytes,
                    Err(frame) => return Poll::Ready(Some(at_the_end(frame.trailers_ref(), self.whole))),
                };
                self.bytes += bytes.len() as u64;
                if self.waited >= self.window && self.too_slow() {
                    return Poll::Ready(Some(Err(BodyError::TooSlow)));
                }
                return Poll::Ready(Some(Ok(bytes.into())));
            }
            if self.waiting_since.is_none() {
                let now = Instant::now();
                self.waiting_since = Some(now);
                let left = self.window.saturating_sub(self.waited);
                self.timer.as_mut().reset(now + left);
            }
            ready!(self.timer.as_mut().poll(cx));
            let since = self.waiting_since.take();
            self.waited += since.map_or(Duration::ZERO, |since| since.elapsed());
            if self.too_slow() {
                return Poll::Ready(Some(Err(BodyError::TooSlow)));
            }
        }
    }
}

/// Digests in a trailer. For a body that is a part of a file, only digests of the whole file count: no hash of the part runs.
fn at_the_end(trailers: Option<&HeaderMap>, whole: bool) -> Result<Frame, BodyError> {
    let read = if whole { headers::digests } else { headers::resumable::file_digests };
    let digests = trailers.map(read).transpose();
    digests
        .map(|digests| Frame::Digests(digests.unwrap_or_default()))
        .map_err(|problem| BodyError::Malformed(problem.detail().to_owned()))
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use tokio::sync::mpsc;

    use super::*;

    /// A body fed by hand. Its sender must keep 1,000 bytes per second over 30 s.
    fn fed_by_hand() -> (mpsc::UnboundedSender<&'static [u8]>, RateLimitedBody) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let frames = stream::unfold(receiver, |mut receiver| async move {
            let bytes: &[u8] = receiver.recv().await?;
            Some((Ok::<_, std::convert::Infallible>(bytes), receiver))
        });
        (sender, RateLimitedBody::new(Body::from_stream(frames), true, &Limits::default()))
    }

    /// While storage is slow, only the time until the bytes arrived counts against the sender.
    #[tokio::test(start_paused = true)]
    async fn a_sender_is_not_slow_while_nobody_reads() {
        let (sender, mut body) = fed_by_hand();
        for _ in 0..3 {
            assert!(futures_util::poll!(body.next()).is_pending());
            tokio::time::advance(Duration::from_secs(1)).await;
            sender.send(b"a byte or two").unwrap();
            tokio::time::advance(Duration::from_secs(80)).await;
            assert!(matches!(body.next().await, Some(Ok(Frame::Bytes(_)))));
        }
        assert_eq!(body.waited, Duration::from_secs(3));
        // A sender that sends nothing is slow.
        assert!(futures_util::poll!(body.next()).is_pending());
        tokio::time::advance(Duration::from_secs(80)).await;
        assert!(matches!(body.next().await, Some(Err(BodyError::TooSlow))));
    }
}
