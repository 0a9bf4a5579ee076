//! Request bodies as they arrive: bounded below in speed, and read on for a while after a refusal, so that a client which
//! writes everything before it reads gets the refusal too.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, Sleep};
use upload::BodyError;

use crate::config::Limits;

/// A body whose sender must keep the minimum rate, measured over the time we wait for it: what storage takes is ours.
pub(crate) struct Incoming {
    frames: BodyDataStream,
    min_rate: u64,
    window: Duration,
    waited: Duration,
    bytes: u64,
    waiting_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Incoming {
    pub(crate) fn new(body: Body, limits: &Limits) -> Self {
        Self {
            frames: body.into_data_stream(),
            min_rate: limits.min_rate,
            window: limits.min_rate_window,
            waited: Duration::ZERO,
            bytes: 0,
            waiting_since: None,
            timer: Box::pin(tokio::time::sleep(limits.min_rate_window)),
        }
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
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Poll::Ready(frame) = self.frames.poll_next_unpin(cx) {
                if let Some(since) = self.waiting_since.take() {
                    self.waited += since.elapsed();
                }
                let Some(frame) = frame else { return Poll::Ready(None) };
                let Ok(bytes) = frame else { return Poll::Ready(Some(Err(BodyError::Interrupted))) };
                self.bytes += bytes.len() as u64;
                if self.waited >= self.window && self.too_slow() {
                    return Poll::Ready(Some(Err(BodyError::TooSlow)));
                }
                return Poll::Ready(Some(Ok(bytes)));
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

/// Reads on and throws away, within bounds, unless the client waits to be told to send.
pub(crate) fn discard(body: Body, headers: &HeaderMap, limits: &Limits) {
    if headers.contains_key(EXPECT) || axum::body::HttpBody::is_end_stream(&body) {
        return;
    }
    discard_frames(body.into_data_stream(), limits);
}

/// The same for a body that was read in part.
pub(crate) fn discard_frames<S, E>(mut frames: S, limits: &Limits)
where
    S: Stream<Item = Result<Bytes, E>> + Unpin + Send + 'static,
    E: Send,
{
    let (mut left, time) = (limits.discard_bytes, limits.discard_time);
    tokio::spawn(tokio::time::timeout(time, async move {
        while let Some(Ok(bytes)) = frames.next().await {
            left = match left.checked_sub(bytes.len() as u64) {
                Some(left) => left,
                None => return,
            };
        }
    }));
}
