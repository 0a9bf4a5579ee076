//! Content on its way out: pieces read one after the other in chunks, a few chunks ahead of the client.
//! Invariant: a slow client holds at most three chunks, and no thread.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::poll_fn;
use s3s::dto::StreamingBlob;
use tokio::sync::mpsc;

use super::index::Object;

/// Measured best of 64 KiB to 1 MiB for a streamed answer.
const CHUNK_BYTES: u64 = 256 << 10;

/// Chunks read ahead.
const CHUNKS_AHEAD: usize = 2;

/// Streams a range of an object. Replacing or deleting the object meanwhile does not disturb it.
pub(crate) fn stream(object: Arc<Object>, range: Range<u64>) -> StreamingBlob {
    let (sender, mut receiver) = mpsc::channel(CHUNKS_AHEAD);
    tokio::spawn(async move {
        let mut reader = Reader { object, at: range.start, end: range.end, open: None };
        loop {
            let outcome = tokio::task::spawn_blocking(move || {
                let chunk = reader.next_chunk();
                (reader, chunk)
            })
            .await;
            let Ok((back, chunk)) = outcome else { return };
            reader = back;
            let Some(chunk) = chunk.transpose() else { return };
            let failed = chunk.is_err();
            if sender.send(chunk).await.is_err() || failed {
                return;
            }
        }
    });
    StreamingBlob::wrap(poll_fn(move |context| receiver.poll_recv(context)))
}

/// A position in an object's content.
struct Reader {
    object: Arc<Object>,
    at: u64,
    end: u64,
    /// The piece that is open, and where in the content it ends.
    open: Option<(File, u64)>,
}

impl Reader {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let (mut file, piece_end) = match self.open.take() {
            Some((file, piece_end)) if self.at < piece_end => (file, piece_end),
            _ => self.open_piece()?,
        };
        let bytes = CHUNK_BYTES.min(piece_end.min(self.end) - self.at);
        let mut chunk = Vec::with_capacity(usize::try_from(bytes).map_err(io::Error::other)?);
        (&mut file).take(bytes).read_to_end(&mut chunk)?;
        if chunk.len() as u64 != bytes {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "a stored file is shorter than its manifest says",
            ));
        }
        self.at += bytes;
        self.open = Some((file, piece_end));
        Ok(Some(chunk.into()))
    }

    /// Opens the piece that holds the present position.
    fn open_piece(&self) -> io::Result<(File, u64)> {
        let mut start = 0;
        for piece in &self.object.manifest.pieces {
            let end = start + piece.size;
            if self.at < end {
                let mut file = File::open(self.object.path(piece))?;
                file.seek(SeekFrom::Start(self.at - start))?;
                return Ok((file, end));
            }
            start = end;
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a manifest lists fewer bytes than its object has"))
    }
}
