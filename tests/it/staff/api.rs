//! The staff API: what is listed, how bytes are downloaded, and what the audit log records.

use serde_json::{Value, json};
use tests::{
    Answer, RawClient, Sandbox, World, curl, eventually, eventually_async, noise, object, objects,
    put_by_hand, repr_digest,
};

/// What every refusal here is.
fn assert_problem(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{what}");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{what}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{what}: {problem}");
}

fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let uploads = answer.json()["uploads"].as_array().unwrap().clone();
    uploads.iter().map(|upload| upload["id"].as_str().unwrap().to_owned()).collect()
}

fn id(receipt: &Value) -> String {
    receipt["id"].as_str().unwrap().to_owned()
}

async fn delivered(sandbox: &Sandbox, id: &str) -> Value {
    eventually_async("the delivery is finished", async || {
        let upload = sandbox.staff(&format!("/uploads/{id}"), &[]).json();
        (upload["delivery"] != "pending").then_some(upload)
    })
    .await
}

#[tokio::test]
async fn filters_by_ticket_partner_time_and_state() {
    let World { gateway, sandbox } = World::start();
    let (other_ticket, other_link) = sandbox.open_ticket_and_link(&gateway, "acme").await;
    let first = id(&sandbox.sent(&sandbox.link("acme"), "a.log", b"first"));
    let second = id(&sandbox.sent(&other_link, "b.log", b"second"));
    let third = id(&sandbox.sent(&sandbox.link("globex"), "c.log", b"third"));
    for id in [&first, &second, &third] {
        assert_eq!(delivered(&sandbox, id).await["delivery"], "done");
    }
    let (_, closed) = sandbox.closed_ticket_and_link(&gateway, "acme").await;
    let fourth = id(&sandbox.sent(&closed, "d.log", b"fourth"));
    assert_eq!(delivered(&sandbox, &fourth).await["delivery"], "undeliverable");
    let between =
        sandbox.staff(&format!("/uploads/{second}"), &[]).json()["received_at"].as_str().unwrap().to_owned();
    let (all, none) = (vec![&fourth, &third, &second, &first], vec![]);
    for (query, expected) in [
        (String::new(), all.clone()),
        ("?state=complete".into(), all.clone()),
        ("?ticket=1001".into(), vec![&first]),
        ("?ticket=%23001001".into(), vec![&first]),
        (format!("?ticket={other_ticket}"), vec![&second]),
        ("?partner=globex".into(), vec![&third]),
        ("?partner=acme".into(), vec![&fourth, &second, &first]),
        ("?partner=acme&ticket=2001".into(), none.clone()),
        (format!("?since={between}"), vec![&fourth, &third]),
        (format!("?until={between}"), vec![&second, &first]),
        ("?since=2999-01-01T00:00:00Z".into(), none.clone()),
        ("?until=2000-01-01T00:00:00Z".into(), none.clone()),
        ("?since=2000-01-01T00:00:00Z&until=2999-01-01T00:00:00%2B01:00".into(), all),
        ("?state=open".into(), none.clone()),
        ("?state=cancelled".into(), none),
        ("?state=undeliverable".into(), vec![&fourth]),
        ("?state=done".into(), vec![&third, &second, &first]),
        (format!("?cursor={third}"), vec![&second, &first]),
    ] {
        let answer = sandbox.staff(&format!("/uploads{query}"), &[]);
        assert_eq!(ids(&answer).iter().collect::<Vec<_>>(), expected, "{query}");
    }
    // Every field of the receipt, as the partner sees it.
    let shown = sandbox.staff(&format!("/uploads/{first}"), &[]).json();
    let partner = curl(&[&format!("{}/uploads/{first}", sandbox.link("acme"))]).json();
    for field in [
        "id",
        "name",
        "size",
        "sha256",
        "partner",
        "ticket",
        "destination",
        "delivery",
        "received_at",
        "checked",
    ] {
        assert!(!shown[field].is_null(), "{field} is missing: {shown}");
        assert_eq!(shown[field], partner[field], "{field}");
    }
    assert!(shown.as_object().unwrap().contains_key("expires_at"));
}

/// What would look as if nothing had come, or as if storage were down.
#[test]
fn bad_filter_or_cursor_is_refused() {
    let World { gateway: _gateway, sandbox } = World::start();
    let own = format!("/uploads/{}", id(&sandbox.sent(&sandbox.link("globex"), "a.log", b"a")));
    let listing = format!("{}/uploads?cursor=", sandbox.link("globex"));
    for (path, status, word) in [
        ("/uploads?cursor=garbage", 400, "cursor"),
        ("/uploads?cursor=", 400, "cursor"),
        ("/uploads?cursor=%00", 400, "cursor"),
        ("/uploads?cursor=01arz3ndektsv4rrffq69g5fav", 400, "cursor"),
        ("/uploads?since=yesterday", 400, "since"),
        ("/uploads?since=2026-11-22", 400, "since"),
        ("/uploads?until=%00", 400, "until"),
        ("/uploads?state=lost", 400, "state"),
        ("/uploads?state=", 400, "state"),
        ("/uploads?ticket=10x", 400, "ticket"),
        ("/uploads?ticket=", 400, "ticket"),
        ("/uploads?limit=5", 400, "limit"),
        ("/uploads?partner=nobody", 404, "`nobody`"),
        ("/uploads?partner=%00", 404, "partner"),
        ("/uploads?partner=", 404, "partner"),
        ("/links?partner=nobody", 404, "`nobody`"),
        ("/links?partner=%00", 404, "partner"),
        ("/links?ticket=1", 400, "ticket"),
        ("/partners/nobody", 404, "`nobody`"),
        ("/partners/%00", 404, "partner"),
        ("/partners/nobody/objects", 404, "`nobody`"),
        ("/partners/globex/objects?cursor=garbage", 400, "cursor"),
        ("/partners/globex/objects?cursor=%00", 400, "cursor"),
        ("/partners/globex/objects?cursor=", 400, "cursor"),
        ("/partners/globex/objects?page=2", 400, "page"),
        ("/uploads/%00", 404, "id"),
        ("/uploads/%00/content", 404, "id"),
        ("/links/%00", 404, "id"),
        (&format!("{own}/content?via=post"), 400, "via"),
    ] {
        let answer = sandbox.staff(path, &[]);
        assert_problem(&answer, status, path);
        assert!(answer.json()["detail"].as_str().unwrap().contains(word), "{path}: {answer:?}");
    }
    for cursor in ["garbage", "", "%00"] {
        let answer = curl(&[&format!("{listing}{cursor}")]);
        assert_problem(&answer, 400, cursor);
    }
    assert_eq!(
        sandbox
            .staff(
                "/links",
                &["-d", "{\"partner\": \"\\u0000\", \"ticket\": 1}", "-H", "Content-Type: application/json"]
            )
            .status,
        422
    );
}

#[tokio::test]
async fn paging_has_no_gaps_or_repeats() {
    let World { gateway: _gateway, sandbox } = World::start();
    let folder = sandbox.scratch().join("many");
    std::fs::create_dir(&folder).unwrap();
    let mut form = Vec::new();
    for number in 0..205 {
        let path = folder.join(format!("{number}.log"));
        std::fs::write(&path, number.to_string()).unwrap();
        form.extend(["-F".to_owned(), format!("file=@{}", path.display())]);
    }
    form.push(sandbox.link("globex"));
    let answer = curl(&form.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(answer.status, 201);
    let mut sent = ids(&Answer { status: 200, ..answer });
    sent.reverse();
    let (mut listed, mut query) = (Vec::new(), "?partner=globex".to_owned());
    loop {
        let page = sandbox.staff(&format!("/uploads{query}"), &[]);
        let found = ids(&page);
        assert!(!found.is_empty(), "an empty page");
        listed.extend(found);
        let Some(cursor) = page.json()["next_cursor"].as_str().map(str::to_owned) else { break };
        query = format!("?partner=globex&cursor={cursor}");
    }
    assert!(listed == sent, "{} listed, {} sent", listed.len(), sent.len());
}

#[tokio::test]
async fn content_whole_and_in_ranges_on_both_routes() {
    let World { gateway: _gateway, sandbox } = World::start();
    let bytes = noise(100_000, 1);
    let large = id(&sandbox.sent(&sandbox.link("globex"), "core.bin", &bytes));
    let empty = id(&sandbox.sent(&sandbox.link("globex"), "empty", b""));
    let target = sandbox.scratch().join("fetched");
    let fetch = |id: &str, query: &str, range: Option<&str>| {
        let header = range.map(|range| format!("Range: {range}"));
        let mut arguments = vec!["-L", "-o", target.to_str().unwrap()];
        arguments.extend(header.iter().flat_map(|header| ["-H", header.as_str()]));
        let _ = std::fs::remove_file(&target);
        let answer = sandbox.staff(&format!("/uploads/{id}/content{query}"), &arguments);
        (answer, std::fs::read(&target).unwrap_or_default())
    };
    let repr_digest = repr_digest(&bytes);
    for query in ["", "?via=gateway"] {
        for (range, first, end) in [
            (None, 0, 100_000),
            (Some("bytes=0-0"), 0, 1),
            (Some("bytes=0-99"), 0, 100),
            (Some("bytes=50000-50099"), 50_000, 50_100),
            (Some("bytes=99990-"), 99_990, 100_000),
            (Some("bytes=99990-200000"), 99_990, 100_000),
            (Some("bytes=-10"), 99_990, 100_000),
            (Some("bytes=-200000"), 0, 100_000),
        ] {
            let (answer, got) = fetch(&large, query, range);
            assert_eq!(
                answer.status,
                if range.is_some() { 206 } else { 200 },
                "{query} {range:?}: {answer:?}"
            );
            assert!(got == bytes[first..end], "{query} {range:?}: {} bytes", got.len());
            if range.is_some() {
                assert_eq!(answer.headers["content-range"], format!("bytes {first}-{}/100000", end - 1));
            }
            assert_eq!(answer.headers["content-type"], "application/octet-stream");
            assert_eq!(answer.headers["content-length"], (end - first).to_string());
            // Of the whole file, whatever of it is read. A bucket answers without.
            let digest = answer.headers.get("repr-digest").map(String::as_str);
            assert_eq!(digest, (!query.is_empty()).then_some(repr_digest.as_str()), "{range:?}");
        }
        for (id, range) in [(&large, "bytes=100000-"), (&large, "bytes=-0"), (&empty, "bytes=0-")] {
            let (answer, _) = fetch(id, query, Some(range));
            assert_eq!(answer.status, 416, "{query} {range}: {answer:?}");
            let size = if *id == large { "100000" } else { "0" };
            assert!(
                query.is_empty() || answer.headers["content-range"] == format!("bytes */{size}"),
                "{answer:?}"
            );
        }
        let (answer, got) = fetch(&empty, query, None);
        assert_eq!((answer.status, got.len()), (200, 0), "{query}");
    }
    // What cannot be understood is ignored (RFC 9110 section 14.2).
    for range in ["bytes=5-2", "lines=1-2", "bytes=a-b", "bytes=0-1,5-6"] {
        let (answer, got) = fetch(&large, "?via=gateway", Some(range));
        assert!(answer.status == 200 && got == bytes, "{range}: {answer:?}");
    }
    // The redirect itself.
    let answer = sandbox.staff(&format!("/uploads/{large}/content"), &[]);
    assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (302, "no-store"));
    let location = &answer.headers["location"];
    assert!(
        location.starts_with(&sandbox.text("/s3/endpoint")) && location.contains("X-Amz-Expires=300"),
        "{location}"
    );
}

#[tokio::test]
async fn streams_without_a_public_endpoint() {
    let sandbox = Sandbox::start();
    let _gateway = sandbox.gateway_with(|config| {
        config["support_uploader"].as_table_mut().unwrap().remove("public_endpoint");
    });
    let bytes = noise(3_000_000, 2);
    let upload = id(&sandbox.sent(&sandbox.link("acme"), "a.bin", &bytes));
    let target = sandbox.scratch().join("fetched");
    let answer = sandbox.staff(&format!("/uploads/{upload}/content"), &["-o", target.to_str().unwrap()]);
    assert!(answer.status == 200 && std::fs::read(target).unwrap() == bytes, "{answer:?}");
}

#[tokio::test]
async fn content_is_always_an_attachment() {
    let World { gateway: _gateway, sandbox } = World::start();
    for name in [
        "a.html",
        "it's \"quoted\".log",
        "Größe 日本 e\u{301}.log",
        "a;filename=b.exe",
        "%41%0d%0a.txt",
        "<script>.svg",
    ] {
        let upload = id(&sandbox.sent(&sandbox.link("acme"), name, b"<script>alert(1)</script>"));
        for query in ["", "?via=gateway"] {
            let answer = sandbox.staff(&format!("/uploads/{upload}/content{query}"), &["-L"]);
            assert_eq!((answer.status, answer.body.as_str()), (200, "<script>alert(1)</script>"));
            let disposition = &answer.headers["content-disposition"];
            let (plain, encoded) = disposition.split_once("; filename*=UTF-8''").unwrap();
            assert!(
                plain.starts_with("attachment; filename=\"") && plain.matches('"').count() == 2,
                "{disposition}"
            );
            let normal = name.replace("e\u{301}", "é");
            let expected: String = normal.bytes().fold(String::new(), |text, byte| match byte {
                b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => text + &char::from(b).to_string(),
                b => text + &format!("%{b:02X}"),
            });
            assert_eq!(encoded, expected, "{query}");
            assert_eq!(answer.headers["content-type"], "application/octet-stream");
        }
        let through = sandbox.staff(&format!("/uploads/{upload}/content?via=gateway"), &[]);
        assert_eq!(through.headers["x-content-type-options"], "nosniff");
    }
}

/// Ending a running upload is audited, and its sender is told.
#[tokio::test]
async fn deleting_a_running_upload_ends_it() {
    let World { gateway, sandbox } = World::start();
    let link = sandbox.link("acme");
    let bytes = noise(20_000_000, 5);
    for (number, (by_staff, headers)) in [
        (true, &["Content-Length: 20000000"][..]),
        (true, &["Transfer-Encoding: chunked"]),
        (false, &["Content-Length: 20000000"]),
        (true, &["Content-Length: 20000000", "Upload-Complete: ?1"]),
        (true, &["Content-Length: 20000000", "Idempotency-Key: its-own"]),
    ]
    .into_iter()
    .enumerate()
    {
        let url = format!("{link}/deleted-{number}.bin");
        let mut sender = RawClient::request("PUT", &url, headers);
        let sent = &bytes[..9_000_000];
        assert!(if headers[0].starts_with("Transfer") { sender.chunk(sent) } else { sender.send(sent) });
        let own = eventually("it has begun", || {
            let state = curl(&["-I", &url]);
            (state.status == 204 && state.offset() > 0).then(|| state.headers["location"].clone())
        });
        let id = own.rsplit('/').next().unwrap();
        let deleted = if by_staff {
            sandbox.staff(&format!("/uploads/{id}"), &["-X", "DELETE"])
        } else {
            curl(&["-X", "DELETE", &own])
        };
        assert_eq!(deleted.status, 204, "{deleted:?}");
        let ended = sender.answer().unwrap();
        assert_eq!(
            (ended.status, ended.problem().as_str()),
            (410, "/problems/upload-gone"),
            "{headers:?} {ended:?}"
        );
        let audit = gateway.admin_ok(&["audit", "--subject", id]);
        let audit: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((audit.len(), &audit[0]["action"]), (1, &json!("upload.cancel")), "{audit:?}");
        let actor = if by_staff { "staff:" } else { "link:" };
        assert!(audit[0]["actor"].as_str().unwrap().starts_with(actor), "{audit:?}");
    }
}

#[tokio::test]
async fn removed_upload_is_gone_everywhere() {
    let World { gateway, sandbox } = World::start();
    let bucket = sandbox.bucket(Some("globex")).await;
    let link = sandbox.link("globex");
    let bytes = noise(9_000_000, 3);
    let upload = id(&sandbox.sent(&link, "wrong.bin", &bytes));
    delivered(&sandbox, &upload).await;
    let path = format!("/uploads/{upload}");
    assert_eq!(sandbox.staff(&path, &["-X", "DELETE"]).status, 204);
    assert!(sandbox.listed("2001").is_empty());
    assert_problem(&sandbox.staff(&format!("{path}/content"), &[]), 410, "content");
    assert_problem(&sandbox.staff(&path, &["-X", "DELETE"]), 404, "a second removal");
    let gone = curl(&[&format!("{link}/uploads/{upload}")]);
    assert_eq!((gone.status, gone.problem().as_str()), (410, "/problems/upload-gone"));
    eventually_async("file and receipt are deleted", async || {
        let keys = objects(&bucket).await;
        (!keys.iter().any(|key| key.contains(&upload))).then_some(())
    })
    .await;
    assert_eq!(sandbox.staff("/uploads?state=removed", &[]).json()["uploads"][0]["id"], upload.as_str());
    let audit = gateway.admin_ok(&["audit", "--subject", &upload]);
    let removal = audit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let removal = removal.into_iter().find(|entry| entry["action"] == "upload.remove").unwrap();
    assert!(removal["actor"].as_str().unwrap().starts_with("staff:"), "{removal}");
    // The same file is now a new one.
    let again = id(&sandbox.sent(&link, "wrong.bin", &bytes));
    assert_ne!(again, upload);
}

#[tokio::test]
async fn partners_are_listed_without_notes_while_the_desk_is_down() {
    let World { gateway: _gateway, sandbox } = World::start();
    let partners = sandbox.staff("/partners", &[]).json();
    let shown: Vec<_> = partners["partners"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["id"].clone(), p["bucket"].clone()))
        .collect();
    assert_eq!(shown, [(json!("acme"), json!(false)), (json!("globex"), json!(true))]);
    let acme = sandbox.staff("/partners/acme", &[]).json();
    assert_eq!((&acme["name"], &acme["organization_id"]), (&json!("Acme"), &json!(101)));
    assert!(acme["notes"].as_str().unwrap().contains("alliance partner"), "{acme}");
    assert!(acme["details"].as_str().unwrap().contains("escalation form"), "{acme}");
    assert!(acme.get("notes_problem").is_none());
    let at = acme["notes_at"].as_str().unwrap().to_owned();
    let down = json!({"service": "desk", "operation": "*", "fault": "status", "status": 503, "times": 0});
    sandbox.fault(down).await;
    assert_eq!(sandbox.staff("/partners/acme", &[]).json()["notes_at"], at, "what was read just now counts");
    let without = sandbox.staff("/partners/globex", &[]);
    assert_eq!(without.status, 200, "{without:?}");
    let without = without.json();
    assert_eq!((&without["name"], &without["notes"]), (&json!("Globex"), &Value::Null));
    assert!(without["notes_problem"].as_str().is_some_and(|problem| !problem.is_empty()), "{without}");
    assert_problem(&sandbox.staff("/partners/nobody", &[]), 404, "an unknown partner");
}

#[tokio::test]
async fn partner_objects_exclude_receipts() {
    let World { gateway: _gateway, sandbox } = World::start();
    let own = sandbox.bucket(Some("globex")).await;
    let shared = sandbox.bucket(None).await;
    let sent = sandbox.sent(&sandbox.link("globex"), "a.log", b"sent");
    let of_acme = sandbox.sent(&sandbox.link("acme"), "b.log", b"of acme");
    for (bucket, receipt, name) in [(&own, &sent, "a.log"), (&shared, &of_acme, "b.log")] {
        let key = format!("{}/{}/{name}.receipt.json", receipt["ticket"].as_str().unwrap(), id(receipt));
        eventually_async("the receipt is written", async || {
            objects(bucket).await.contains(&key).then_some(())
        })
        .await;
    }
    let by_hand = b"put by the partner's own tools";
    for key in ["theirs/core dump.bin", "2001/x/a.log", ".weighbridge/unfinished", "a.receipt.json"] {
        put_by_hand(&own, key, by_hand).await;
    }
    let listed = |partner: &str| {
        let answer = sandbox.staff(&format!("/partners/{partner}/objects"), &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut objects = answer.json()["objects"].as_array().unwrap().clone();
        objects.sort_by_key(|object| object["key"].as_str().unwrap().to_owned());
        objects
    };
    let shown: Vec<_> = listed("globex")
        .iter()
        .map(|object| {
            assert!(object["last_modified"].as_str().is_some(), "{object}");
            (
                object["key"].clone(),
                object["size"].clone(),
                object["upload_id"].clone(),
                object["unverified"].clone(),
            )
        })
        .collect();
    let unverified = |key: &str| (json!(key), json!(by_hand.len()), Value::Null, json!(true));
    let key = format!("2001/{}/a.log", id(&sent));
    let mut expected = vec![
        unverified("2001/x/a.log"),
        (json!(key), json!(4), sent["id"].clone(), json!(false)),
        unverified("a.receipt.json"),
        unverified("theirs/core dump.bin"),
    ];
    expected.sort_by_key(|(key, ..)| key.as_str().unwrap().to_owned());
    assert_eq!(shown, expected);
    let acme = listed("acme");
    assert_eq!(acme.len(), 1, "only its own in the shared bucket: {acme:?}");
    assert_eq!(acme[0]["upload_id"], of_acme["id"]);
    assert_eq!(object(&shared, acme[0]["key"].as_str().unwrap()).await, b"of acme");
}
