//! `wb escalate`: escalates a ticket for a partner. Only the line with the reference goes to standard output.

use anyhow::Context;
use serde_json::json;

use crate::cli;
use crate::exit::Status;
use crate::gateway::client::Gateway;
use crate::output::Output;

pub(crate) async fn run(
    gateway: &Gateway,
    arguments: &cli::Escalate,
    output: &Output,
) -> anyhow::Result<Status> {
    let cli::Escalate { request, partner, reason, actions, urgency, emergency } = arguments;
    let body = json!({
        "partner": partner, "request": request, "reason": reason, "actions": actions, "urgency": urgency,
        "emergency": emergency,
    });
    let escalated = gateway.escalate(&body).await;
    let escalated = escalated.with_context(|| format!("cannot escalate `{request}`"))?;
    if output.is_json() {
        output.object(&escalated)?;
        return Ok(Status::Done);
    }
    output.line(&format!("{}  ticket {}  {}", escalated.reference, escalated.ticket, escalated.state))?;
    if escalated.joined {
        output.note("the ticket was escalated before: this request joined that escalation");
    }
    for hint in &escalated.hints {
        output.note(&format!("hint: {hint}"));
    }
    Ok(Status::Done)
}
