//! The ledger on a file in a temporary folder, or in a database of its own on the server that `WEIGHBRIDGE_TEST_POSTGRES`
//! names: every rule that the engine, the jobs and the gateway rely on.

mod access;
mod adopt;
mod audit;
mod clock;
mod completion;
mod crowd;
mod home;
mod idempotency;
mod jobs;
mod people;
mod quota;
mod side_files;
mod sweep;
mod uploads;

use std::ops::Deref;

use home::Home;

use crate::*;

/// A migrated ledger of its own, with one partner and one link.
struct World {
    ledger: Ledger,
    link: Link,
    home: Home,
}

impl Deref for World {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl World {
    async fn open() -> Self {
        let home = Home::make().await;
        let ledger = Ledger::open(&home.url()).await.unwrap();
        ledger.migrate().await.unwrap();
        ledger.put_partner("acme", "Acme", Some(7)).await.unwrap();
        let link = ledger.create_link(&Token::random(), &new_link()).await.unwrap();
        Self { ledger, link, home }
    }

    /// Another process on the same ledger.
    async fn another(&self) -> Ledger {
        Ledger::open(&self.home.url()).await.unwrap()
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
            begins_with_body: false,
            announced: String::new(),
            tus_metadata: None,
            ask: None,
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
        assert_eq!(self.begin_completing(&end(&id, 1, dedupe_key)).await.unwrap(), Dedupe::First);
        assert_eq!(self.complete(&id, 1, None).await.unwrap(), Completed::Now);
        id
    }

    async fn commit_part(&self, part: &PartCommit<'_>) -> Result<()> {
        self.commit(std::slice::from_ref(part), &[]).await
    }

    async fn state(&self, id: &str) -> State {
        self.upload(id).await.unwrap().state
    }
}

/// Room for everything.
const AMPLE: Room = Room { open: i64::MAX, unfinished_bytes: i64::MAX };

fn new_link() -> NewLink {
    NewLink {
        partner_id: "acme".into(),
        contact_id: None,
        parent_id: None,
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

fn end<'a>(id: &'a str, epoch: i64, dedupe_key: &'a str) -> Completion<'a> {
    Completion {
        id,
        epoch,
        size: 10,
        sha256: "ab",
        md5: None,
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
    if let Home::Folder(folder) = &world.home {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.path().join("ledger.db")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    one.close().await;
    assert!(matches!(one.ping().await, Err(Error::Unavailable(_))));
    assert!(matches!(Ledger::open("mysql://x").await, Err(Error::Conflict(_))));
    let Err(Error::Unavailable(cause)) = Ledger::open("sqlite:/no/such/folder/x").await else { panic!() };
    assert!(cause.to_string().contains("create its folder"), "{cause}");
}

#[tokio::test]
async fn migrating_a_new_ledger_twice_at_the_same_time() {
    let home = Home::make().await;
    let (one, two) = (Ledger::open(&home.url()).await.unwrap(), Ledger::open(&home.url()).await.unwrap());
    let (one_done, two_done) = tokio::join!(one.migrate(), two.migrate());
    one_done.unwrap();
    two_done.unwrap();
    assert!(two.upload_counts().await.unwrap().is_empty());
}

/// Every promise relies on it, whatever the server's settings.
#[tokio::test]
async fn a_commit_is_on_the_disk_before_it_returns() {
    let world = World::open().await;
    if world.is_shared() {
        let url = format!("{}?options=-c%20synchronous_commit%3Doff", world.home.url());
        let ledger = Ledger::open(&url).await.unwrap();
        let setting = sqlx::query_scalar::<_, String>("SELECT current_setting('synchronous_commit')");
        assert_eq!(setting.fetch_one(&ledger.write).await.unwrap(), "on");
    } else {
        let setting = sqlx::query_scalar::<_, i64>("PRAGMA synchronous");
        assert_eq!(setting.fetch_one(&world.write).await.unwrap(), 2, "FULL");
    }
}

/// Two gateways never run on one file. On Postgres, the first is alone until it shares, and again when the others are gone.
#[tokio::test]
async fn gateway_knows_whether_it_is_alone() {
    let world = World::open().await;
    let url = world.home.url();
    let first = InstanceLock::acquire(&url).await.unwrap();
    assert!(first.is_alone());
    if !world.is_shared() {
        assert!(matches!(InstanceLock::acquire(&url).await, Err(Error::Conflict(_))));
        let first = first.share().await.unwrap();
        assert!(
            matches!(InstanceLock::acquire(&url).await, Err(Error::Conflict(_))),
            "the file has one gateway"
        );
        drop(first);
        assert!(InstanceLock::acquire(&url).await.unwrap().is_alone());
        return;
    }
    let first = first.share().await.unwrap();
    let second = InstanceLock::acquire(&url).await.unwrap();
    assert!(!first.is_alone() && !second.is_alone());
    drop(first);
    assert!(!InstanceLock::acquire(&url).await.unwrap().is_alone(), "the second still runs");
    drop(second);
    assert!(InstanceLock::acquire(&url).await.unwrap().is_alone());
}

#[tokio::test]
async fn heartbeat_lasts_until_the_upload_ends() {
    let world = World::open().await;
    let id = world.begun().await;
    let began = world.upload(&id).await.unwrap().updated_at;
    while now_ms() <= began {
        tokio::task::yield_now().await;
    }
    assert!(!world.heartbeat(&id, 0, 0).await.unwrap(), "only the current epoch");
    assert!(world.heartbeat(&id, 1, 0).await.unwrap());
    assert!(world.upload(&id).await.unwrap().updated_at > began);
    world.begin_completing(&end(&id, 1, "d")).await.unwrap();
    assert!(world.heartbeat(&id, 1, 0).await.unwrap());
    world.complete(&id, 1, None).await.unwrap();
    assert!(!world.heartbeat(&id, 1, 0).await.unwrap());
    assert!(!world.heartbeat("none", 1, 0).await.unwrap());
}

#[test]
fn every_migration_is_known() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap();
    let mut files: Vec<_> = folder.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    files.iter_mut().for_each(|file| *file = file.replace(".sqlite.", ".").replace(".postgres.", "."));
    files.dedup();
    let known: Vec<_> = migrations().map(|(version, name)| format!("{version:04}_{name}.sql")).collect();
    assert_eq!(files, known);
}

#[test]
fn times_and_identifiers() {
    assert_eq!(rfc3339(1_795_345_446_123), "2026-11-22T11:04:06.123Z");
    let ids: Vec<_> = (0..100).map(|_| new_id()).collect();
    assert!(ids.iter().all(|id| id.len() == 26 && id[..8] <= ids[99][..8]));
}
