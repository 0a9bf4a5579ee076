//! The audit explains itself, and stays as it is.

use super::*;
use crate::sql::sql;

#[tokio::test]
async fn entries_name_the_ticket_and_partner_of_their_subject() {
    let world = World::open().await;
    let id = world.complete_one("key").await;
    let link = format!("link:{}", world.link.id);
    for (actor, action, subject, ticket, partner) in [
        ("staff:1", "upload.read", id.as_str(), Some("1001"), Some("acme")),
        ("operator", "link.revoke", &world.link.id, Some("1001"), Some("acme")),
        ("operator", "partner.put", "acme", None, Some("acme")),
        (&link, "ticket.open", "4711", Some("4711"), Some("acme")),
        ("staff:1", "ticket.list", "4711", Some("4711"), None),
        ("operator", "token.create", "nothing-known", None, None),
    ] {
        world.record(actor, action, subject, "").await.unwrap();
        let entries = world.audit(&AuditFilter::about(subject)).await.unwrap();
        let last = entries.last().unwrap();
        assert_eq!(last.action, action);
        assert_eq!((last.ticket.as_deref(), last.partner_id.as_deref()), (ticket, partner), "{action}");
    }
    let actions = async |filter: AuditFilter| {
        let entries = world.audit(&AuditFilter { limit: 100, ..filter }).await.unwrap();
        entries.into_iter().map(|entry| entry.action).collect::<Vec<_>>()
    };
    let of_ticket = AuditFilter { ticket: Some("4711".to_owned()), ..AuditFilter::default() };
    assert_eq!(actions(of_ticket).await, ["ticket.open", "ticket.list"]);
    let of_partner = AuditFilter { partner_id: Some("acme".to_owned()), ..AuditFilter::default() };
    assert_eq!(
        actions(of_partner).await,
        ["link.create", "upload.complete", "upload.read", "link.revoke", "partner.put", "ticket.open"]
    );
    let later = AuditFilter { since: Some(now_ms() + 60_000), ..AuditFilter::default() };
    assert!(actions(later).await.is_empty());
}

#[tokio::test]
async fn staff_has_its_name() {
    let world = World::open().await;
    let staff = world.create_staff_token(&Token::random(), "Ada", None).await.unwrap();
    world.record(&format!("staff:{}", staff.id), "upload.read", "x", "").await.unwrap();
    world.record("staff:unknown", "upload.read", "x", "").await.unwrap();
    let names: Vec<_> = world.audit(&AuditFilter::about("x")).await.unwrap();
    let names: Vec<_> = names.iter().map(|entry| entry.actor_name.as_deref()).collect();
    assert_eq!(names, [Some("Ada"), None]);
}

#[tokio::test]
async fn no_entry_is_changed_or_removed() {
    let world = World::open().await;
    world.record("operator", "upload.remove", "x", "why").await.unwrap();
    for statement in [
        "UPDATE audit SET detail = $1",
        "UPDATE audit SET actor = $1 WHERE subject = 'x'",
        "DELETE FROM audit WHERE subject = 'x' AND detail <> $1",
    ] {
        let refused = sql!(statement, ["forged"]).execute(&world.write).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{statement}: {refused}");
    }
    let entries = world.audit(&AuditFilter::about("x")).await.unwrap();
    assert_eq!((entries.len(), entries[0].detail.as_str()), (1, "why"));
}
