//! The ledger on a file in a temporary folder: every rule that the engine, the jobs and the gateway rest on.

mod access;
mod completing;
mod jobs;
mod keys;
mod links;
mod uploads;

use std::ops::Deref;

use tempfile::TempDir;

use crate::*;

/// A migrated ledger in a folder of its own, with one partner and one link.
struct World {
    ledger: Ledger,
    link: Link,
    dir: TempDir,
}

impl Deref for World {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl World {
    async fn open() -> Self {
        let dir = TempDir::new().unwrap();
        let ledger = Ledger::open(&url(&dir)).await.unwrap();
        ledger.migrate().await.unwrap();
        ledger.put_partner("acme", "Acme", Some(7)).await.unwrap();
        let link = ledger.create_link(&Token::random(), &new_link()).await.unwrap();
        Self { ledger, link, dir }
    }

    /// Another process on the same file.
    async fn another(&self) -> Ledger {
        Ledger::open(&url(&self.dir)).await.unwrap()
    }

    async fn create(&self) -> String {
        let new = self.new_upload();
        self.create_upload(&new, AMPLE).await.unwrap();
        new.id
    }

    fn new_upload(&self) -> NewUpload {
        let id = new_id();
        NewUpload {
            link_id: self.link.id.clone(),
            partner_id: "acme".into(),
            ticket: "1001".into(),
            name: "a.bin".into(),
            content_type: "text/plain".into(),
            bucket: "support-uploader".into(),
            object_key: format!("1001/{id}/a.bin"),
            length: None,
            id,
            resumable: false,
            announced: String::new(),
            tus_metadata: None,
        }
    }

    /// An upload at its first append.
    async fn begun(&self) -> String {
        let id = self.create().await;
        assert_eq!(self.begin_append(&id, 0, None).await.unwrap().epoch, 1);
        id
    }

    /// A complete upload.
    async fn complete_one(&self, dedupe_key: &str) -> String {
        let id = self.begun().await;
        assert_eq!(self.begin_completing(&end(&id, 1, dedupe_key)).await.unwrap(), Original::Ours);
        assert_eq!(self.complete(&id).await.unwrap(), Completed::Now);
        id
    }

    async fn state(&self, id: &str) -> State {
        self.upload(id).await.unwrap().state
    }
}

fn url(dir: &TempDir) -> String {
    format!("sqlite:{}", dir.path().join("ledger.db").display())
}

/// Room for everything.
const AMPLE: Room = Room { open: i64::MAX, unfinished_bytes: i64::MAX };

fn new_link() -> NewLink {
    NewLink {
        partner_id: "acme".into(),
        contact_id: None,
        ticket: Some("1001".into()),
        rights: Vec::new(),
        max_bytes: None,
        max_open: None,
        max_unfinished_bytes: None,
        max_requests_per_minute: None,
        created_by: "operator".into(),
        expires_at: None,
    }
}

fn end<'a>(id: &'a str, epoch: i64, dedupe_key: &'a str) -> Completing<'a> {
    Completing {
        id,
        epoch,
        size: 10,
        sha256: "ab",
        crc64: "cd",
        destination: Destination::TicketAttachment,
        checked: &["sha-256"],
        dedupe_key,
        claims_since: 0,
        attempts_until: 0,
    }
}

fn superseded<T>(result: Result<T>) -> bool {
    result.err().is_some_and(|error| matches!(error, Error::Superseded))
}

#[tokio::test]
async fn migrating_again_changes_nothing_and_the_file_is_private() {
    let world = World::open().await;
    let id = world.create().await;
    let (one, two) = (world.another().await, world.another().await);
    let (one_done, two_done) = tokio::join!(one.migrate(), two.migrate());
    one_done.unwrap();
    two_done.unwrap();
    one.ping().await.unwrap();
    assert_eq!(one.upload(&id).await.unwrap().name, "a.bin");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(world.dir.path().join("ledger.db")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    one.close().await;
    assert!(matches!(one.ping().await, Err(Error::Unavailable(_))));
    assert!(matches!(Ledger::open("mysql://x").await, Err(Error::Conflict(_))));
    assert!(matches!(Ledger::open("sqlite:/no/such/folder/x").await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn migrating_a_new_file_twice_at_the_same_time() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (Ledger::open(&url(&dir)).await.unwrap(), Ledger::open(&url(&dir)).await.unwrap());
    let (one_done, two_done) = tokio::join!(one.migrate(), two.migrate());
    one_done.unwrap();
    two_done.unwrap();
    assert!(two.upload_counts().await.unwrap().is_empty());
}

#[test]
fn times_and_identifiers() {
    assert_eq!(rfc3339(1_795_345_446_123), "2026-11-22T11:04:06.123Z");
    let ids: Vec<_> = (0..100).map(|_| new_id()).collect();
    assert!(ids.iter().all(|id| id.len() == 26 && id[..8] <= ids[99][..8]));
}
