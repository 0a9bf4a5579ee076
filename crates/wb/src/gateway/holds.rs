//! Legal holds in the staff API.

use anyhow::Context;
use api::{Hold, HoldRequest};
use reqwest::Method;

use super::client::Gateway;

impl Gateway {
    pub(crate) async fn hold(&self, ticket: &str) -> anyhow::Result<Hold> {
        self.get(self.url(&["tickets", ticket, "hold"]), Some(no_hold(ticket))).await
    }

    /// Sets a hold, or changes its reason.
    pub(crate) async fn set_hold(&self, ticket: &str, reason: &str) -> anyhow::Result<Hold> {
        let body = serde_json::to_value(HoldRequest { reason: reason.to_owned() })?;
        let set = self.send(Method::POST, self.url(&["tickets", ticket, "hold"]), &body, None).await;
        set.with_context(|| format!("cannot hold ticket {ticket}"))
    }

    pub(crate) async fn lift_hold(&self, ticket: &str) -> anyhow::Result<()> {
        let url = self.url(&["tickets", ticket, "hold"]);
        let lifted = self.call(Method::DELETE, url, None, Some(no_hold(ticket))).await;
        lifted.map(drop).with_context(|| format!("cannot lift the hold on ticket {ticket}"))
    }
}

fn no_hold(ticket: &str) -> String {
    format!("Ticket {ticket} has no hold.")
}
