//! `weighbridge demo`: everything in one process, kept between runs, and every printed command works.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{curl, eventually, printed, program, sha256};

/// A running demo; dropping it kills it. Its folder stays.
struct Demo {
    child: Child,
    data: PathBuf,
    output: PathBuf,
}

impl Demo {
    fn spawn(data: &Path) -> Self {
        let output = data.with_extension("out");
        let child = Command::new(program("weighbridge"))
            .args(["demo", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(File::create(&output).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, data: data.to_owned(), output }
    }

    fn ready(&mut self) -> Value {
        let described = self.data.join("demo.json");
        eventually("demo.json is there", || {
            assert!(self.child.try_wait().unwrap().is_none(), "the demo ended: {}", self.printed());
            serde_json::from_slice(&std::fs::read(&described).ok()?).ok()
        })
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap()
    }

    fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn uploads(described: &Value) -> Vec<Value> {
    let header = format!("Authorization: Bearer {}", described["staff_token"].as_str().unwrap());
    let answer = curl(&["-H", &header, &format!("{}/api/v1/uploads", described["url"].as_str().unwrap())]);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["uploads"].as_array().unwrap().clone()
}

/// The shape of a value: objects by their keys, everything else by its type.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::String(_) => json!("text"),
        other => panic!("{other} in demo.json"),
    }
}

#[test]
fn demo_json_is_complete_and_usable() {
    let folder = TempDir::new().unwrap();
    let mut demo = Demo::spawn(&folder.path().join("demo"));
    let described = demo.ready();
    let link = json!({"url": "text", "ticket": "text"});
    let expected = json!({
        "url": "text",
        "links": {"acme": link, "globex": link},
        "partner_links": {"acme": {"url": "text"}, "globex": {"url": "text"}},
        "contacts": {"acme": "text", "globex": "text"},
        "staff_token": "text",
        "desk": {"url": "text", "authorization": "text"},
        "hooks": {"zendesk_secret": "text", "slack_signing_secret": "text",
            "workflow_secrets": {"acme": "text", "globex": "text"}},
        "slack": {"url": "text", "messages": "text", "leaders_channel": "text",
            "channels": {"acme": "text", "globex": "text"}},
        "s3": {"endpoint": "text", "region": "text", "access_key_id": "text", "secret_access_key": "text",
            "support_uploader_bucket": "text", "partner_buckets": {"globex": "text"}},
    });
    assert_eq!(shape(&described), expected);
    let mode = std::fs::metadata(demo.data.join("demo.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only its owner reads it");
    let text = |pointer: &str| described.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    assert_eq!((text("/links/acme/ticket"), text("/links/globex/ticket")), ("1001".into(), "2001".into()));
    assert!(
        text("/url").starts_with("http://127.0.0.1:") && text("/desk/authorization").starts_with("Basic ")
    );
    // The samples are through: one small, one large.
    let mut samples = uploads(&described);
    samples.sort_by_key(|sample| sample["size"].as_u64());
    let [small, large] = samples.as_slice() else { panic!("{samples:?}") };
    assert_eq!((&small["destination"], &small["partner"]), (&json!("ticket-attachment"), &json!("acme")));
    assert_eq!((&large["destination"], &large["partner"]), (&json!("partner-bucket"), &json!("globex")));
    for sample in &samples {
        assert!(
            demo.printed().contains(sample["sha256"].as_str().unwrap()),
            "its receipt is printed: {}",
            demo.printed()
        );
        let ticket = sample["ticket"].as_str().unwrap();
        let url = format!("{}/api/v2/tickets/{ticket}/comments", text("/desk/url"));
        let header = format!("Authorization: {}", text("/desk/authorization"));
        eventually("the note is on the ticket", || {
            let comments = curl(&["-H", &header, &url]).json()["comments"].as_array().unwrap().clone();
            (tests::comments_naming(&comments, sample["id"].as_str().unwrap()) == 1).then_some(())
        });
    }
    // Links have every right.
    let options = curl(&["-X", "OPTIONS", &text("/links/acme/url")]).json();
    assert_eq!(options["rights"], json!(["upload", "list", "remove", "open-ticket", "escalate"]));
    assert_eq!(curl(&["-H", "Accept: text/html", &text("/links/acme/url")]).status, 200, "the upload page");

    let data = demo.data.clone();
    assert_eq!(demo.terminate(), Some(0));
    assert!(!data.join("demo.json").exists(), "nothing runs any more");
}

#[test]
fn links_and_token_survive_a_restart() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("demo");
    let mut demo = Demo::spawn(&data);
    let first = demo.ready();
    let before = uploads(&first);
    // Killed: what it said of itself is still there, and out of date.
    drop(demo);
    assert!(data.join("demo.json").exists());
    let mut demo = Demo::spawn(&data);
    // What the first said is removed at start, so whatever is there is of the second.
    let second = eventually("the second has described itself", || {
        let described = demo.ready();
        (described["url"] != first["url"] || described["desk"] != first["desk"]).then_some(described)
    });
    let token = |described: &Value, partner: &str| {
        described["links"][partner]["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    };
    for partner in ["acme", "globex"] {
        assert_eq!(token(&first, partner), token(&second, partner));
    }
    assert_eq!(first["staff_token"], second["staff_token"]);
    let after: Vec<_> = uploads(&second).iter().map(|upload| upload["id"].clone()).collect();
    assert_eq!(after, before.iter().map(|upload| upload["id"].clone()).collect::<Vec<_>>(), "no new uploads");
    // Yesterday's file is still what it was.
    let header = format!("Authorization: Bearer {}", second["staff_token"].as_str().unwrap());
    for upload in &before {
        let url = format!(
            "{}/api/v1/uploads/{}/content",
            second["url"].as_str().unwrap(),
            upload["id"].as_str().unwrap()
        );
        let output = Command::new("curl").args(["-sSfL", "-H", &header, &url]).output().unwrap();
        assert_eq!(sha256(&output.stdout), upload["sha256"].as_str().unwrap());
    }
    let file = folder.path().join("new.log");
    std::fs::write(&file, "new").unwrap();
    let sent = curl(&[
        "-T",
        file.to_str().unwrap(),
        &format!("{}/", second["links"]["acme"]["url"].as_str().unwrap()),
    ]);
    assert_eq!(sent.status, 201, "{sent:?}");
    assert_eq!(demo.terminate(), Some(0));
}

#[test]
fn second_demo_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let mut first = Demo::spawn(&data);
    first.ready();
    let second = Command::new(program("weighbridge"))
        .args(["demo", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(data.join("demo.json").exists(), "what says where the first one is stays");
    assert_eq!(first.terminate(), Some(0));
    assert!(!data.join("demo.json").exists());
}

#[test]
fn listens_on_loopback_only() {
    let folder = TempDir::new().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080"] {
        let output = Command::new(program("weighbridge"))
            .args(["demo", "--listen", address, "--data"])
            .arg(folder.path().join("demo"))
            .output()
            .unwrap();
        let shown = printed(&output);
        assert!(
            !output.status.success() && shown.contains("loopback") && shown.contains("serve"),
            "{address}: {shown}"
        );
    }
    assert!(!folder.path().join("demo").join("demo.json").exists());
    // An address in use: what an earlier run said is removed all the same, for it is not true.
    std::fs::create_dir_all(folder.path().join("demo")).unwrap();
    std::fs::write(folder.path().join("demo/demo.json"), "{}").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let output = Command::new(program("weighbridge"))
        .args(["demo", "--listen", &taken.local_addr().unwrap().to_string(), "--data"])
        .arg(folder.path().join("demo"))
        .output()
        .unwrap();
    assert!(
        !output.status.success() && printed(&output).contains("--listen 127.0.0.1:0"),
        "{}",
        printed(&output)
    );
    assert!(!folder.path().join("demo/demo.json").exists());
}

#[test]
fn printed_commands_work() {
    // A folder that a shell would take apart.
    let folder = TempDir::new().unwrap();
    let mut demo = Demo::spawn(&folder.path().join("it's a demo"));
    let described = demo.ready();
    let text = demo.printed();
    let lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let begins = |start: &str| lines.iter().filter(|line| line.contains(start)).count();
    assert!(begins("curl ") >= 2 && begins(" ls") == 1 && begins(" get ") == 1, "{text}");
    for line in lines {
        if line.starts_with("http") {
            let page = curl(&["-H", "Accept: text/html", line]);
            assert!(page.status == 200 && page.body.contains("<form"), "{line}: {page:?}");
            continue;
        }
        let cwd = TempDir::new().unwrap();
        let shell = Command::new("sh")
            .args(["-c", line])
            .current_dir(cwd.path())
            .env("HOME", cwd.path())
            .output()
            .unwrap();
        assert!(shell.status.success(), "{line}: {}", printed(&shell));
        if line.contains(" get ") {
            let large = uploads(&described).into_iter().find(|upload| upload["partner"] == "globex").unwrap();
            let fetched =
                std::fs::read(cwd.path().join("downloads").join(large["name"].as_str().unwrap())).unwrap();
            assert_eq!(sha256(&fetched), large["sha256"].as_str().unwrap());
        } else {
            assert!(!shell.stdout.is_empty(), "{line}");
        }
    }
    assert_eq!(uploads(&described).len(), 3, "what was sent was sent before, except with the new ticket");
}
