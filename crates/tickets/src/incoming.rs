//! Escalations that came through a hook: recorded first, worked on by a job.

use access::TicketError;
use api::TEXT_CHARS_MAX;
use ledger::Urgency;
use serde::{Deserialize, Serialize};

use crate::Tickets;
use crate::escalate::{Escalated, EscalationRequest};
use crate::find::FindError;
use crate::text::visible;

/// An escalation as a hook delivered it: the payload of its job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncomingEscalation {
    /// Short name.
    pub partner: String,
    /// As in the audit.
    pub actor: String,
    /// The Slack channel where the result is told.
    pub channel: Option<String>,
    /// The message that is answered.
    pub thread: Option<String>,
    pub request: String,
    pub reason: String,
    pub actions: String,
    /// Two hours if it is missing or unknown.
    pub urgency: Option<String>,
    pub emergency: Option<String>,
}

impl Tickets {
    /// `origin` names the delivery. A disabled partner has no tickets.
    pub async fn escalate_incoming(
        &self,
        incoming: &IncomingEscalation,
        origin: &str,
    ) -> Result<Escalated, FindError> {
        let partner = self.0.ledger.partner(&incoming.partner).await?;
        if partner.disabled_at.is_some() {
            return Err(TicketError::Unknown.into());
        }
        let text = |text: &str| visible(text).trim().chars().take(TEXT_CHARS_MAX).collect::<String>();
        let request = EscalationRequest {
            request: incoming.request.trim().to_owned(),
            reason: text(&incoming.reason),
            actions: text(&incoming.actions),
            urgency: urgency(incoming.urgency.as_deref().unwrap_or_default()),
            emergency: is_yes(incoming.emergency.as_deref().unwrap_or_default()),
        };
        self.escalate(&partner, None, &incoming.actor, Some(origin), &request).await
    }
}

/// The first number of a text such as `1h`, `Within 30 minutes` or `*2 hours*`; two hours if there is none that we know.
fn urgency(text: &str) -> Urgency {
    let digits: String =
        text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    match digits.as_str() {
        "30" => Urgency::HalfAnHour,
        "1" => Urgency::OneHour,
        _ => Urgency::TwoHours,
    }
}

/// Whether the first word says yes. Anything but a no, too, if there is a text: an emergency must not be lost.
fn is_yes(text: &str) -> bool {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let first = words.into_iter().find(|word| !word.is_empty()).unwrap_or_default().to_lowercase();
    !matches!(first.as_str(), "" | "no" | "false" | "off" | "0" | "none" | "n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_form_are_understood() {
        for (text, expected) in [
            ("30m", Urgency::HalfAnHour),
            ("Within 30 minutes", Urgency::HalfAnHour),
            ("*1 hour*", Urgency::OneHour),
            ("2h", Urgency::TwoHours),
            ("soon", Urgency::TwoHours),
            ("", Urgency::TwoHours),
        ] {
            assert_eq!(urgency(text), expected, "{text}");
        }
        for (text, expected) in [
            ("yes", true),
            ("*Yes*, production is down", true),
            ("true", true),
            ("production is down", true),
            ("No", false),
            ("_no_", false),
            ("none.", false),
            (" ", false),
        ] {
            assert_eq!(is_yes(text), expected, "{text}");
        }
    }
}
