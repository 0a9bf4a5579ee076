//! Tickets that partners open.

use serde::{Deserialize, Serialize};

use crate::{Extra, FormFile};

/// The answer to a partner that opens a ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenedTicket {
    /// The number.
    pub ticket: String,
    pub subject: String,
    pub link: TicketLink,
    /// Files that came with the request, in their order.
    pub uploads: Vec<FormFile>,
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub extra: Extra,
}

/// An upload link for one ticket. Anyone who has the URL can send files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TicketLink {
    pub url: String,
    /// RFC 3339.
    pub expires_at: Option<String>,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    pub field: String,
    /// Tells a person what to enter.
    pub detail: String,
}
