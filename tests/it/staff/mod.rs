//! The support side: the staff API, its links and `wb`.

mod api;
mod downloads;
mod links;
mod openapi;
mod tokens;
mod wb;
