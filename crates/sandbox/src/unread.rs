//! The rest of a request's body that a service does not read.
//! Invariant: a body that its reader drops before its end comes back here, so that a refusal can wait until all was sent; a
//! client that is still sending when the connection closes sees a broken pipe instead of the refusal.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;

/// A body that is given back when its reader drops it.
#[derive(Debug)]
pub(crate) struct Lent {
    body: Body,
    back: Option<oneshot::Sender<Body>>,
}

/// Receives a lent body back.
#[derive(Debug)]
pub(crate) struct Unread(oneshot::Receiver<Body>);

pub(crate) fn lend(body: Body) -> (Lent, Unread) {
    let (back, unread) = oneshot::channel();
    (Lent { body, back: Some(back) }, Unread(unread))
}

impl Unread {
    /// Reads the rest, once the reader has dropped the body.
    pub(crate) async fn read(self) {
        let Ok(mut body) = self.0.await else { return };
        while let Some(Ok(_)) = body.frame().await {}
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(back) = self.back.take() {
            // Only refusals wait for it.
            let _unread = back.send(std::mem::take(&mut self.body));
        }
    }
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
