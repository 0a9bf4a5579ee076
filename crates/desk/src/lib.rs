//! The support organisation's desk, as a client sees it: tickets, comments, uploads, organizations.
//!
//! Invariants: the only crate that knows Zendesk's API; the `Authorization` header goes to the desk's own host and no other;
//! every call has a timeout, every answer a size limit; nothing is retried here except once after a 401.
//!
//! ```no_run
//! # async fn example() -> Result<(), desk::Error> {
//! use desk::{Config, Credentials, Desk, NewComment};
//! let credentials = Credentials::Oauth { client_id: "gateway".into(), client_secret: "…".into() };
//! let desk = Desk::new(Config::new("https://example.zendesk.com", credentials))?;
//! let ticket = desk.ticket("1001").await?;
//! let body = format!("{} arrived", desk::escape("core*dump.gz"));
//! desk.comment("1001", NewComment { body, public: false, uploads: vec![], stamp: &ticket.updated_stamp }).await?;
//! # Ok(()) }
//! ```

mod auth;
mod client;
mod config;
mod error;
mod observe;
mod people;
mod text;
mod tickets;
mod uploads;

pub use client::{Desk, is_loopback};
pub use config::{ATTACHMENT_BYTES_MAX, Config, Credentials};
pub use error::{BoxError, Error};
pub use people::{Organization, User};
pub use text::{escape, ticket_number};
pub use tickets::{Attachment, Comment, NewComment, NewTicket, Requester, Status, Ticket};
pub use uploads::UploadToken;
