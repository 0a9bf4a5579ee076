//! What an operator runs from the command line besides `serve`.

pub(crate) mod admin;
pub(crate) mod config_check;
mod contact;
mod known;
mod partner_check;
mod sweep;
