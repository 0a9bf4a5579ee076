//! Streams an object at its reader's pace. Invariant: a download holds no more than is charged for it, and keeps its bucket
//! waiting for `HELD_OPEN` at most. After that, the rest is requested again when the reader continues.

use std::pin::pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use bucket::{Bucket, Read};
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;
use upload::ConnectionCredit;

/// What one download may hold: the bucket client's read-ahead (0.5 MiB), the pieces here, and those in the connection.
const CHARGED_BYTES_MAX: usize = 768 * 1024;
/// Bytes are copied into pieces of this size, so that none keeps a whole read buffer alive.
const PIECE_BYTES: usize = 64 * 1024;
const PIECES_AHEAD: usize = 2;
/// Stores end an answer that nobody reads, after about 20 s.
const HELD_OPEN: Duration = Duration::from_secs(5);

/// An object, or a range of it.
pub(super) struct Download {
    pub(super) bucket: Bucket,
    pub(super) key: String,
    /// The next byte to send, and the last one.
    pub(super) at: u64,
    pub(super) last: u64,
}

/// What to charge for a download of this length.
pub(super) fn charged_bytes(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX).clamp(1, CHARGED_BYTES_MAX)
}

type Piece = Result<Bytes, bucket::Error>;

/// The reader has read nothing for a while.
struct Stalled;

impl Download {
    /// The body, which starts with this answer. `window` is charged while the body lives.
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
                // Continue when the reader takes the next piece.
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
