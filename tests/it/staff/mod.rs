//! The support side: the staff API, its links and `wb`.

mod api;
mod downloads;
mod links;
mod openapi;
mod support_pages;
mod tokens;
mod wb;
