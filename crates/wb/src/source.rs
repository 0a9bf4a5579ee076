//! Where the bytes of a file come from.

use crate::gateway::content::Content;
use crate::retry::RequestError;
use crate::s3::content::ObjectContent;

pub(crate) enum Source {
    Gateway(Content),
    Bucket(ObjectContent),
}

impl Source {
    /// Appends the bytes `start..end` to `piece`. After a failure, the bytes received so far stay in `piece`, so that a retry
    /// can continue behind them. `received` is called with the length of each chunk.
    pub(crate) async fn read(
        &self,
        start: u64,
        end: u64,
        piece: &mut Vec<u8>,
        received: impl Fn(u64),
    ) -> Result<(), RequestError> {
        match self {
            Self::Gateway(content) => content.read(start, end, piece, received).await,
            Self::Bucket(content) => content.read(start, end, piece, received).await,
        }
    }
}
