//! `GET send.sh` and `send.ps1`: the small uploaders, filled in for the link that was asked.
//! Invariant: they hold what the request's address held: with `/u/-/` no token.

use axum::response::{IntoResponse, Response};

use super::Asking;
use super::route::Script;

pub(super) fn script(asking: &Asking, script: Script) -> Response {
    let (text, media_type, name) = match script {
        Script::Sh => (page::send_sh(&asking.address), "text/x-shellscript; charset=utf-8", "send.sh"),
        Script::PowerShell => (page::send_ps1(&asking.address), "text/plain; charset=utf-8", "send.ps1"),
    };
    let headers = [
        ("content-type", media_type.to_owned()),
        ("content-disposition", format!("inline; filename={name}")),
        ("cache-control", "no-store".to_owned()),
    ];
    (headers, text).into_response()
}
