//! The embedded desk: an HTTP server with the shapes of Zendesk Support's API, for the demo, the sandbox and tests.
//! Invariant: an answer goes out only after what it says is durable, so a killed desk forgets nothing it confirmed.
//! Not here: triggers, webhooks, views, end users' own access, mail.

mod answer;
mod auth;
mod changes;
mod content;
mod credentials;
mod instance;
mod limits;
mod model;
mod paging;
mod people;
mod rate_limit;
mod render;
mod routes;
mod search;
mod seed;
mod store;
mod tickets;
mod uploads;
mod write;

#[cfg(test)]
mod tests;

pub use credentials::Credentials;
pub use instance::Desk;
pub use model::{CustomField, Role, SeedOrganization, SeedUser, Status};
pub use routes::{operation, router};
pub use seed::{DeskOptions, Seed, SeedTicket};
