//! S3-compatible stores: some check less than AWS, some are down, some give credentials for minutes. The gateway keeps its
//! promises on each, and says what the store lacks.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::{
    Checking, Gateway, Quirks, QuirkyS3, Sandbox, World, curl, curl_raw, eventually, noise, sha256,
    side_by_side,
};

/// A gateway whose shared bucket is on such a store; desk and tickets are the sandbox's.
struct Running {
    gateway: Gateway,
    sandbox: Sandbox,
    store: QuirkyS3,
}

impl Running {
    fn start(quirks: Quirks, lines: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_with(quirks, lines, environment, |_| {})
    }

    fn start_with(
        quirks: Quirks,
        lines: &str,
        environment: &[(&str, &str)],
        change: impl FnOnce(&mut toml::Table),
    ) -> Self {
        let (store, sandbox) = (QuirkyS3::start(quirks), Sandbox::start());
        let keys = "access_key_id = \"AKIAOWN\"\nsecret_access_key = \"s\"";
        let section =
            format!("bucket = \"shared\"\nendpoint = \"{}\"\npath_style = true\n{keys}\n{lines}", store.url);
        let section: toml::Table = section.replace("URL", &store.url).parse().unwrap();
        let environment: Vec<_> = [("AWS_EC2_METADATA_DISABLED", "true")]
            .iter()
            .chain(environment)
            .map(|(name, value)| ((*name).to_owned(), value.replace("URL", &store.url)))
            .collect();
        let gateway = sandbox.gateway_in(&environment, |config| {
            config.insert("support_uploader".into(), section.into());
            change(config);
        });
        Self { gateway, sandbox, store }
    }

    /// Whether the shared bucket has this capability, as the metrics say; none: not known.
    fn has(&self, capability: &str) -> Option<bool> {
        let text = curl(&[&self.sandbox.text("/metrics")]).body;
        let series = format!(
            "weighbridge_bucket_capability{{bucket=\"support-uploader\",capability=\"{capability}\"}} "
        );
        text.lines().find_map(|line| line.strip_prefix(&series)).map(|value| value == "1")
    }
}

/// A kind of store, what is reported about it, and what a completion sends to it.
#[derive(Debug)]
struct Kind {
    checking: Checking,
    /// What the log says of it; nothing for a store like AWS.
    said: &'static str,
    object_checksum: Option<bool>,
    part_checksum: bool,
}

const KINDS: [Kind; 4] = [
    Kind { checking: Checking::Whole, said: "", object_checksum: Some(true), part_checksum: true },
    Kind {
        checking: Checking::Parts,
        said: "does not verify the checksum of a whole multipart object",
        object_checksum: Some(false),
        part_checksum: true,
    },
    Kind {
        checking: Checking::Md5,
        said: "does not support CRC-64/NVME. Weighbridge sends Content-MD5",
        object_checksum: None,
        part_checksum: true,
    },
    Kind {
        checking: Checking::Nothing,
        said: "accepts bytes with a wrong checksum",
        object_checksum: Some(false),
        part_checksum: false,
    },
];

#[test]
fn stores_with_fewer_checks_get_every_byte() {
    side_by_side(2, &KINDS, async |kind: &Kind| {
        let quirks = Quirks { checking: kind.checking, ..Quirks::default() };
        let running = Running::start(quirks, "", &[]);
        let (sandbox, store) = (&running.sandbox, &running.store);
        assert_eq!(store.left(), [""; 0], "the examination leaves nothing");
        let log = running.gateway.log();
        let warned = log.lines().filter(|line| line.contains("WARN") && line.contains("support-uploader"));
        let warned: Vec<_> = warned.collect();
        match kind.said {
            "" => assert!(warned.is_empty(), "{warned:?}"),
            said => assert!(warned.len() == 1 && warned[0].contains(said), "{warned:?}"),
        }
        assert_eq!(running.has("object_checksum"), kind.object_checksum);
        assert_eq!(running.has("part_checksum"), Some(kind.part_checksum));
        assert_eq!((running.has("reached"), running.has("permissions")), (Some(true), Some(true)));
        let link = sandbox.link("acme");
        for (name, bytes) in [("small.log", noise(1_000, 1)), ("large.bin", noise(30_000_000, 2))] {
            let receipt = sandbox.sent(&link, name, &bytes);
            assert_eq!(receipt["sha256"], sha256(&bytes));
            let id = receipt["id"].as_str().unwrap();
            assert!(store.object(&format!("/shared/1001/{id}/{name}")).unwrap() == bytes, "{name}");
            let folder = sandbox.scratch().join("got");
            let got = sandbox.wb(&["get", id, "-o", folder.to_str().unwrap()]);
            assert!(got.status.success(), "{}", tests::printed(&got));
            assert!(std::fs::read(folder.join(name)).unwrap() == bytes, "{name}");
        }
        for part in store.requests_for("UploadPart") {
            let md5 = kind.checking == Checking::Md5;
            let is_probe = part.target.contains(".weighbridge/probe/");
            assert!(is_probe || part.header("content-md5").is_empty() != md5, "{}", part.target);
            assert!(is_probe || part.header("x-amz-checksum-crc64nvme").is_empty() == md5, "{}", part.target);
        }
        let completed = store.requests_for("CompleteMultipartUpload");
        let last = completed.last().unwrap();
        let claims = !last.header("x-amz-checksum-crc64nvme").is_empty();
        assert_eq!(claims, kind.checking == Checking::Whole, "{last:?}");
    });
}

#[tokio::test]
async fn probes_leave_the_store_unchanged() {
    let world = World::start_embedded();
    let log = world.gateway.log();
    for name in ["support-uploader", "globex"] {
        let line = log.lines().find(|line| line.contains(&format!("bucket=\"{name}\" s3_bucket=")));
        let line = line.unwrap_or_else(|| panic!("{name} in {log}"));
        let has = "has reached, permissions, part_checksum, object_checksum, conditional_write";
        assert!(line.contains(has), "{line}");
        let series = |capability: &str| {
            format!("weighbridge_bucket_capability{{bucket=\"{name}\",capability=\"{capability}\"}}")
        };
        assert_eq!(world.metric(&series("object_checksum")), 1.0);
        assert_eq!(world.metric(&series("tagging")), 0.0);
    }
    assert_eq!(world.stored().await, [""; 0]);
    let swept = world.gateway.sweep();
    assert_eq!((&swept["leaked"], &swept["failed"]), (&json!(0), &json!(0)), "{swept}");
}

#[tokio::test]
async fn leftovers_of_a_killed_probe_are_removed() {
    let world = World::start();
    let bucket = world.sandbox.bucket(None).await;
    bucket.create_multipart(".weighbridge/probe/1-1-parts", "text/plain", &Vec::new()).await.unwrap();
    bucket.create_multipart("somebody/else", "text/plain", &Vec::new()).await.unwrap();
    assert_eq!(world.gateway.sweep()["leaked"], 1, "only the one that is not a probe's");
}

#[test]
fn unreachable_bucket_does_not_stop_the_start() {
    let sandbox = Sandbox::start();
    let begun = Instant::now();
    let gateway = sandbox.gateway_with(|config| {
        let bucket = config["partners"]["globex"]["bucket"].as_table_mut().unwrap();
        bucket.insert("endpoint".into(), "http://127.0.0.1:9".into());
    });
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("WARN") && line.contains("bucket=\"globex\""));
    assert!(line.is_some_and(|line| line.contains("no answer: check `endpoint`")), "{log}");
    let metrics = curl(&[&sandbox.text("/metrics")]).body;
    for (bucket, reached) in [("globex", 0), ("support-uploader", 1)] {
        let line =
            format!("weighbridge_bucket_capability{{bucket=\"{bucket}\",capability=\"reached\"}} {reached}");
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
    // The others work meanwhile.
    sandbox.sent(&sandbox.link("acme"), "a.log", b"a");
}

const ROLE: &str = "region = \"us-east-1\"\nrole_arn = \"arn:aws:iam::123456789012:role/r\"\nexternal_id = \"shared-word\"\n\
                    expected_owner = \"123456789012\"\npublic_endpoint = \"URL\"";

/// Sends a file and asks for its content; answers the fields of the presigned URL, and the URL.
fn presigned(running: &Running) -> (std::collections::BTreeMap<String, String>, String) {
    let bytes = noise(30_000_000, 3);
    let receipt = running.sandbox.sent(&running.sandbox.link("acme"), "large.bin", &bytes);
    let answer = running.sandbox.staff(&format!("/uploads/{}/content", receipt["id"].as_str().unwrap()), &[]);
    assert_eq!(answer.status, 302, "{answer:?}");
    let url = answer.headers["location"].clone();
    let parsed = reqwest::Url::parse(&url).unwrap();
    let fields = parsed.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let got = curl_raw(&["-o", "/dev/null", "-w", "%{size_download}", &url], Stdio::null());
    assert_eq!(got.body, bytes.len().to_string(), "the URL serves the file: {got:?}");
    (fields, url)
}

#[test]
fn presigned_url_never_outlives_its_session() {
    let sts: &[(&str, &str)] = &[("AWS_ENDPOINT_URL_STS", "URL")];
    let session = |seconds: &[u64]| Quirks {
        external_id: Some("shared-word"),
        sessions: seconds.iter().map(|seconds| Duration::from_secs(*seconds)).collect(),
        ..Quirks::default()
    };
    // The first session ends too soon for 5 minutes: another one is asked for.
    let running = Running::start(session(&[120, 3600]), ROLE, sts);
    let (fields, _) = presigned(&running);
    assert_eq!(fields["X-Amz-Expires"], "300");
    assert_eq!(fields["X-Amz-Security-Token"], "session-2");
    assert!(fields["X-Amz-Credential"].starts_with("ASIAROLE2/"), "{fields:?}");
    let s3: Vec<_> = running
        .store
        .requests()
        .into_iter()
        .filter(|asked| asked.target.starts_with("/shared") && !asked.target.contains("X-Amz-Signature"))
        .collect();
    for asked in &s3 {
        assert_eq!(asked.header("x-amz-expected-bucket-owner"), "123456789012", "{asked:?}");
        assert!(asked.header("x-amz-security-token").starts_with("session-"), "{asked:?}");
    }
    // A browser sends no such header, so S3 is asked whose the bucket is before the URL is handed out.
    let of_the_file = |asked: &&tests::RecordedRequest| asked.target.contains("/large.bin");
    assert!(s3.iter().filter(of_the_file).any(|asked| asked.operation == "HeadObject"), "{s3:#?}");

    // No longer session can be had: the URL lives as long as it does.
    let running = Running::start(session(&[120]), ROLE, sts);
    let (fields, _) = presigned(&running);
    let seconds: u64 = fields["X-Amz-Expires"].parse().unwrap();
    assert!((60..=120).contains(&seconds), "{fields:?}");
}

#[test]
fn expired_session_is_renewed() {
    // Ends within the time that the SDK keeps clear of, so each call needs a new one.
    let quirks = Quirks { sessions: vec![Duration::from_secs(5)], ..Quirks::default() };
    let running = Running::start(quirks, ROLE, &[("AWS_ENDPOINT_URL_STS", "URL")]);
    let before = running.store.requests_for("AssumeRole").len();
    running.sandbox.sent(&running.sandbox.link("acme"), "a.log", b"a");
    assert!(running.store.requests_for("AssumeRole").len() > before, "another session is asked for");
    let signed: Vec<_> =
        running.store.requests_for("PutObject").iter().map(|put| put.key_id().to_owned()).collect();
    assert!(signed.last().is_some_and(|key| key.starts_with("ASIAROLE")), "{signed:?}");
}

/// A file whose time is over leaves no version behind, and the audit names each. One that somebody removed can be restored.
#[tokio::test]
async fn versions_of_a_file_whose_time_is_over_are_deleted_and_named() {
    let quirks = Quirks { versioned: true, ..Quirks::default() };
    let running = Running::start_with(quirks, "", &[], |config| {
        let at_once = toml::toml! { grace = "0s"
        minimum = "0s"
        check_every = "1s" };
        config.insert("retention".into(), at_once.into());
    });
    let (gateway, sandbox, store) = (&running.gateway, &running.sandbox, &running.store);
    let (ticket, link) = sandbox.open_ticket_and_link(gateway, "acme").await;
    let [over, removed] = ["over.log", "removed.log"].map(|name| {
        let id = sandbox.sent(&link, name, name.as_bytes())["id"].as_str().unwrap().to_owned();
        let receipt = format!("{id}/{name}.receipt.json");
        eventually("the receipt is written", || (!store.versions(&receipt).is_empty()).then_some(()));
        eventually("nothing is written any more", || {
            (sandbox.staff(&format!("/uploads/{id}"), &[]).json()["delivery"] == "done").then_some(())
        });
        id
    });
    assert_eq!(sandbox.staff(&format!("/uploads/{removed}"), &["-X", "DELETE"]).status, 204);
    let stored = store.versions(&over);
    assert!(stored.len() >= 2, "{stored:?}");
    sandbox.desk("PUT", &format!("/tickets/{ticket}"), Some(json!({"ticket": {"status": "closed"}}))).await;
    let event = json!({"type": "zen:event-type:ticket.status_changed", "id": "1", "detail": {"id": ticket}});
    let (event, url) = (event.to_string(), format!("{}/hooks/zendesk", sandbox.text("/url")));
    let headers = sandbox.zendesk_headers(&event);
    let mut arguments = vec![url.as_str(), "-d", event.as_str(), "-H", "Content-Type: application/json"];
    arguments.extend(headers.iter().flat_map(|header| ["-H", header.as_str()]));
    assert_eq!(curl(&arguments).status, 200);
    eventually("all versions are deleted", || {
        gateway.sweep();
        store.versions(&over).is_empty().then_some(())
    });
    let audit = gateway.admin_ok(&["audit", "--subject", &over]);
    for version in &stored {
        let names = |line: &str| line.contains("upload.versions") && line.contains(version.as_str());
        assert!(audit.lines().any(names), "{version}: {audit}");
    }
    assert!(store.versions(&removed).len() > 2, "with their delete markers");
}
