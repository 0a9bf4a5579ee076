//! `GET /assets/{name}`: the files that pages load. A name stands for its bytes for ever.

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use page::Asset;

use crate::problem::{self, Problem};

pub(crate) async fn get(Path(name): Path<String>) -> Result<Response, Problem> {
    let asset = Asset::find(&name).ok_or_else(problem::not_found)?;
    let headers = [
        (CONTENT_TYPE, asset.content_type),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (CONTENT_SECURITY_POLICY, asset.policy()),
    ];
    Ok((headers, asset.bytes).into_response())
}
