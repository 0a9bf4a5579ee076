//! What a sender is told of a digest that is not the one of its bytes, or that cannot be read.

use axum::http::StatusCode;
use upload::{Algorithm, SideFile};

use super::{Problem, bad_request};

pub(super) fn digest_mismatch(
    detail: &str,
    algorithm: Algorithm,
    announced: String,
    actual: String,
) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "/problems/digest-mismatch", "Digest mismatch", detail)
        .with("algorithm", algorithm.name())
        .with("announced", announced)
        .with("actual", actual)
}

/// What a sender should do about a digest that is not the file's.
pub(super) fn mismatch(algorithm: Algorithm, side_file: Option<SideFile>) -> String {
    let name = algorithm.name();
    match side_file {
        None => format!(
            "The bytes that arrived do not have the {name} announced, so nothing was kept. Send the file again."
        ),
        Some(SideFile::Before(side)) => format!(
            "The bytes that arrived do not have the {name} that `{side}` gave, so nothing was kept. Send the file again; \
             if it is `{side}` that is wrong, send that again first. It counts for one hour."
        ),
        Some(SideFile::After(file)) => format!(
            "`{file}`, which arrived before, does not have the {name} given here. It is kept, and marked on the ticket; \
             this side file is not kept. Compare both with the original, and send again what is wrong."
        ),
    }
}

pub(super) fn unreadable_side_file(algorithm: Algorithm, target: &str) -> Problem {
    let (name, digits) = (algorithm.name(), algorithm.bytes() * 2);
    bad_request(&format!(
        "This side file names no {name}, so `{target}` could not be compared with it, and it was not kept. Write the \
         {digits} hexadecimal digits alone, or two blanks and the name behind them, as plain text."
    ))
}
