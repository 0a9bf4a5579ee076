//! `wb escalations`: lists escalations, shows one with the files of its ticket, or changes its state.

use anyhow::Context;
use api::{Escalation, EscalationFiles, Receipt};
use jiff::Timestamp;

use crate::cli;
use crate::exit::Status;
use crate::gateway::client::Gateway;
use crate::gateway::escalations::Filter;
use crate::output::{Output, cell, upload_size};

const HEADINGS: [&str; 7] = ["REFERENCE", "STATE", "TICKET", "PARTNER", "URGENCY", "AGE", "JOINED"];

pub(crate) async fn run(
    gateway: &Gateway,
    arguments: cli::Escalations,
    output: &Output,
) -> anyhow::Result<Status> {
    match (&arguments.id, arguments.change()) {
        (Some(named), Some((state, reason))) => {
            let id = gateway.escalation_id(named).await?;
            let changed = gateway.change_escalation(&id, state, reason).await;
            let changed = changed.with_context(|| format!("cannot change `{named}`"))?;
            print_change(&changed, output)?;
        }
        (Some(named), None) => {
            let id = gateway.escalation_id(named).await?;
            show(&gateway.escalation(&id).await?, output)?;
        }
        (None, _) => {
            let cli::Escalations { ticket, partner, state, .. } = arguments;
            // As `wb ls` accepts it. The gateway compares the number alone.
            let ticket = ticket.map(|ticket| ticket.trim_start_matches('#').to_owned());
            list(gateway, &Filter { ticket, partner, state }, output).await?;
        }
    }
    Ok(Status::Done)
}

async fn list(gateway: &Gateway, filter: &Filter, output: &Output) -> anyhow::Result<()> {
    let escalations = gateway.escalations(filter).await?;
    if escalations.is_empty() {
        gateway.check_partner(filter.partner.as_deref()).await?;
    }
    if output.is_json() {
        return escalations.iter().try_for_each(|escalation| output.object(escalation));
    }
    if escalations.is_empty() {
        output.note("no escalations found");
        return Ok(());
    }
    let now = Timestamp::now();
    let rows: Vec<_> = escalations.iter().map(|escalation| row(escalation, now)).collect();
    output.table(&HEADINGS, &rows)
}

fn row(escalation: &Escalation, now: Timestamp) -> Vec<String> {
    vec![
        name(escalation).to_owned(),
        cell(Some(&escalation.state)),
        cell(Some(&escalation.ticket)),
        cell(Some(&escalation.partner)),
        urgency(escalation),
        age(escalation.created_at.as_deref(), now),
        escalation.joined_requests.to_string(),
    ]
}

/// What people call it.
fn name(escalation: &Escalation) -> &str {
    if escalation.reference.is_empty() { &escalation.id } else { &escalation.reference }
}

fn urgency(escalation: &Escalation) -> String {
    let urgency = cell(Some(&escalation.urgency));
    if escalation.emergency { format!("{urgency} emergency") } else { urgency }
}

/// The time since then in its largest unit; days only after two of them.
fn age(time: Option<&str>, now: Timestamp) -> String {
    let Some(then) = time.and_then(|time| time.parse::<Timestamp>().ok()) else { return cell(time) };
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn print_change(escalation: &Escalation, output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        return output.object(escalation);
    }
    output.line(&format!("{}  {}", name(escalation), escalation.state))
}

fn show(escalation: &Escalation, output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        return output.object(escalation);
    }
    let state = match &escalation.state_reason {
        Some(reason) => format!("{}: {reason}", escalation.state),
        None => escalation.state.clone(),
    };
    for (field, value) in [
        ("reference", cell(Some(&escalation.reference))),
        ("id", escalation.id.clone()),
        ("state", state),
        ("ticket", cell(Some(&escalation.ticket))),
        ("partner", cell(Some(&escalation.partner))),
        ("urgency", urgency(escalation)),
        ("sent", cell(escalation.created_at.as_deref())),
        ("sent by", cell(Some(&escalation.actor))),
        ("changed", cell(escalation.updated_at.as_deref())),
        ("joined", escalation.joined_requests.to_string()),
    ] {
        output.line(&format!("{field:12}  {value}"))?;
    }
    output.text("reason", &escalation.reason)?;
    output.text("actions", &escalation.actions)?;
    output.text("hints", &escalation.hints.join("\n"))?;
    escalation.files.as_ref().map_or(Ok(()), |files| print_files(files, output))
}

fn print_files(files: &EscalationFiles, output: &Output) -> anyhow::Result<()> {
    let asked_for = match files.missing.as_slice() {
        [] if files.asked_for => "; support asked for files".to_owned(),
        [] => String::new(),
        missing => format!("; asked for and missing: {}", missing.join("; ")),
    };
    let counts = format!("{} arrived, {} not complete", files.arrived.len(), files.unfinished.len());
    output.line("")?;
    output.line(&format!("files: {counts}{asked_for}"))?;
    let row = |state: &str, receipt: &Receipt| {
        vec![state.to_owned(), receipt.id.clone(), receipt.name.clone(), upload_size(receipt)]
    };
    let arrived = files.arrived.iter().map(|receipt| row("arrived", receipt));
    let unfinished = files.unfinished.iter().map(|receipt| row("not complete", receipt));
    let rows: Vec<_> = arrived.chain(unfinished).collect();
    if rows.is_empty() { Ok(()) } else { output.table(&["FILE", "ID", "NAME", "SIZE"], &rows) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        for (time, expected) in [
            ("2026-11-22T10:00:00Z", "0s"),
            ("2026-11-22T10:05:00Z", "0s"),
            ("2026-11-22T09:59:01Z", "59s"),
            ("2026-11-22T09:01:00Z", "59m"),
            ("2026-11-20T10:00:01Z", "47h"),
            ("2026-11-20T10:00:00Z", "2d"),
            ("2025-11-22T10:00:00Z", "365d"),
            ("yesterday", "yesterday"),
        ] {
            assert_eq!(age(Some(time), now), expected, "{time}");
        }
        assert_eq!(age(None, now), "-");
    }
}
