//! Tells Slack about an escalation: the leaders' channel, the partner's channel, both again when it becomes more urgent, and its
//! state in the partner's thread. Each message is posted once, and none waits for another that fails.
//! Invariant: Slack gets numbers and links only, nothing that a partner or support wrote.

use desk::slack::{Button, Message, Slack};
use ledger::{Escalation, EscalationState, Job, Step, now_ms, step_when_raised};

use crate::error::JobError;
use crate::shared::Shared;
use crate::step::once;
use crate::ticket::ALLOWED_SKEW_MS;

pub(crate) async fn run(shared: &Shared, job: &Job) -> Result<(), JobError> {
    let escalation = shared.ledger.escalation(&job.subject).await?;
    let leaders = step_when_raised("leaders-channel", escalation.raised);
    let partner = step_when_raised(PARTNER, escalation.raised);
    let ends = [
        once(shared, &escalation.id, &leaders, async |before| {
            tell_leaders(shared, &escalation, &leaders, before).await
        })
        .await,
        once(shared, &escalation.id, &partner, async |before| {
            tell_partner(shared, &escalation, &partner, before).await
        })
        .await,
        tell_state(shared, &escalation).await,
    ];
    ends.into_iter().collect::<Result<(), _>>()?;
    Ok(shared.ledger.finish_job(&job.id).await?)
}

/// The step of a message in the partner's channel.
const PARTNER: &str = "partner-channel";

async fn tell_leaders(
    shared: &Shared,
    escalation: &Escalation,
    step: &str,
    before: Option<Step>,
) -> Result<String, JobError> {
    let text = format!("{} for partner `{}`.", headline(escalation), escalation.partner_id);
    let url = shared.desk.agent_url(&escalation.ticket);
    let message = Message {
        channel: shared.tickets.policy().support.leaders_channel.clone().unwrap_or_default(),
        text,
        thread_ts: None,
        buttons: vec![Button::Link { label: "Open the ticket".into(), url }],
        id: format!("{}-{step}", escalation.id),
    };
    post(shared, &message, before).await
}

async fn tell_partner(
    shared: &Shared,
    escalation: &Escalation,
    step: &str,
    before: Option<Step>,
) -> Result<String, JobError> {
    let button = Button::Action {
        label: "Escalate a ticket".into(),
        action_id: desk::slack::ESCALATE_ACTION.into(),
        value: String::new(),
    };
    let message = Message {
        channel: shared.tickets.policy().partner(&escalation.partner_id).slack_channel.unwrap_or_default(),
        text: format!("{}. Support is told, and answers on the ticket.", headline(escalation)),
        thread_ts: None,
        buttons: vec![button],
        id: format!("{}-{step}", escalation.id),
    };
    post(shared, &message, before).await
}

/// In the thread of the first message in the partner's channel, once for each state.
async fn tell_state(shared: &Shared, escalation: &Escalation) -> Result<(), JobError> {
    let text = match escalation.state {
        EscalationState::Submitted => return Ok(()),
        EscalationState::Acknowledged | EscalationState::Resolved => String::new(),
        EscalationState::Declined => " Ask support on the ticket for the reason.".to_owned(),
    };
    let Some(thread) = partner_thread(shared, escalation).await? else { return Ok(()) };
    let state = escalation.state.name();
    let message = Message {
        channel: shared.tickets.policy().partner(&escalation.partner_id).slack_channel.unwrap_or_default(),
        text: format!("Escalation {}: {state}.{text}", escalation.reference),
        thread_ts: Some(thread),
        buttons: Vec::new(),
        id: format!("{}-{state}", escalation.id),
    };
    once(shared, &escalation.id, &format!("state-{state}"), async |before| {
        post(shared, &message, before).await
    })
    .await
}

/// The timestamp of the first message in the partner's channel. An escalation may be raised before it was told at all.
async fn partner_thread(shared: &Shared, escalation: &Escalation) -> ledger::Result<Option<String>> {
    for raised in 0..=escalation.raised {
        let step = shared.ledger.step(&escalation.id, &step_when_raised(PARTNER, raised)).await?;
        if let Some(ts) = step.and_then(|step| step.result).filter(|ts| !ts.is_empty()) {
            return Ok(Some(ts));
        }
    }
    Ok(None)
}

fn headline(escalation: &Escalation) -> String {
    let emergency = if escalation.emergency { "*Emergency*, e" } else { "E" };
    let raised = if escalation.raised > 0 { " is more urgent now" } else { "" };
    format!(
        "{emergency}scalation {}{raised}: ticket {}, answer wanted within {}",
        escalation.reference,
        escalation.ticket,
        escalation.urgency.name()
    )
}

/// Posts a message once. Returns its timestamp, or nothing if there is no such channel.
async fn post(shared: &Shared, message: &Message, before: Option<Step>) -> Result<String, JobError> {
    match &shared.slack {
        Some(slack) if !message.channel.is_empty() => post_once(slack, message, before).await,
        _ => Ok(String::new()),
    }
}

/// Posts a message, unless an attempt `before` did. One that Slack refuses for good is given up.
pub(crate) async fn post_once(
    slack: &Slack,
    message: &Message,
    before: Option<Step>,
) -> Result<String, JobError> {
    if let Some(before) = before {
        let since = before.begun_at.min(now_ms()) - ALLOWED_SKEW_MS;
        let found = match &message.thread_ts {
            Some(thread) => slack.find_reply(&message.channel, thread, &message.id, since).await,
            None => slack.find(&message.channel, &message.id, since).await,
        };
        match found {
            Ok(Some(ts)) => return Ok(ts),
            // Without the right to read the history a message may come twice; that is better than never.
            Ok(None) | Err(desk::slack::Error::MissingScope | desk::slack::Error::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match slack.post(message).await {
        Err(desk::slack::Error::Refused { error }) => {
            tracing::error!(error, channel = message.channel, "Slack refuses a message; it is given up");
            Ok(String::new())
        }
        end => Ok(end?),
    }
}
