//! Who may do what, how often, and on which ticket. Nothing here knows HTTP.

mod desk_ticket;
mod links;
mod partner_id;
mod rate_limit;
mod ticket_check;
mod ticket_owners;

pub use links::{LinkError, LinkMaker, MadeLink};
pub use partner_id::is_partner_id;
pub use rate_limit::RateLimiter;
pub use ticket_check::{TicketCheck, TicketError};
pub use ticket_owners::{Owner, TicketOwners};
