//! The partner's side, below `/u/{link}`. Everything that can be refused without the body is refused before it is read.

mod append;
mod ask;
pub(crate) mod cancel;
mod cors;
pub(crate) mod create;
pub(crate) mod escalate;
pub(crate) mod form;
mod how_to_send;
mod idempotency;
mod nfr;
pub(crate) mod note;
mod open_ticket;
pub(crate) mod options;
pub(crate) mod page;
pub(crate) mod protocol;
pub(crate) mod put;
pub(crate) mod renew;
mod request;
mod response;
pub(crate) mod resume;
pub(crate) mod show;
mod ticket;
pub(crate) mod tickets;
mod unfinished;
