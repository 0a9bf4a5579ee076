//! The answer to a form: for one file as if it had been `PUT`, for several a list in their order.

use api::{FormAnswer, FormFile};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::accept::ResponseFormat;
use crate::http::html;
use crate::http::json::Json;
use crate::partner::request::PartnerRequest;
use crate::partner::response::{receipt, size, stored};
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
        let page = html::response(request.language, page(request, &outcomes));
        return Ok((status, page).into_response());
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

/// Addresses of the receipts of files. `here` is the address of the link, perhaps relative to the page's.
pub(in crate::partner) fn locations(outcomes: &[FileAnswer], here: &str) -> Vec<String> {
    let location = |file: &FileAnswer| match &file.result {
        Ok(upload) => format!("{here}uploads/{}", upload.id),
        Err(_) => String::new(),
    };
    outcomes.iter().map(location).collect()
}

/// The files for a page.
pub(in crate::partner) fn sent<'a>(
    outcomes: &'a [FileAnswer],
    locations: &'a [String],
) -> Vec<page::SentFile<'a>> {
    let sent = |(file, location): (&'a FileAnswer, &'a String)| match &file.result {
        Ok(upload) => stored(
            upload,
            size(upload).unwrap_or_default(),
            upload.sha256.as_deref().unwrap_or_default(),
            location,
        ),
        Err(problem) => {
            page::SentFile::Refused { name: &file.name, kind: problem.kind(), detail: problem.detail() }
        }
    };
    outcomes.iter().zip(locations).map(sent).collect()
}

fn page(request: &PartnerRequest, outcomes: &[FileAnswer]) -> String {
    let here = request.here();
    let locations = locations(outcomes, &here);
    page::html(&page::OutcomesPage {
        language: request.language,
        here: &here,
        outcomes: &sent(outcomes, &locations),
    })
}
