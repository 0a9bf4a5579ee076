//! Partners, contacts, links, staff tokens, and the audit of what was done to them.

use super::*;
use crate::{AuditFilter, NewContact};

fn contact<'a>(partner_id: &'a str, email: &'a str) -> NewContact<'a> {
    NewContact { partner_id, name: "Ann", email, slack_user_id: None }
}

#[tokio::test]
async fn link_is_found_by_its_token_alone() {
    let world = World::open().await;
    let token = Token::random();
    let contact = world.put_contact(&contact("acme", "Ann@Example.com"), "operator").await.unwrap();
    let new = NewLink {
        contact_id: Some(contact.id.clone()),
        rights: vec![Right::Escalate, Right::List],
        max_bytes: Some(10),
        max_open: Some(2),
        expires_at: Some(99),
        ..new_link()
    };
    let made = world.create_link(&token, &new).await.unwrap();
    assert_eq!(made.rights, [Right::Upload, Right::List, Right::Escalate]);
    assert!(made.allows(Right::Upload) && !made.allows(Right::Remove));
    let found = world.link_by_token(token.reveal()).await.unwrap();
    assert_eq!((found.id.as_str(), found.contact_id), (made.id.as_str(), Some(contact.id)));
    assert_eq!((found.max_bytes, found.max_open, found.expires_at), (Some(10), Some(2), Some(99)));
    for wrong in ["", "x", &token.hash()] {
        assert!(matches!(world.link_by_token(wrong).await, Err(Error::NotFound)));
    }
    assert!(!format!("{token:?}").contains(token.reveal()));
    assert!(matches!(world.create_link(&token, &new).await, Err(Error::Conflict(_))), "a token is used once");
    world.revoke_link(&made.id, "staff:1").await.unwrap();
    let revoked_at = world.link(&made.id).await.unwrap().revoked_at.unwrap();
    world.revoke_link(&made.id, "staff:2").await.unwrap();
    assert_eq!(world.link(&made.id).await.unwrap().revoked_at, Some(revoked_at));
    assert!(matches!(world.revoke_link("none", "x").await, Err(Error::NotFound)));
    assert_eq!(world.links(Some("acme")).await.unwrap().len(), 2);
    assert!(world.links(Some("none")).await.unwrap().is_empty());
    let actions: Vec<_> = world
        .audit(&AuditFilter::about(&made.id))
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.action)
        .collect();
    assert_eq!(actions, ["link.create", "link.revoke", "link.revoke"]);
}

#[tokio::test]
async fn link_ends_with_its_parent() {
    let world = World::open().await;
    let child = NewLink { parent_id: Some(world.link.id.clone()), ..new_link() };
    let before = world.create_link(&Token::random(), &child).await.unwrap();
    assert_eq!(before.revoked_at, None);
    world.revoke_link(&world.link.id, "staff:1").await.unwrap();
    // The request that makes it may have begun before its parent was revoked.
    let after = world.create_link(&Token::random(), &child).await.unwrap();
    let revoked_at = world.link(&world.link.id).await.unwrap().revoked_at;
    assert!(revoked_at.is_some());
    assert_eq!(
        (world.link(&before.id).await.unwrap().revoked_at, after.revoked_at),
        (revoked_at, revoked_at)
    );
}

#[tokio::test]
async fn link_needs_a_partner() {
    let world = World::open().await;
    for new in [
        NewLink { partner_id: "none".into(), ..new_link() },
        NewLink { contact_id: Some("none".into()), ..new_link() },
    ] {
        assert!(matches!(world.create_link(&Token::random(), &new).await, Err(Error::Conflict(_))));
    }
}

#[tokio::test]
async fn valid_and_invalid_staff_tokens() {
    let world = World::open().await;
    let (good, old, revoked) = (Token::random(), Token::random(), Token::random());
    let made = world.create_staff_token(&good, "ann", Some(now_ms() + 60_000)).await.unwrap();
    world.create_staff_token(&old, "bob", Some(now_ms() - 1)).await.unwrap();
    let ended = world.create_staff_token(&revoked, "eve", None).await.unwrap();
    assert_eq!(world.staff_token(revoked.reveal()).await.unwrap().name, "eve");
    world.revoke_staff_token(&ended.id).await.unwrap();
    let found = world.staff_token(good.reveal()).await.unwrap();
    assert_eq!((found.id, found.name), (made.id, "ann".into()));
    for wrong in ["", old.reveal(), revoked.reveal(), &good.hash()] {
        assert!(matches!(world.staff_token(wrong).await, Err(Error::NotFound)));
    }
    assert!(matches!(world.revoke_staff_token("none").await, Err(Error::NotFound)));
    assert_eq!(world.staff_tokens().await.unwrap().len(), 3);
}

#[tokio::test]
async fn partners_and_contacts() {
    let world = World::open().await;
    let partner = world.put_partner("acme", "Acme Ltd", None).await.unwrap();
    assert_eq!(
        (partner.name.as_str(), partner.organization_id, partner.disabled_at),
        ("Acme Ltd", None, None)
    );
    world.put_partner("globex", "Globex", Some(8)).await.unwrap();
    let ids: Vec<_> = world.partners().await.unwrap().into_iter().map(|partner| partner.id).collect();
    assert_eq!(ids, ["acme", "globex"]);
    world.set_partner_disabled("acme", Some(5)).await.unwrap();
    world.put_partner("acme", "Acme", None).await.unwrap();
    assert_eq!(world.partner("acme").await.unwrap().disabled_at, Some(5), "a new name does not enable it");
    world.set_partner_disabled("acme", None).await.unwrap();
    assert!(matches!(world.set_partner_disabled("none", None).await, Err(Error::NotFound)));
    let ann = world.put_contact(&contact("acme", "ANN@example.com"), "operator").await.unwrap();
    assert_eq!(ann.email, "ann@example.com");
    let known = || world.contact_by_email("acme", "Ann@Example.com");
    assert_eq!(known().await.unwrap().unwrap().id, ann.id);
    assert!(world.contact_by_email("globex", "ann@example.com").await.unwrap().is_none());
    assert!(matches!(world.disable_contact(&ann.id, Some("globex"), "x").await, Err(Error::NotFound)));
    world.disable_contact(&ann.id, Some("acme"), "operator").await.unwrap();
    assert!(known().await.unwrap().is_none(), "it is disabled");
    let again = NewContact { slack_user_id: Some("U1"), ..contact("acme", "ann@example.com") };
    let again = world.put_contact(&again, "operator").await.unwrap();
    assert_eq!((again.id.as_str(), again.slack_user_id.as_deref()), (ann.id.as_str(), Some("U1")));
    assert_eq!(known().await.unwrap().unwrap().disabled_at, None);
    let unknown = world.put_contact(&contact("none", "bob@example.com"), "operator").await;
    assert!(matches!(unknown, Err(Error::Conflict(_))));
    world.put_contact(&contact("globex", "ann@example.com"), "operator").await.unwrap();
    assert_eq!(world.contacts(None).await.unwrap().len(), 2);
    assert_eq!(world.contacts(Some("acme")).await.unwrap()[0].id, ann.id);
}
