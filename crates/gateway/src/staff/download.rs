//! The bytes of an object as its reader takes them. Invariant: a download holds no more than is charged for it, and keeps its
//! bucket waiting for `HELD_OPEN` at most: what the reader takes later is asked for again, from there on.

use std::pin::pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use bucket::{Bucket, Read};
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;
use upload::ConnectionCredit;

/// What one download may hold: what the client of the bucket reads ahead (0.5 MiB), the pieces here, and what the
/// connection has taken of them.
const CHARGED_BYTES_MAX: usize = 768 * 1024;
/// Bytes are handed on in pieces of this size, copied, so that none keeps a whole read buffer.
const PIECE_BYTES: usize = 64 * 1024;
const PIECES_AHEAD: usize = 2;
/// A store ends an answer that nobody takes, after 20 s or so.
const HELD_OPEN: Duration = Duration::from_secs(5);

/// An object, or a range of it.
pub(super) struct Download {
    pub(super) bucket: Bucket,
    pub(super) key: String,
    /// The next byte that the reader gets, and the last one.
    pub(super) at: u64,
    pub(super) last: u64,
}

/// What a download of so many bytes may hold.
pub(super) fn charged_bytes(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX).clamp(1, CHARGED_BYTES_MAX)
}

type Piece = Result<Bytes, bucket::Error>;

/// The rest of an answer was not taken for a while.
struct Stalled;

impl Download {
    /// The bytes, which begin with this answer. `window` is charged for as long as the body lives.
    pub(super) fn body(mut self, read: Read, window: ConnectionCredit) -> Body {
        let (pieces, taken) = channel(PIECES_AHEAD);
        tokio::spawn(async move {
            tokio::select! {
                brought = self.bring(read, &pieces) => if let Err(error) = brought {
                    let _ = pieces.send(Err(error)).await;
                },
                () = pieces.closed() => {}
            }
        });
        let take = |(mut taken, window): (Receiver<Piece>, ConnectionCredit)| async move {
            let piece = taken.recv().await?;
            Some((piece, (taken, window)))
        };
        Body::from_stream(stream::unfold((taken, window), take))
    }

    async fn bring(&mut self, mut read: Read, pieces: &Sender<Piece>) -> Result<(), bucket::Error> {
        loop {
            let etag = read.etag.clone();
            match self.hand_on(read, pieces).await? {
                Ok(()) => return Ok(()),
                // Wherever the reader takes the next piece, it goes on.
                Err(Stalled) => drop(pieces.reserve().await),
            }
            read = self.bucket.read_same(&self.key, Some((self.at, self.last)), Some(&etag)).await?;
        }
    }

    async fn hand_on(
        &mut self,
        read: Read,
        pieces: &Sender<Piece>,
    ) -> Result<Result<(), Stalled>, bucket::Error> {
        let mut frames = pin!(read.stream());
        while let Some(frame) = frames.next().await {
            for piece in frame?.chunks(PIECE_BYTES) {
                let Ok(place) = timeout(HELD_OPEN, pieces.reserve()).await else { return Ok(Err(Stalled)) };
                let Ok(place) = place else { return Ok(Ok(())) };
                place.send(Ok(Bytes::copy_from_slice(piece)));
                self.at += piece.len() as u64;
            }
        }
        Ok(Ok(()))
    }
}
