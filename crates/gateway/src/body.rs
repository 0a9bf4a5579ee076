//! Request bodies as they arrive: bounded below in speed, and read on for a while after a refusal, so that a client which
//! writes everything before it reads gets the refusal too.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, Sleep};
use upload::{BodyError, Frame};

use crate::config::Limits;
use crate::headers;

/// A body whose sender must keep the minimum rate, measured over the time we wait for it: what storage takes is ours, also
/// where it keeps us from looking at what has come meanwhile.
pub(crate) struct Incoming {
    body: Body,
    /// Whether it is a whole file: what is said of the body is then said of the file.
    whole: bool,
    min_rate: u64,
    window: Duration,
    waited: Duration,
    bytes: u64,
    waiting_since: Option<Instant>,
    arrival: Arc<Arrival>,
    timer: Pin<Box<Sleep>>,
}

/// When what we wait for came, which may be long before anybody looks.
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

impl Incoming {
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

    /// What has not been read.
    pub(crate) fn into_body(self) -> Body {
        self.body
    }

    /// At the end of a window: whether the sender kept the rate. Begins the next window.
    fn too_slow(&mut self) -> bool {
        let wanted = self.min_rate.saturating_mul(self.waited.as_secs().max(1));
        let slow = self.bytes < wanted;
        self.waited = Duration::ZERO;
        self.bytes = 0;
        slow
    }
}

impl Stream for Incoming {
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

/// Digests of the file that a trailer announces. Of a body that is a piece of it, no hash of its own is running.
fn at_the_end(trailers: Option<&HeaderMap>, whole: bool) -> Result<Frame, BodyError> {
    let read = if whole { headers::digests } else { headers::upload::file_digests };
    let digests = trailers.map(read).transpose();
    digests
        .map(|digests| Frame::Digests(digests.unwrap_or_default()))
        .map_err(|problem| BodyError::Malformed(problem.detail().to_owned()))
}

/// Answers without the body, and reads on and throws away, within bounds, once the answer is on its way: before that,
/// hyper would ask a client that waits for `100 Continue` to send. Such a client may also have begun by itself.
pub(crate) fn linger(mut response: Response, unread: Body, request: &HeaderMap, limits: &Limits) -> Response {
    if unread.is_end_stream() {
        return response;
    }
    if request.contains_key(EXPECT) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let rest = Some((unread, limits.clone()));
    response.map(|body| Body::new(Lingering { body, rest }))
}

/// The body of an answer, which begins to discard the request's body when it is first asked for a frame: the head has
/// been written by then.
struct Lingering {
    body: Body,
    rest: Option<(Body, Limits)>,
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        if let Some((unread, limits)) = self.rest.take() {
            discard(unread, &limits);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// Reads on and throws away, within bounds.
pub(crate) fn discard(unread: Body, limits: &Limits) {
    let (mut frames, mut left, time) = (unread.into_data_stream(), limits.discard_bytes, limits.discard_time);
    tokio::spawn(tokio::time::timeout(time, async move {
        while let Some(Ok(bytes)) = frames.next().await {
            left = match left.checked_sub(bytes.len() as u64) {
                Some(left) => left,
                None => return,
            };
        }
    }));
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::sync::mpsc;

    use super::*;

    /// A body fed by hand, of which 1,000 bytes a second are asked over 30 s.
    fn incoming() -> (mpsc::UnboundedSender<&'static [u8]>, Incoming) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let frames = stream::unfold(receiver, |mut receiver| async move {
            let bytes: &[u8] = receiver.recv().await?;
            Some((Ok::<_, std::convert::Infallible>(bytes), receiver))
        });
        (sender, Incoming::new(Body::from_stream(frames), true, &Limits::default()))
    }

    /// Storage lets a sender wait that has sent: only the time until its bytes came is its own.
    #[tokio::test(start_paused = true)]
    async fn a_sender_is_not_slow_while_nobody_reads() {
        let (sender, mut body) = incoming();
        for _ in 0..3 {
            assert!(futures_util::poll!(body.next()).is_pending());
            tokio::time::advance(Duration::from_secs(1)).await;
            sender.send(b"a byte or two").unwrap();
            tokio::time::advance(Duration::from_secs(80)).await;
            assert!(matches!(body.next().await, Some(Ok(Frame::Bytes(_)))));
        }
        assert_eq!(body.waited, Duration::from_secs(3));
        // One that sends nothing is.
        assert!(futures_util::poll!(body.next()).is_pending());
        tokio::time::advance(Duration::from_secs(80)).await;
        assert!(matches!(body.next().await, Some(Err(BodyError::TooSlow))));
    }
}
