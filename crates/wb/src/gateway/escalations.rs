//! Escalations in the staff API.

use anyhow::Context;
use api::{Escalation, EscalationList, EscalationStatus};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Gateway, set_query};
use crate::exit::not_found;

/// Which escalations to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) ticket: Option<String>,
    pub(crate) partner: Option<String>,
    pub(crate) state: Option<String>,
}

impl Gateway {
    /// The newest first.
    pub(crate) async fn escalations(&self, filter: &Filter) -> anyhow::Result<Vec<Escalation>> {
        let mut url = self.url(&["escalations"]);
        let parameters = [
            ("ticket", filter.ticket.as_deref()),
            ("partner", filter.partner.as_deref()),
            ("state", filter.state.as_deref()),
        ];
        set_query(&mut url, &parameters);
        let answer = self.get(url, None).await;
        answer.map(|list: EscalationList| list.escalations).context("cannot list the escalations")
    }

    /// One with the files of its ticket.
    pub(crate) async fn escalation(&self, id: &str) -> anyhow::Result<Escalation> {
        self.get(self.url(&["escalations", id]), Some(no_escalation(id))).await
    }

    /// The ID that a person means by an ID or a reference.
    ///
    /// # Errors
    /// Status 3 if no escalation in the list has the reference.
    pub(crate) async fn escalation_id(&self, text: &str) -> anyhow::Result<String> {
        if !is_reference(text) {
            return Ok(text.to_owned());
        }
        let listed = self.escalations(&Filter::default()).await?;
        let found = listed.into_iter().find(|escalation| escalation.reference.eq_ignore_ascii_case(text));
        found.map(|escalation| escalation.id).ok_or_else(|| {
            not_found(format!(
                "No recent escalation has the reference `{text}`. Run `wb escalations --ticket T --json` to find an older one, and use its ID."
            ))
        })
    }

    pub(crate) async fn change_escalation(
        &self,
        id: &str,
        state: &str,
        reason: Option<&str>,
    ) -> anyhow::Result<Escalation> {
        let mut body = json!({"state": state});
        if let Some(reason) = reason {
            body["reason"] = reason.into();
        }
        self.send(Method::PATCH, self.url(&["escalations", id]), &body, Some(no_escalation(id))).await
    }

    pub(crate) async fn escalate(&self, request: &Value) -> anyhow::Result<EscalationStatus> {
        self.send(Method::POST, self.url(&["escalations"]), request, None).await
    }
}

fn no_escalation(id: &str) -> String {
    format!("No escalation has the ID `{id}`. Run `wb escalations` to list escalations.")
}

/// References have a hyphen, and IDs have none.
fn is_reference(text: &str) -> bool {
    text.contains('-')
}
