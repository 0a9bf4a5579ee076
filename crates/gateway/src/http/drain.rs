//! Reads what is left of a request's body and throws it away, within bounds: a client that writes everything before it reads
//! would otherwise miss its refusal. Every body that is dropped before its end comes here, of HTTP/1.1 and HTTP/2.
//! Invariant: nothing is read here before the head of the answer is out, or hyper would ask a client that waits for `100
//! Continue` to send. So the drain starts when the answer's body is first polled.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use futures_util::StreamExt as _;
use http_body::{Frame, SizeHint};
use tokio::runtime::Handle;

use crate::config::Limits;

/// What is left of a request's body.
enum Unread {
    /// Its handler still holds it, or has read it to its end.
    None,
    /// Dropped; kept until the head of the answer is out.
    Kept(Body),
    /// The head of the answer is out: read on at once.
    HeadIsOut,
}

/// Connects a request's body with the body of its answer.
#[derive(Clone)]
pub(super) struct Drain(Arc<Shared>);

struct Shared {
    unread: Mutex<Unread>,
    limits: Limits,
    runtime: Handle,
}

impl Drain {
    pub(super) fn new(limits: &Limits) -> Self {
        let (unread, limits, runtime) = (Mutex::new(Unread::None), limits.clone(), Handle::current());
        Self(Arc::new(Shared { unread, limits, runtime }))
    }

    /// The body of a request.
    pub(super) fn request(&self, body: Body) -> RequestBody {
        RequestBody { body: Some(body), drain: self.clone() }
    }

    /// The body of the request's answer.
    pub(super) fn answer(self, body: Body) -> AnswerBody {
        AnswerBody { body, drain: Some(self) }
    }

    pub(super) fn has_unread(&self) -> bool {
        matches!(*self.unread(), Unread::Kept(_))
    }

    fn unread(&self) -> MutexGuard<'_, Unread> {
        self.0.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_over(&self, body: Body) {
        let mut unread = self.unread();
        match *unread {
            Unread::HeadIsOut => self.discard(body),
            Unread::None | Unread::Kept(_) => *unread = Unread::Kept(body),
        }
    }

    fn head_is_out(&self) {
        let unread = std::mem::replace(&mut *self.unread(), Unread::HeadIsOut);
        if let Unread::Kept(body) = unread {
            self.discard(body);
        }
    }

    fn discard(&self, body: Body) {
        let (mut left, time) = (self.0.limits.discard_bytes, self.0.limits.discard_time);
        let mut frames = body.into_data_stream();
        let read = async move {
            while let Some(Ok(bytes)) = frames.next().await {
                left = match left.checked_sub(bytes.len() as u64) {
                    Some(left) => left,
                    None => return,
                };
            }
        };
        let _entered = self.0.runtime.enter();
        tokio::spawn(tokio::time::timeout(time, read));
    }
}

pub(super) struct RequestBody {
    /// None after its end.
    body: Option<Body>,
    drain: Drain,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            self.drain.take_over(body);
        }
    }
}

pub(super) struct AnswerBody {
    body: Body,
    /// Until it is first polled.
    drain: Option<Drain>,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(drain) = self.drain.take() {
            drain.head_is_out();
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    /// An empty answer has to be polled, too, if there is something to read on.
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && !self.drain.as_ref().is_some_and(Drain::has_unread)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer that has no body is dropped without being polled, after its head.
impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(drain) = self.drain.take() {
            drain.head_is_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_dropped_body_is_read_when_the_head_of_the_answer_is_out() {
        for head_first in [false, true] {
            let read = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&read);
            let frames = stream::iter(0..3).map(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
                Ok::<_, std::convert::Infallible>(Bytes::from_static(b"frame"))
            });
            let drain = Drain::new(&Limits::default());
            let body = drain.request(Body::from_stream(frames));
            let mut answer = Body::new(drain.clone().answer(Body::empty())).into_data_stream();
            if head_first {
                assert!(answer.next().await.is_none());
                drop(body);
            } else {
                drop(body);
                assert!(drain.has_unread() && !answer.is_end_stream());
                tokio::task::yield_now().await;
                assert_eq!(read.load(Ordering::SeqCst), 0);
                assert!(answer.next().await.is_none());
            }
            while read.load(Ordering::SeqCst) < 3 {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_was_read_leaves_nothing() {
        let drain = Drain::new(&Limits::default());
        let mut frames = Body::new(drain.request(Body::from("all of it"))).into_data_stream();
        while frames.next().await.is_some() {}
        drop(frames);
        assert!(!drain.has_unread());
    }
}
