//! Escalates a ticket: finds it, says what may delay an answer, and records the request with its job.
//! Invariant: hints are shown and never block; whatever happens to Slack or the desk later, the record stays.

use std::time::Duration;

use ledger::{Escalation, Filter, Link, NewEscalation, Origin, Partner, State, Upload, Urgency};

use crate::Tickets;
use crate::find::FindError;

/// A ticket that is younger is probably being read already, ms.
const YOUNG_MS: i64 = 30 * 60 * 1000;
/// How long hints may wait for the desk.
const HINT_TIMEOUT: Duration = Duration::from_secs(3);
/// Missing files that a hint names.
const MISSING_MAX: usize = 10;
/// Most files of a ticket in each state.
const FILES_MAX: i64 = 50;

/// A request to escalate a ticket. Every text is checked.
#[derive(Debug, Clone)]
pub struct EscalationRequest {
    /// A ticket number or the partner's case number.
    pub request: String,
    pub reason: String,
    pub actions: String,
    pub urgency: Urgency,
    pub emergency: bool,
}

#[derive(Debug, Clone)]
pub struct Escalated {
    pub escalation: Escalation,
    /// Another escalation of the ticket was open, and this one joined it.
    pub joined: bool,
}

/// Which files of a ticket the gateway knows.
#[derive(Debug, Clone, Default)]
pub struct TicketFiles {
    /// Complete.
    pub arrived: Vec<Upload>,
    /// Announced: begun and not complete.
    pub unfinished: Vec<Upload>,
    /// Support made a link for the ticket or asked for files on it, so it waits for files.
    pub asked_for: bool,
    /// What support asked for and has not arrived, in support's words.
    pub missing: Vec<String>,
}

/// Most open escalations of a partner: support reads each of them.
const OPEN_MAX: i64 = 50;
/// When a partner with too many open escalations may try again.
const ROOM_IN: Duration = Duration::from_secs(10 * 60);

impl EscalationRequest {
    fn hash(&self) -> String {
        let flags = format!("{} {}", self.urgency.name(), self.emergency);
        let fields = [&self.request, &self.reason, &self.actions, &flags];
        ledger::hash_token(&fields.map(|field| format!("{}:{field}", field.len())).join("\n"))
    }
}

impl Tickets {
    /// Escalates a ticket, or joins the escalation that is open. `origin` names the request or the delivery, if it has a name:
    /// a repetition finds its escalation.
    pub async fn escalate(
        &self,
        partner: &Partner,
        link: Option<&Link>,
        actor: &str,
        origin: Option<&str>,
        request: &EscalationRequest,
    ) -> Result<Escalated, FindError> {
        let ledger = &self.0.ledger;
        let fields_hash = request.hash();
        let origin = origin.map(|name| Origin { name, fields_hash: &fields_hash });
        if let Some(origin) = &origin
            && let Some((escalation, joined)) = ledger.escalated_before(origin).await?
        {
            return Ok(Escalated { escalation, joined });
        }
        let ticket = self.find(partner, link, &request.request).await?;
        let hints = self.hints(partner, &ticket).await?;
        let new = NewEscalation {
            partner_id: &partner.id,
            ticket: &ticket,
            actor,
            origin,
            reason: &request.reason,
            actions: &request.actions,
            urgency: request.urgency,
            emergency: request.emergency,
            hints: &hints,
        };
        let Some((escalation, joined)) = ledger.escalate(&new, OPEN_MAX).await? else {
            return Err(FindError::TooManyOpen { max: OPEN_MAX, retry_after: ROOM_IN });
        };
        tracing::info!(ticket, escalation = escalation.id, joined, "escalated a ticket");
        Ok(Escalated { escalation, joined })
    }

    /// What may delay an answer, a sentence each.
    async fn hints(&self, partner: &Partner, ticket: &str) -> ledger::Result<Vec<String>> {
        let mut hints = Vec::new();
        if let Ok(Ok(seen)) = tokio::time::timeout(HINT_TIMEOUT, self.0.desk.ticket(ticket)).await {
            if ledger::now_ms() - seen.created_at_ms < YOUNG_MS {
                hints.push(
                    "The ticket is younger than 30 minutes, so support may be reading it already.".to_owned(),
                );
            }
            if seen.status == desk::Status::Pending {
                hints.push("Support waits for your answer on the ticket. Answer there, too.".to_owned());
            }
            if seen.status == desk::Status::Closed {
                hints
                    .push("The ticket is closed. Open a follow-up ticket if the problem is back.".to_owned());
            }
        }
        let files = self.files(&partner.id, ticket).await?;
        if !files.missing.is_empty() {
            let missing: Vec<_> =
                files.missing.iter().take(MISSING_MAX).map(|wanted| desk::escape(wanted)).collect();
            hints.push(format!("Support asked for files that have not arrived: {}.", missing.join(", ")));
        } else if files.asked_for && files.arrived.is_empty() {
            hints.push("Support asked for files on this ticket, and none has arrived.".to_owned());
        }
        hints.extend(self.outside_hours());
        Ok(hints)
    }

    /// What happens outside of support hours; none within them.
    fn outside_hours(&self) -> Option<String> {
        let (now, hours) = (ledger::now_ms(), self.0.policy.support.hours.as_ref()?);
        if hours.is_open(now) {
            return None;
        }
        let next = hours.opens_at(now).map(|at| format!(" and support reads it at {}", ledger::rfc3339(at)));
        Some(format!(
            "It is outside support hours ({}). Your escalation is recorded{}. For an emergency, say so in this form: the \
             leader on call is told at any time.",
            hours.text(),
            next.unwrap_or_default()
        ))
    }

    /// A partner's files of a ticket: only the gateway knows what was asked for, was announced, and has arrived.
    pub async fn files(&self, partner_id: &str, ticket: &str) -> ledger::Result<TicketFiles> {
        let of = async |state| {
            let filter = Filter {
                ticket: Some(ticket.to_owned()),
                partner_id: Some(partner_id.to_owned()),
                state: Some(state),
                limit: FILES_MAX,
                ..Filter::default()
            };
            self.0.ledger.uploads(&filter).await
        };
        let mut unfinished = of(State::Open).await?;
        unfinished.extend(of(State::Completing).await?);
        let missing = self.0.ledger.missing(ticket).await?;
        let asked_for = !missing.is_empty() || self.0.ledger.staff_made_link(ticket).await?;
        Ok(TicketFiles { arrived: of(State::Complete).await?, unfinished, asked_for, missing })
    }
}
