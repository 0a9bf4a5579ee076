//! Delivery to the ticket: attachments, notes and a desk that fails.

mod desk;
mod destination;
