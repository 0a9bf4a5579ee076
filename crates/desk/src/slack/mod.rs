//! Slack: a client for its Web API, and the requests that it sends to an app: events, buttons, forms, slash commands.
//!
//! Invariant: text from strangers reaches Slack through [`escape`] only; the caller sees to that.

mod blocks;
mod client;
mod error;
mod form;
mod incoming;
mod message;
mod signature;
mod text;

pub use client::{Config, Slack};
pub use error::Error;
pub use form::{CALLBACK_ID, EscalationFields, field_errors, modal, workflow_message};
pub use incoming::{ChannelMessage, ESCALATE_ACTION, Incoming, Submission, parse};
pub use message::{Button, Message};
pub use text::escape;
