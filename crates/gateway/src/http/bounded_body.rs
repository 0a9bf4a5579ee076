//! Reads a small body as a whole: fields, a webhook. Files never come here.
//! Invariant: neither its size nor its time is up to the sender.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use futures_util::StreamExt as _;

use crate::problem::{self, Problem};

/// How long a small body may take.
const TIME_MAX: Duration = Duration::from_secs(30);

pub(crate) async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let read = async {
        let (mut frames, mut bytes) = (body.into_data_stream(), Vec::new());
        while let Some(frame) = frames.next().await {
            let frame =
                frame.map_err(|_| problem::bad_request("The body broke off. Send the request again."))?;
            if bytes.len() + frame.len() > bytes_max {
                return Err(too_large(bytes_max));
            }
            bytes.extend_from_slice(&frame);
        }
        Ok(bytes.into())
    };
    tokio::time::timeout(TIME_MAX, read)
        .await
        .unwrap_or_else(|_| Err(upload::Error::TooSlow { received: 0 }.into()))
}

fn too_large(bytes_max: usize) -> Problem {
    let detail =
        format!("The body of this request may have at most {bytes_max} bytes. Send long texts as files.");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "/problems/too-large", "Body too large", detail)
}
