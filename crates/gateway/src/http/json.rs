//! JSON answers that end with a newline, so that a terminal's prompt starts on a line of its own.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::problem::Problem;

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
                Problem::from(error).into_response()
            }
        }
    }
}
