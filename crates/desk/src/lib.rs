//! Clients for the support organisation's desk (tickets, comments, attachments, organizations) and for [`slack`], and the
//! requests that both send to us.
//!
//! Invariants: this is the only crate that knows Zendesk's and Slack's APIs; an `Authorization` header goes to its own host
//! only; every call has a timeout and every answer a size limit; nothing is retried, except once after a 401 of the desk.
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

mod attachments;
mod auth;
mod changes;
mod client;
mod comments;
mod config;
mod error;
mod escape;
mod http;
mod people;
mod signature;
pub mod slack;
mod tickets;
mod webhook;

pub use attachments::UploadToken;
pub use changes::{ChangedTickets, ChangesFrom};
pub use client::Desk;
pub use comments::{Attachment, Comment, NewComment};
pub use config::{ATTACHMENT_BYTES_MAX, Config, Credentials};
pub use error::{BoxError, Error};
pub use escape::{escape, escape_block};
pub use http::is_loopback;
pub use people::{Organization, User};
pub use signature::BadSignature;
pub use tickets::{NewTicket, Requester, Status, Ticket, ticket_number};
pub use webhook::{TEST_WEBHOOK_SECRET, TicketEvent, is_test_secret, parse_webhook, verify_webhook};
