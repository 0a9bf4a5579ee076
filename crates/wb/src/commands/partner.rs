//! `wb partner`: who they are, what the desk notes about them, and what lies in their bucket.

use serde_json::Value;

use super::cell;
use crate::{
    api::{Api, next_cursor},
    cli,
    failure::Status,
    output::{self, Output},
    receipt::{Object, Partner},
};

pub(crate) async fn run(api: &Api, arguments: &cli::Partner, output: &Output) -> anyhow::Result<Status> {
    match &arguments.id {
        None => list(api, output).await?,
        Some(id) if arguments.objects => objects(api, id, output).await?,
        Some(id) => show(&api.partner(id).await?, output)?,
    }
    Ok(Status::Done)
}

async fn list(api: &Api, output: &Output) -> anyhow::Result<()> {
    let partners = api.partners().await?;
    if output.is_json() {
        return partners.iter().try_for_each(|partner| output.object(partner));
    }
    if partners.is_empty() {
        output.note("no partners");
        return Ok(());
    }
    let rows: Vec<_> = partners
        .iter()
        .map(|partner| vec![partner.id.clone(), partner.name.clone(), organization(partner), bucket(partner)])
        .collect();
    output.table(&["ID", "NAME", "ORGANIZATION", "BUCKET"], &rows)
}

fn show(partner: &Partner, output: &Output) -> anyhow::Result<()> {
    if let Some(problem) = partner.text("notes_problem") {
        output.warn(&format!("the organisation's notes are missing: {problem}"));
    }
    if output.is_json() {
        return output.object(partner);
    }
    output.line(&format!("id            {}", partner.id))?;
    output.line(&format!("name          {}", partner.name))?;
    output.line(&format!("organization  {}", organization(partner)))?;
    output.line(&format!("bucket        {}", bucket(partner)))?;
    for field in ["details", "notes"] {
        if let Some(text) = partner.text(field) {
            output.line("")?;
            output.line(&format!("{field}:"))?;
            // Line by line: line breaks are wanted here, every other control character is not.
            text.lines().try_for_each(|line| output.line(&format!("  {line}")))?;
        }
    }
    Ok(())
}

async fn objects(api: &Api, partner: &str, output: &Output) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    let mut cursor = None;
    loop {
        let page = api.objects(partner, cursor.as_deref()).await?;
        if output.is_json() {
            page.objects.iter().try_for_each(|object| output.object(object))?;
        } else {
            rows.extend(page.objects.iter().map(row));
        }
        cursor = next_cursor(cursor.as_deref(), page.next_cursor)?;
        if cursor.is_none() {
            break;
        }
    }
    match (output.is_json(), rows.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => {
            output.note("the bucket is empty");
            Ok(())
        }
        (false, false) => output.table(&["KEY", "SIZE", "MODIFIED", "UPLOAD"], &rows),
    }
}

fn row(object: &Object) -> Vec<String> {
    let upload = if object.unverified { Some("unverified") } else { object.upload_id.as_deref() };
    vec![object.key.clone(), output::size(object.size), cell(object.last_modified.as_deref()), cell(upload)]
}

fn organization(partner: &Partner) -> String {
    match &partner.organization_id {
        Value::Null => cell(None),
        Value::String(id) => cell(Some(id)),
        other => other.to_string(),
    }
}

fn bucket(partner: &Partner) -> String {
    if partner.bucket { "own" } else { "shared" }.to_owned()
}
