//! JSON answers: as axum writes them, with the end of their line, so that a terminal's prompt begins one of its own.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::problem::Problem;

/// An answer of JSON, on a line.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(mut body) => {
                body.push(b'\n');
                ([(CONTENT_TYPE, "application/json")], body).into_response()
            }
            Err(error) => {
                let error = upload::Error::Internal(format!("write an answer: {error}"));
                Problem::from(error).answer(crate::headers::Wanted::Json)
            }
        }
    }
}
