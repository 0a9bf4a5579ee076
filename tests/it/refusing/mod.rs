//! Refusals: wrong requests, missing rights, hostile clients and exceeded limits.

mod access;
mod errors;
mod heads;
mod hostile_clients;
mod link_limits;
