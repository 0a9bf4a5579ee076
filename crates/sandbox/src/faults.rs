//! Faults on demand: rules say which calls of which service fail, how, and how often.
//! Invariant: a rule acts on exactly the calls it says, in the order they arrive, and `hit` counts it when the harm begins.

pub(crate) mod control;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// The services that can be harmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    S3,
    Desk,
    Slack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// No answer, call not performed.
    Reset,
    /// An answer of the rule's choice; the call is not performed.
    Status,
    /// Later than usual.
    Delay,
    /// Performed, but no answer.
    LostAnswer,
    Corrupt,
}

/// When a delay happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Before the call is performed.
    Before,
    /// Between the call and its answer.
    After,
}

/// A rule as it is given.
///
/// A rule is a JSON object; fields that its fault does not use are refused:
///
/// | field | meaning |
/// |---|---|
/// | `service` | `s3`, `desk` or `slack` |
/// | `operation` | the operation's own name, as `GET /faults` counts it (`UploadPart`, `UpdateTicket`, …), or `*` |
/// | `after` | matching calls let through first; 0 if not given |
/// | `times` | how many calls are hit then; 1 if not given, 0 = until cleared |
/// | `fault` | `reset`: the connection is dropped without an answer, the call not performed |
/// | | `status`: `status` is answered and the call not performed; `retry_after` (seconds) and `body` (text) if given |
/// | | `delay`: wait `delay_ms`, then perform; with `"when": "after"` perform, then hold the answer so long |
/// | | `lost-answer`: perform the call, then drop the connection without an answer |
/// | | `corrupt`: S3: one byte of the request's body is flipped on its way in, for a GET one of the answer's; desk and Slack: the call is performed and answered 200 with garbage |
///
/// `POST /faults` adds one rule or an array of them, `GET /faults` shows rules with `seen` (matching calls) and `hit`, and all
/// calls by service and operation; `DELETE /faults` clears rules and counters and ends every delay at once. Where several
/// rules fit a call, the first that is due acts. `hit` of a `lost-answer` and of a delay after the call counts once the call
/// has been performed. A call delayed before it is performed may still be performed when its sender has gone meanwhile, if
/// all of it had arrived: so may a call to a real service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub service: Service,
    pub operation: String,
    #[serde(default)]
    pub after: u64,
    #[serde(default = "once")]
    pub times: u64,
    pub fault: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
}

fn once() -> u64 {
    1
}

/// What happens to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Harm {
    Reset,
    Status { status: StatusCode, retry_after: Option<u64>, body: Option<String> },
    Delay { by: Duration, when: When },
    LostAnswer,
    Corrupt,
}

impl Rule {
    /// The effect of the rule, or its mistake.
    fn harm(&self) -> Result<Harm, String> {
        if self.service == Service::S3
            && self.operation != "*"
            && !crate::s3::OPERATIONS.contains(&self.operation.as_str())
        {
            let known = crate::s3::OPERATIONS.join(", ");
            return Err(format!("`operation`: S3 has no {:?} here; use * or one of {known}", self.operation));
        }
        let Self { fault, status, retry_after, body, delay_ms, when, .. } = self;
        let misplaced = [
            ("status", status.is_some(), Kind::Status),
            ("retry_after", retry_after.is_some(), Kind::Status),
            ("body", body.is_some(), Kind::Status),
            ("delay_ms", delay_ms.is_some(), Kind::Delay),
            ("when", when.is_some(), Kind::Delay),
        ];
        if let Some((field, _, owner)) =
            misplaced.into_iter().find(|(_, given, owner)| *given && owner != fault)
        {
            return Err(format!("`{field}` belongs to the fault {owner}, not to {fault}"));
        }
        match fault {
            Kind::Reset => Ok(Harm::Reset),
            Kind::LostAnswer => Ok(Harm::LostAnswer),
            Kind::Corrupt => Ok(Harm::Corrupt),
            Kind::Status => {
                let status = status.ok_or("the fault status needs `status`, a number from 200 to 599")?;
                let status =
                    StatusCode::from_u16(status).ok().filter(|status| (200..600).contains(&status.as_u16()));
                let status = status.ok_or("`status` must be from 200 to 599")?;
                Ok(Harm::Status { status, retry_after: *retry_after, body: body.clone() })
            }
            Kind::Delay => {
                let by = delay_ms.ok_or("the fault delay needs `delay_ms`, milliseconds")?;
                Ok(Harm::Delay { by: Duration::from_millis(by), when: when.unwrap_or(When::Before) })
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The rules in force and the calls so far; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    rules: Vec<Arc<Active>>,
    calls: BTreeMap<Service, BTreeMap<&'static str, u64>>,
}

#[derive(Debug)]
struct Active {
    rule: Rule,
    harm: Harm,
    seen: AtomicU64,
    hit: AtomicU64,
    cleared: CancellationToken,
}

/// A harm that is due for one call.
#[derive(Debug)]
pub(crate) struct Due {
    active: Arc<Active>,
}

impl Due {
    pub(crate) fn harm(&self) -> &Harm {
        &self.active.harm
    }

    pub(crate) fn begins(&self) {
        self.active.hit.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits this long, or until the rule is cleared.
    pub(crate) async fn wait(&self, by: Duration) {
        tokio::select! {
            () = tokio::time::sleep(by) => {}
            () = self.active.cleared.cancelled() => {}
        }
    }
}

impl Faults {
    /// Adds a rule behind those in force.
    ///
    /// # Errors
    /// What is wrong with the rule, in words.
    pub fn add(&self, rule: Rule) -> Result<(), String> {
        self.add_all(vec![rule]).map_err(|(_, error)| error)
    }

    /// Adds all rules or none; the error names the first bad one by its position.
    fn add_all(&self, rules: Vec<Rule>) -> Result<(), (usize, String)> {
        let mut active = Vec::with_capacity(rules.len());
        for (position, rule) in rules.into_iter().enumerate() {
            let harm = rule.harm().map_err(|error| (position, error))?;
            active.push(Arc::new(Active {
                rule,
                harm,
                seen: AtomicU64::new(0),
                hit: AtomicU64::new(0),
                cleared: CancellationToken::new(),
            }));
        }
        self.state().rules.append(&mut active);
        Ok(())
    }

    /// Forgets rules and counters, and ends every delay.
    pub fn clear(&self) {
        let before = std::mem::take(&mut *self.state());
        for active in before.rules {
            active.cleared.cancel();
        }
    }

    /// Counts a call and returns the effect on it.
    pub(crate) fn call(&self, service: Service, operation: &'static str) -> Option<Due> {
        let mut state = self.state();
        *state.calls.entry(service).or_default().entry(operation).or_default() += 1;
        let mut due = None;
        for active in &state.rules {
            let rule = &active.rule;
            if rule.service != service || (rule.operation != "*" && rule.operation != operation) {
                continue;
            }
            let seen = active.seen.fetch_add(1, Ordering::Relaxed);
            let last = if rule.times == 0 { u64::MAX } else { rule.after.saturating_add(rule.times) };
            if due.is_none() && (rule.after..last).contains(&seen) {
                due = Some(Due { active: active.clone() });
            }
        }
        due
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counters and a list: a panic elsewhere leaves nothing half done in them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: serde_json::Value) -> Rule {
        serde_json::from_value(json).unwrap()
    }

    /// Which of ten UploadPart calls a rule hits.
    fn check(json: &serde_json::Value, hit: &[usize]) {
        let faults = Faults::default();
        faults.add(rule(json.clone())).unwrap();
        let actual: Vec<_> = (0..10).filter(|_| faults.call(Service::S3, "UploadPart").is_some()).collect();
        assert_eq!(actual, hit, "{json}");
    }

    #[test]
    fn calls_that_are_hit() {
        use serde_json::json;
        check(&json!({"service": "s3", "operation": "UploadPart", "fault": "reset"}), &[0]);
        check(&json!({"service": "s3", "operation": "*", "after": 2, "times": 2, "fault": "reset"}), &[2, 3]);
        check(
            &json!({"service": "s3", "operation": "UploadPart", "after": 8, "times": 0, "fault": "corrupt"}),
            &[8, 9],
        );
        check(&json!({"service": "s3", "operation": "GetObject", "times": 0, "fault": "reset"}), &[]);
        check(&json!({"service": "desk", "operation": "*", "times": 0, "fault": "reset"}), &[]);
    }

    #[test]
    fn rules_that_contradict_themselves() {
        use serde_json::json;
        for (json, part) in [
            (json!({"service": "s3", "operation": "*", "fault": "status"}), "needs `status`"),
            (json!({"service": "s3", "operation": "*", "fault": "status", "status": 99}), "200 to 599"),
            (json!({"service": "s3", "operation": "*", "fault": "delay"}), "`delay_ms`"),
            (
                json!({"service": "s3", "operation": "*", "fault": "reset", "status": 503}),
                "belongs to the fault status",
            ),
            (
                json!({"service": "s3", "operation": "*", "fault": "corrupt", "when": "after"}),
                "belongs to the fault delay",
            ),
            (json!({"service": "s3", "operation": "UploadParts", "fault": "reset"}), "UploadPart"),
        ] {
            let error = rule(json.clone()).harm().unwrap_err();
            assert!(error.contains(part), "{json}: {error}");
        }
    }
}
