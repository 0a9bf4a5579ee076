//! Who may do what: links, and whose a ticket is. Nothing here knows HTTP.

pub(crate) mod links;
pub(crate) mod partner_id;
pub(crate) mod tickets;
