//! The digests in side files, about the next upload of a name or about one that is complete.

use super::*;

fn binds<'a>(algorithm: &'a str, digest: &'a str, newest: Option<&'a str>) -> SideFileRecord<'a> {
    SideFileRecord::Binds { name: "a.bin", algorithm, digest, until: now_ms() + 60_000, newest, since: 0 }
}

/// Has a file of some other name say something of the next `a.bin`.
async fn say(world: &World, side: &SideFileRecord<'_>) -> Completed {
    let new = NewUpload { name: format!("{}.md5", new_id()), ..world.new_upload() };
    world.create_upload(&new, AMPLE).await.unwrap();
    world.begin_append(&new.id, 0, None).await.unwrap();
    world.begin_completing(&end(&new.id, 1, &new.id)).await.unwrap();
    world.complete(&new.id, 1, Some(side)).await.unwrap()
}

/// An `a.bin` that is complete but for the word, with no digest checked.
async fn stored(world: &World, md5: Option<&str>) -> String {
    let id = world.begun().await;
    let end = Completion { checked: &[], md5, ..end(&id, 1, &id) };
    world.begin_completing(&end).await.unwrap();
    id
}

async fn announced(world: &World, name: &str) -> Vec<(String, String)> {
    world.announced(&world.link.id, name).await.unwrap()
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

async fn comments(world: &World) -> i64 {
    world.waiting(JobKind::MismatchComment).await
}

#[tokio::test]
async fn side_file_binds_one_link_and_name_until_it_expires() {
    let world = World::open().await;
    let over = SideFileRecord::Binds {
        name: "a.bin",
        algorithm: "md5",
        digest: "00",
        until: now_ms() - 1,
        newest: None,
        since: 0,
    };
    say(&world, &over).await;
    assert!(announced(&world, "a.bin").await.is_empty(), "its time is over");
    say(&world, &binds("md5", "11", None)).await;
    say(&world, &binds("md5", "22", None)).await;
    say(&world, &binds("sha-256", "33", None)).await;
    assert_eq!(announced(&world, "a.bin").await, owned(&[("md5", "22"), ("sha-256", "33")]));
    assert!(announced(&world, "b.bin").await.is_empty());
    assert!(world.announced("other", "a.bin").await.unwrap().is_empty());
    world.complete_one("d").await;
    assert!(announced(&world, "a.bin").await.is_empty());
}

#[tokio::test]
async fn completing_file_is_compared_with_its_side_files() {
    for (md5, digest, checked, mismatch, waits) in [
        (None, ("sha-256", "ab"), vec!["sha-256"], None, false),
        (None, ("sha-256", "00"), vec![], Some("sha-256 00 ab"), false),
        (Some("ef"), ("md5", "ef"), vec!["md5"], None, false),
        (Some("ef"), ("md5", "00"), vec![], Some("md5 00 ef"), false),
        (None, ("md5", "00"), vec![], None, true),
    ] {
        let world = World::open().await;
        let id = stored(&world, md5).await;
        say(&world, &binds(digest.0, digest.1, None)).await;
        assert_eq!(world.complete(&id, 1, None).await.unwrap(), Completed::Now);
        let upload = world.upload(&id).await.unwrap();
        assert_eq!(
            (upload.checked, upload.mismatch.as_deref()),
            (owned_names(&checked), mismatch),
            "{digest:?}"
        );
        assert_eq!(comments(&world).await, i64::from(mismatch.is_some()));
        assert_eq!(world.has_job(JobKind::Compare, &id).await.unwrap(), waits);
        assert!(announced(&world, "a.bin").await.is_empty(), "it binds no other");
        assert_eq!(world.complete(&id, 1, None).await.unwrap(), Completed::Before);
    }
}

fn owned_names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn late_comparison_is_made_once() {
    for (digest, actual, checked, mismatch) in [
        ("ef", Some("ef"), vec!["md5"], None),
        ("00", Some("ef"), vec![], Some("md5 00 ef")),
        ("00", None, vec![], None),
    ] {
        let world = World::open().await;
        let id = stored(&world, None).await;
        say(&world, &binds("md5", digest, None)).await;
        world.complete(&id, 1, None).await.unwrap();
        // A side file that comes later replaces the digest, and a request for the MD5 adds no job.
        let side = SideFileRecord::Waits { upload_id: &id, digest };
        assert_eq!(world.settle_again(&id, &id, None, Some(&side)).await.unwrap(), Completed::Before);
        world.queue_comparison(&id).await.unwrap();
        let claimed = world.claim_jobs(JobKind::Compare, now_ms() + 60_000).await.unwrap().unwrap();
        for _ in 0..2 {
            world.finish_comparison(&claimed.jobs[0].id, &id, actual).await.unwrap();
            assert!(!world.has_job(JobKind::Compare, &id).await.unwrap());
        }
        let upload = world.upload(&id).await.unwrap();
        assert_eq!((upload.checked, upload.mismatch.as_deref()), (owned_names(&checked), mismatch));
        assert_eq!(comments(&world).await, i64::from(mismatch.is_some()));
    }
}

/// It was read before the file completed, and is about that file.
#[tokio::test]
async fn stale_side_file_is_refused() {
    let world = World::open().await;
    let first = world.complete_one("first").await;
    let late = binds("md5", "00", None);
    assert_eq!(say(&world, &late).await, Completed::Stale);
    assert!(announced(&world, "a.bin").await.is_empty(), "nothing changed");
    assert_eq!(world.settle_again(&first, &first, None, Some(&late)).await.unwrap(), Completed::Stale);
    assert_eq!(say(&world, &binds("md5", "00", Some(&first))).await, Completed::Now);
    assert_eq!(announced(&world, "a.bin").await, owned(&[("md5", "00")]));
    // Another link's file, and another ticket's, are none of its own.
    let other = world.create_link(&Token::random(), &new_link()).await.unwrap();
    let elsewhere = binds("md5", "11", None);
    let new = NewUpload { link_id: other.id.clone(), name: "a.bin.md5".into(), ..world.new_upload() };
    world.create_upload(&new, AMPLE).await.unwrap();
    world.begin_append(&new.id, 0, None).await.unwrap();
    world.begin_completing(&end(&new.id, 1, "side")).await.unwrap();
    assert_eq!(world.complete(&new.id, 1, Some(&elsewhere)).await.unwrap(), Completed::Now);
    assert_eq!(world.announced(&other.id, "a.bin").await.unwrap(), owned(&[("md5", "11")]));
}

#[tokio::test]
async fn file_sent_again_is_compared_with_newer_side_files() {
    let world = World::open().await;
    let first = stored(&world, None).await;
    world.complete(&first, 1, None).await.unwrap();
    say(&world, &binds("sha-256", "ab", Some(&first))).await;
    say(&world, &binds("md5", "00", Some(&first))).await;
    assert_eq!(world.settle_again(&first, &first, Some("ef"), None).await.unwrap(), Completed::Before);
    let upload = world.upload(&first).await.unwrap();
    assert_eq!((upload.checked, upload.mismatch.as_deref()), (owned_names(&["sha-256"]), Some("md5 00 ef")));
    assert_eq!(upload.md5.as_deref(), Some("ef"));
    assert!(announced(&world, "a.bin").await.is_empty());
    assert!(matches!(world.settle_again("none", "none", None, None).await, Err(Error::NotFound)));
}

/// One link's files do not occupy every worker.
#[tokio::test]
async fn one_file_of_a_link_is_compared_at_a_time() {
    let world = World::open().await;
    let claim = async || {
        let claimed = world.claim_jobs(JobKind::Compare, now_ms() + 60_000).await.unwrap();
        claimed.map(|claimed| claimed.jobs[0].clone())
    };
    for dedupe_key in ["1", "2"] {
        let id = world.complete_one(dedupe_key).await;
        world.queue_comparison(&id).await.unwrap();
    }
    let first = claim().await.unwrap();
    assert!(claim().await.is_none());
    let other = world.create_link(&Token::random(), &new_link()).await.unwrap();
    let new = NewUpload { link_id: other.id, ..world.new_upload() };
    world.create_upload(&new, AMPLE).await.unwrap();
    world.begin_append(&new.id, 0, None).await.unwrap();
    world.begin_completing(&end(&new.id, 1, "3")).await.unwrap();
    world.complete(&new.id, 1, None).await.unwrap();
    world.queue_comparison(&new.id).await.unwrap();
    assert_eq!(claim().await.unwrap().subject, new.id);
    world.finish_comparison(&first.id, &first.subject, Some("ef")).await.unwrap();
    assert!(claim().await.is_some());
}
