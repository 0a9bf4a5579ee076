//! A body with one byte damaged on its way.
//! Invariant: exactly one byte of a body that has any is flipped, and its length stays.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};

/// Flips the middle byte of the first piece.
#[derive(Debug)]
pub(crate) struct OneByte {
    body: Body,
    done: bool,
}

impl OneByte {
    pub(crate) fn new(body: Body) -> Self {
        Self { body, done: false }
    }
}

impl http_body::Body for OneByte {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let done = self.done;
        let damaged = frame
            .map(|frame| frame.map(|frame| frame.map_data(|data| if done { data } else { flip(&data) })));
        if let Some(Ok(frame)) = &damaged
            && frame.data_ref().is_some_and(|data| !data.is_empty())
        {
            self.done = true;
        }
        Poll::Ready(damaged)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn flip(data: &[u8]) -> Bytes {
    let mut damaged = BytesMut::from(data);
    let middle = damaged.len() / 2;
    if let Some(byte) = damaged.get_mut(middle) {
        *byte ^= 0x01;
    }
    damaged.freeze()
}
