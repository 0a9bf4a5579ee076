//! Where the bytes of a file come from.

use futures_util::{StreamExt, TryStreamExt};

use crate::exit::failed;
use crate::gateway::client::from_reqwest;
use crate::gateway::content::Content;
use crate::retry::RequestError;
use crate::s3::content::{ObjectContent, request_error};

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
        let mut chunks = match self {
            Self::Gateway(content) => {
                content.open(start, end).await?.bytes_stream().map_err(from_reqwest).boxed()
            }
            Self::Bucket(content) => {
                content.open(start, end).await?.stream().map_err(|error| request_error(&error)).boxed()
            }
        };
        let whole = piece.len() + usize::try_from(end - start).unwrap_or(usize::MAX);
        while piece.len() < whole {
            let Some(chunk) = chunks.try_next().await? else {
                return Err(RequestError::transient(failed("the answer ended early")));
            };
            let length = chunk.len().min(whole - piece.len());
            piece.extend_from_slice(&chunk[..length]);
            received(length as u64);
        }
        Ok(())
    }
}
