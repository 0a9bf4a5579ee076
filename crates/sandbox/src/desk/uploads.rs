//! `POST /api/v2/uploads`.
//! Invariant: bytes stream to a file and are never collected; a token goes out once the file and the state are durable.

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::extract::{Query, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use futures_util::StreamExt;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

use super::answer::Refusal;
use super::credentials::random_hex;
use super::instance::{Desk, Params};
use super::model::{Attachment, Seconds, State, Upload};
use super::render::Base;

/// An unused token's life: 60 minutes, as Zendesk documents.
const TOKEN_SECONDS: Seconds = 60 * 60;
/// How much of a refused body is read, so that a sender that does not listen while it writes still gets the answer.
const MAX_DISCARDED_BYTES: u64 = 1 << 30;

pub(super) async fn create(
    Shared(desk): Shared<Arc<Desk>>,
    base: Base,
    Query(params): Query<Params>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let mut body = body.into_data_stream();
    let refused = match check(&desk, &params, &headers) {
        Ok((file_name, content_type)) => match receive(&desk, &mut body).await? {
            Some((file, size)) => {
                let token = params.get("token").filter(|token| !token.is_empty()).cloned();
                let attachment = Attachment { id: 0, file: random_hex(), file_name, content_type, size };
                return store(&desk, base, token, attachment, file).await;
            }
            None => Refusal::too_large(),
        },
        Err(refused) => refused,
    };
    discard(body).await;
    Err(refused)
}

/// Checks all that can be refused before the body. Returns name and type.
fn check(desk: &Desk, params: &Params, headers: &HeaderMap) -> Result<(String, String), Refusal> {
    let name = params.get("filename").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Refusal::invalid("filename", "BlankValue", "cannot be blank"))?;
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let content_type = text(header::CONTENT_TYPE)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Refusal::invalid("content_type", "BlankValue", "Content type cannot be blank"))?;
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    if extension.is_some_and(|extension| desk.options.refused_extensions.contains(&extension)) {
        return Err(Refusal::unprocessable(
            "AttachmentUnprocessable",
            "The attachment could not be processed",
        ));
    }
    let declared = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if declared.is_some_and(|length| length > desk.options.max_attachment_bytes) {
        return Err(Refusal::too_large());
    }
    if let Some(token) = params.get("token").filter(|token| !token.is_empty()) {
        live(&desk.read(), token, desk.now())?;
    }
    Ok((name.clone(), content_type.to_owned()))
}

/// Streams the body to a file. `None` if it is larger than allowed.
async fn receive(desk: &Desk, body: &mut BodyDataStream) -> Result<Option<(NamedTempFile, u64)>, Refusal> {
    let file = desk.store.unfinished()?;
    let mut writer = tokio::fs::File::from_std(file.reopen()?);
    let mut size = 0u64;
    while let Some(frame) = body.next().await {
        let broken = |_| Refusal::bad_request("IncompleteBody", "The body ended early");
        let frame = frame.map_err(broken)?;
        size += frame.len() as u64;
        if size > desk.options.max_attachment_bytes {
            return Ok(None);
        }
        writer.write_all(&frame).await?;
    }
    writer.flush().await?;
    Ok(Some((file, size)))
}

async fn store(
    desk: &Arc<Desk>,
    base: Base,
    token: Option<String>,
    attachment: Attachment,
    file: NamedTempFile,
) -> Result<Response, Refusal> {
    let (holder, now) = (Arc::clone(desk), desk.now());
    let (answer, unnamed) = desk
        .change(move |state| {
            let unnamed = state.expire(now);
            if let Some(token) = &token {
                live(state, token, now)?;
            }
            holder.store.keep(file, &attachment.file)?;
            let content_token = random_hex();
            let attachment = Attachment { id: state.next_id(), ..attachment };
            state.attachments.insert(content_token.clone(), attachment);
            let token = token.unwrap_or_else(random_hex);
            let expires_at = now + TOKEN_SECONDS;
            let upload =
                state.uploads.entry(token.clone()).or_insert(Upload { attachments: Vec::new(), expires_at });
            upload.attachments.push(content_token);
            let upload = upload.clone();
            Ok((base.upload(state, &token, &upload), unnamed))
        })
        .await?;
    desk.discard(unnamed).await;
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Reads the rest of a refused body, within bounds.
async fn discard(mut body: BodyDataStream) {
    let mut left = MAX_DISCARDED_BYTES;
    while let Some(Ok(frame)) = body.next().await {
        let Some(rest) = left.checked_sub(frame.len() as u64) else { return };
        left = rest;
    }
}

/// A token that can still be used.
fn live<'a>(state: &'a State, token: &str, now: Seconds) -> Result<&'a Upload, Refusal> {
    let upload = state.uploads.get(token).filter(|upload| upload.expires_at > now);
    upload.ok_or_else(|| {
        Refusal::invalid("uploads", "InvalidValue", "Uploads: token is invalid or has expired")
    })
}

/// Takes the files of these tokens, each token once and for all.
pub(super) fn consume(state: &mut State, tokens: &[String], now: Seconds) -> Result<Vec<String>, Refusal> {
    let mut attachments = Vec::new();
    for token in tokens {
        live(state, token, now)?;
        attachments.extend(state.uploads.remove(token).map(|upload| upload.attachments).unwrap_or_default());
    }
    Ok(attachments)
}
