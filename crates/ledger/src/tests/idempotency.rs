//! `Idempotency-Key`: new, running, done, something else.

use super::*;

fn key(attempt: &str) -> Key {
    Key { hash: "h".into(), name: "a.bin".into(), length: Some(5), digest: None, attempt: attempt.into() }
}

#[tokio::test]
async fn key_from_first_use_to_expiry() {
    let world = World::open().await;
    assert_eq!(world.claim_key(&key("1"), 0).await.unwrap(), Claim::New);
    assert!(world.note_key(&key("1"), &["u1".into()], false).await.unwrap());
    assert_eq!(world.claim_key(&key("2"), 0).await.unwrap(), Claim::Running(vec!["u1".into()]));
    assert!(!world.note_key(&key("1"), &["u1".into()], true).await.unwrap(), "the newer request has it");
    world.drop_key(&key("1")).await.unwrap();
    assert!(!world.key_is_done("h", "a.bin", 0).await.unwrap(), "it still runs");
    assert!(world.note_key(&key("2"), &["u2".into(), "u3".into()], true).await.unwrap());
    for (hash, name, since, done) in [
        ("h", "a.bin", 0, true),
        ("g", "a.bin", 0, false),
        ("h", "b.bin", 0, false),
        ("h", "a.bin", now_ms() + 1000, false),
    ] {
        assert_eq!(world.key_is_done(hash, name, since).await.unwrap(), done, "{hash} {name} {since}");
    }
    let done = Claim::Done(vec!["u2".into(), "u3".into()]);
    assert_eq!(world.claim_key(&key("3"), 0).await.unwrap(), done);
    for other in [Key { name: "b.bin".into(), ..key("4") }, Key { length: Some(6), ..key("4") }] {
        assert_eq!(world.claim_key(&other, 0).await.unwrap(), Claim::Mismatch, "{other:?}");
    }
    for same in [Key { length: None, ..key("5") }, Key { digest: Some("d".into()), ..key("5") }] {
        assert_eq!(world.claim_key(&same, 0).await.unwrap(), done, "a field that was absent cannot differ");
    }
    assert_eq!(world.claim_key(&key("6"), now_ms() + 1000).await.unwrap(), Claim::New, "it is too old");
    assert_eq!(world.claim_key(&key("7"), 0).await.unwrap(), Claim::Running(Vec::new()));
}

#[tokio::test]
async fn failed_request_releases_its_key() {
    let world = World::open().await;
    world.claim_key(&key("1"), 0).await.unwrap();
    world.drop_key(&key("1")).await.unwrap();
    let other = Key { name: "b.bin".into(), digest: Some("d".into()), ..key("2") };
    assert_eq!(world.claim_key(&other, 0).await.unwrap(), Claim::New);
    let differs = Key { digest: Some("e".into()), ..other };
    assert_eq!(world.claim_key(&differs, 0).await.unwrap(), Claim::Mismatch);
}

#[tokio::test]
async fn one_of_two_concurrent_claims_is_new() {
    let world = World::open().await;
    let other = world.another().await;
    let (one, two) = (key("1"), key("2"));
    let (one, two) = tokio::join!(world.claim_key(&one, 0), other.claim_key(&two, 0));
    let claims = [one.unwrap(), two.unwrap()];
    assert!(claims.contains(&Claim::New) && claims.contains(&Claim::Running(Vec::new())), "{claims:?}");
}
