//! `content_url`: an attachment's bytes for a caller with a valid token, always as an attachment.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use percent_encoding::utf8_percent_encode;
use tokio_util::io::ReaderStream;

use super::answer::Refusal;
use super::instance::Desk;
use super::render::UNRESERVED;

/// Read size; larger gains little on loopback.
const CHUNK_BYTES: usize = 256 * 1024;

pub(super) async fn serve(
    Shared(desk): Shared<Arc<Desk>>,
    Path(token): Path<String>,
) -> Result<Response, Refusal> {
    let (state, now) = (desk.read(), desk.now());
    let expired =
        state.uploads.values().any(|upload| upload.expires_at <= now && upload.attachments.contains(&token));
    let attachment = state.attachments.get(&token).filter(|_| !expired).ok_or_else(Refusal::not_found)?;
    let file = tokio::fs::File::open(desk.store.file(&attachment.file)).await?;
    let headers = [
        (header::CONTENT_TYPE, attachment.content_type.clone()),
        (header::CONTENT_LENGTH, attachment.size.to_string()),
        (header::CONTENT_DISPOSITION, disposition(&attachment.file_name)),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(ReaderStream::with_capacity(file, CHUNK_BYTES))).into_response())
}

/// RFC 6266: the plain name for old clients, and the true one.
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\' | '%') { c } else { '_' })
        .collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(name, UNRESERVED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dispositions() {
        for (name, want) in [
            ("a.log", "attachment; filename=\"a.log\"; filename*=UTF-8''a.log"),
            ("a\"\r\n.log", "attachment; filename=\"a___.log\"; filename*=UTF-8''a%22%0D%0A.log"),
            ("ä b", "attachment; filename=\"_ b\"; filename*=UTF-8''%C3%A4%20b"),
        ] {
            assert_eq!(disposition(name), want);
        }
    }
}
