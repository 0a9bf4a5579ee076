//! The answer to a form: for one file as if it had been `PUT`, for several a list in their order.

use api::{FormAnswer, FormFile};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use crate::accept::ResponseFormat;
use crate::http::json::Json;
use crate::partner::request::PartnerRequest;
use crate::partner::response::{receipt, sentence, size};
use crate::problem::{self, Problem};
use crate::to_api;

/// Longest excerpt of a sent name that the answer repeats: no file name is longer.
const NAMED_BYTES_MAX: usize = 255;

/// One file of a form.
pub(in crate::partner) struct FileAnswer {
    pub(super) name: String,
    pub(super) result: Result<ledger::Upload, Problem>,
}

pub(super) fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(NAMED_BYTES_MAX)].to_owned()
}

pub(super) fn answer(request: &PartnerRequest, mut outcomes: Vec<FileAnswer>) -> Result<Response, Problem> {
    // The reason why the rest was not read belongs to no file.
    if let [FileAnswer { result: Err(_), .. }, FileAnswer { name, result: Err(_) }] = outcomes.as_slice()
        && name.is_empty()
    {
        outcomes.pop();
    }
    if outcomes.len() <= 1 {
        return match outcomes.pop().map(|outcome| outcome.result) {
            Some(Ok(upload)) => Ok(receipt(request, StatusCode::CREATED, &upload)),
            Some(Err(problem)) => Err(problem),
            None => {
                Err(problem::bad_request("The form contains no file. Choose one, or send `-F file=@NAME`."))
            }
        };
    }
    let status = outcomes
        .iter()
        .find_map(|outcome| outcome.result.as_ref().err())
        .map_or(StatusCode::CREATED, |problem| problem.status);
    if request.format == ResponseFormat::Html {
        return Ok((status, Html(page(request, &outcomes))).into_response());
    }
    Ok((status, Json(FormAnswer { uploads: files(&outcomes) })).into_response())
}

/// Each file as a receipt or a problem.
pub(in crate::partner) fn files(outcomes: &[FileAnswer]) -> Vec<FormFile> {
    let file = |outcome: &FileAnswer| match &outcome.result {
        Ok(upload) => FormFile::Stored(Box::new(to_api::receipt(upload))),
        Err(problem) => FormFile::Refused(problem.clone().with("name", outcome.name.as_str()).to_api()),
    };
    outcomes.iter().map(file).collect()
}

/// A file, with the texts that a page shows about it.
pub(in crate::partner) struct Shown<'a> {
    file: &'a FileAnswer,
    text: String,
    location: String,
}

/// `here` is the address of the link, perhaps relative to the page's.
pub(in crate::partner) fn shown<'a>(outcomes: &'a [FileAnswer], here: &str) -> Vec<Shown<'a>> {
    let shown = |file: &'a FileAnswer| match &file.result {
        Ok(upload) => {
            Shown { file, text: sentence(upload), location: format!("{here}uploads/{}", upload.id) }
        }
        Err(problem) => Shown { file, text: problem.detail().to_owned(), location: String::new() },
    };
    outcomes.iter().map(shown).collect()
}

/// The files for a page.
pub(in crate::partner) fn sent<'a>(shown: &'a [Shown<'a>]) -> Vec<page::SentFile<'a>> {
    let sent = |Shown { file, text, location }: &'a Shown<'a>| match &file.result {
        Ok(upload) => page::SentFile::Stored {
            name: &upload.name,
            size: size(upload).unwrap_or_default(),
            sha256: upload.sha256.as_deref().unwrap_or_default(),
            place: text,
            location,
        },
        Err(_) => page::SentFile::Refused { name: &file.name, detail: text },
    };
    shown.iter().map(sent).collect()
}

fn page(request: &PartnerRequest, outcomes: &[FileAnswer]) -> String {
    let here = request.here();
    page::html(&page::OutcomesPage { here: &here, outcomes: &sent(&shown(outcomes, &here)) })
}
