//! `wb partner`: lists partners, or shows one with its notes or the objects in its bucket.

use api::{BucketObject, Partner, PartnerDetails};

use crate::cli;
use crate::exit::Status;
use crate::gateway::client::{Gateway, next_cursor};
use crate::output::{self, Output, cell};

pub(crate) async fn run(
    gateway: &Gateway,
    arguments: &cli::Partner,
    output: &Output,
) -> anyhow::Result<Status> {
    match &arguments.id {
        None => list(gateway, output).await?,
        Some(id) if arguments.objects => objects(gateway, id, output).await?,
        Some(id) => show(&gateway.partner(id).await?, output)?,
    }
    Ok(Status::Done)
}

async fn list(gateway: &Gateway, output: &Output) -> anyhow::Result<()> {
    let partners = gateway.partners().await?;
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

fn show(details: &PartnerDetails, output: &Output) -> anyhow::Result<()> {
    if let Some(problem) = &details.notes_problem {
        let state = if details.notes_at.is_some() { "old" } else { "missing" };
        output.warn(&format!("the organization's notes are {state}: {problem}"));
    }
    if output.is_json() {
        return output.object(details);
    }
    let partner = &details.partner;
    output.line(&format!("id            {}", partner.id))?;
    output.line(&format!("name          {}", partner.name))?;
    output.line(&format!("organization  {}", organization(partner)))?;
    output.line(&format!("bucket        {}", bucket(partner)))?;
    if let Some(time) = &details.notes_at {
        output.line(&format!("notes from    {}", output::date(time)))?;
    }
    let texts = [
        ("operator's notes", &details.operator_notes),
        ("details", &details.details),
        ("notes", &details.notes),
    ];
    texts
        .into_iter()
        .try_for_each(|(heading, text)| output.text(heading, text.as_deref().unwrap_or_default()))
}

async fn objects(gateway: &Gateway, partner: &str, output: &Output) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    let mut cursor = None;
    loop {
        let page = gateway.objects(partner, cursor.as_deref()).await?;
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

fn row(object: &BucketObject) -> Vec<String> {
    let upload = match &object.upload_id {
        Some(id) => id,
        None if object.problem.is_some() => "unreadable",
        None if object.unverified => "unverified",
        None => "verified",
    };
    vec![
        object.key.clone(),
        output::size(object.size),
        cell(object.last_modified.as_deref()),
        upload.to_owned(),
    ]
}

fn organization(partner: &Partner) -> String {
    partner.organization_id.map_or_else(|| cell(None), |id| id.to_string())
}

fn bucket(partner: &Partner) -> String {
    if partner.bucket { "own" } else { "shared" }.to_owned()
}
