//! Files that support asks for, in the staff API.

use anyhow::Context;
use api::{Ask, AskList, AskRequest};
use reqwest::Method;

use super::client::Gateway;

impl Gateway {
    /// What was asked for on a ticket, oldest first.
    pub(crate) async fn asks(&self, ticket: &str) -> anyhow::Result<Vec<Ask>> {
        let list: AskList = self.get(self.url(&["tickets", ticket, "asks"]), None).await?;
        Ok(list.asks)
    }

    pub(crate) async fn ask(&self, ticket: &str, wanted: &[String]) -> anyhow::Result<Vec<Ask>> {
        let body = serde_json::to_value(AskRequest { wanted: wanted.to_vec() })?;
        let asked = self.send(Method::POST, self.url(&["tickets", ticket, "asks"]), &body, None).await;
        let list: AskList = asked.with_context(|| format!("cannot ask for files on ticket {ticket}"))?;
        Ok(list.asks)
    }

    pub(crate) async fn withdraw_ask(&self, ticket: &str, id: &str) -> anyhow::Result<()> {
        let unknown =
            format!("Ticket {ticket} does not wait for a file with the ID `{id}`. Run `wb ask {ticket}`.");
        let url = self.url(&["tickets", ticket, "asks", id]);
        let withdrawn = self.call(Method::DELETE, url, None, Some(unknown)).await;
        withdrawn.map(drop).with_context(|| format!("cannot withdraw `{id}`"))
    }
}
