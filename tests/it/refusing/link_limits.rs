//! The limits of a link: reported before the body, enforced, and lifted when there is room again. Also its ticket, and its
//! revocation.

use serde_json::{Value, json};
use tests::{Answer, RawClient, Shared, World, comments_naming, curl, eventually_async, noise, printed};

static SHARED: Shared = Shared::with(&[]);

fn slowed_down(answer: &Answer) -> u64 {
    assert_eq!((answer.status, answer.problem().as_str()), (429, "/problems/slow-down"), "{answer:?}");
    answer.headers["retry-after"].parse().unwrap()
}

fn make(world: &World, body: &Value) -> Answer {
    world.sandbox.staff("/links", &["-H", "Content-Type: application/json", "-d", &body.to_string()])
}

fn links_of_acme(world: &World) -> Vec<Value> {
    world.sandbox.staff("/links?partner=acme", &[]).json()["links"].as_array().unwrap().clone()
}

#[tokio::test]
async fn limits_are_reported_before_the_body() {
    let world = World::with(&["link_requests_per_minute = 500", "max_upload_bytes = 1000000000"]);
    let earlier = links_of_acme(&world);
    let limits = |link: &str| {
        let told = curl(&["-X", "OPTIONS", link]).json();
        ["max_size", "max_open", "max_unfinished_bytes", "max_requests_per_minute"]
            .map(|key| told[key].clone())
    };
    let expected = [1_000_000_000_u64, 32, 2_000_000_000, 500].map(Value::from);
    assert_eq!(limits(&world.link("acme")), expected, "those of the configuration");
    let own = ["--max-bytes", "900", "--max-open", "3", "--max-unfinished-bytes", "800"];
    let rate = ["--max-requests-per-minute", "70"];
    let link =
        world.gateway.make_link(&[&["--partner", "acme", "--ticket", "1002"], &own[..], &rate].concat());
    assert_eq!(limits(&link), [800, 3, 800, 70].map(Value::from), "no file can be larger than all of them");
    assert_eq!(world.sandbox.send(&link, "a.log", &[0; 801]).status, 413);
    // Support sees them, and can set them, too.
    let body = json!({"partner": "acme", "ticket": "1002", "max_open": 4, "max_unfinished_bytes": 5000,
        "max_requests_per_minute": 60});
    let made = make(&world, &body);
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert_eq!(limits(made["url"].as_str().unwrap()), [5000, 4, 5000, 60].map(Value::from));
    let id = made["id"].as_str().unwrap();
    let shown = world.sandbox.staff(&format!("/links/{id}"), &[]).json();
    for key in ["max_open", "max_unfinished_bytes", "max_requests_per_minute"] {
        assert_eq!((&shown[key], &made[key]), (&body[key], &body[key]), "{key}");
    }
    assert!(shown["url"].is_null(), "the address is shown once");
    assert_eq!(links_of_acme(&world)[0], shown, "the newest comes first");
    assert_eq!(links_of_acme(&world).len(), earlier.len() + 2);
    let listed = world.gateway.admin_ok(&["link", "list"]);
    assert!(listed.lines().any(|line| serde_json::from_str::<Value>(line).unwrap() == shown), "{listed}");
    assert_eq!(world.sandbox.staff("/links/01ARZ3NDEKTSV4RRFFQ69G5FAV", &[]).status, 404);
    for wrong in [json!({"max_unfinished_bytes": 0}), json!({"max_requests_per_minute": 0})] {
        let mut body = json!({"partner": "acme"});
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(make(&world, &body).status, 422, "{body}");
    }
}

#[tokio::test]
async fn unfinished_uploads_of_a_link_are_bounded() {
    let world = World::start();
    let link = world.gateway.make_link(&[
        "--partner",
        "acme",
        "--ticket",
        "1002",
        "--max-unfinished-bytes",
        "30000000",
    ]);
    // An announced length counts before its bytes have come.
    let held = noise(20_000_000, 1);
    let mut under_way = RawClient::request("PUT", &format!("{link}/held.bin"), &["Content-Length: 20000000"]);
    under_way.send(&held[..1000]);
    world.until_open(1);
    let expect = "Expect: 100-continue";
    let multipart = "Content-Type: multipart/form-data; boundary=b";
    let url = format!("{link}/more.bin");
    let mut refused = RawClient::request("PUT", &url, &["Content-Length: 10000001", expect]);
    assert!(slowed_down(&refused.answer().unwrap()) > 0);
    assert!(!refused.continued, "it is told before the body");
    // Bytes of undeclared length count as they arrive; the others continue.
    let mut unknown = RawClient::request("PUT", &url, &["Transfer-Encoding: chunked"]);
    let bytes = noise(11_000_000, 2);
    assert!(bytes.chunks(1_000_000).all(|chunk| unknown.chunk(chunk)), "the rest is taken");
    let answer = unknown.answer().unwrap();
    slowed_down(&answer);
    assert!(answer.json()["detail"].as_str().unwrap().contains("30000000 bytes"), "{answer:?}");
    let mut form = RawClient::request("POST", &link, &[multipart, "Transfer-Encoding: chunked"]);
    let head = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.bin\"\r\n\r\n";
    form.chunk(head.as_bytes());
    assert!(bytes.chunks(1_000_000).all(|chunk| form.chunk(chunk)) && form.chunk(b"\r\n--b--\r\n"));
    form.chunk(b"");
    slowed_down(&form.answer().unwrap());
    assert_eq!(world.sandbox.send(&link, "fits.bin", &noise(9_000_000, 3)).status, 201);
    assert_eq!(world.sandbox.send(&world.link("acme"), "other.bin", &held).status, 201, "another link's own");
    under_way.send(&held[1000..]);
    assert_eq!(under_way.answer().unwrap().status, 201);
    assert_eq!(world.sandbox.send(&link, "more.bin", &bytes).status, 201, "there is room again");
    world.until_at_rest();
    world.gateway.sweep();
    assert_eq!(world.stored().await.len(), 4, "nothing is left of what was refused");
}

#[test]
fn rate_limit_says_when_to_retry() {
    let world = SHARED.world();
    let link = |per_minute: &str| {
        world.gateway.make_link(&[
            "--partner",
            "acme",
            "--ticket",
            "1002",
            "--max-requests-per-minute",
            per_minute,
        ])
    };
    let (slow, quick) = (link("3"), link("20"));
    for n in 0..3 {
        assert_eq!(curl(&[&slow]).status, 200, "{n}");
    }
    let mut refused =
        RawClient::request("PUT", &format!("{slow}/a"), &["Content-Length: 9", "Expect: 100-continue"]);
    let wait = slowed_down(&refused.answer().unwrap());
    assert!(!refused.continued && (15..=20).contains(&wait), "a third of a minute, not {wait} s");
    for arguments in [vec![slow.as_str()], vec!["-X", "OPTIONS", &slow], vec!["-F", "a=b", &slow]] {
        slowed_down(&curl(&arguments));
    }
    let token = format!("any:{}", slow.rsplit_once('/').unwrap().1);
    slowed_down(&curl(&["-u", &token, &format!("{}/u/-/", world.gateway.url)]));
    // A client that waits as told is served; curl does so by itself.
    let refused = (0..1000).map(|_| curl(&[&quick])).find(|answer| answer.status == 429);
    let told = slowed_down(&refused.expect("the minute's requests are spent"));
    assert!((1..=3).contains(&told), "a twentieth of a minute, not {told} s");
    assert_eq!(curl(&["--retry", "3", "--retry-max-time", "60", &quick]).status, 200);
    assert_eq!(curl(&[&world.link("acme")]).status, 200, "other links are not concerned");
}

#[test]
fn thirty_two_parallel_files_are_allowed() {
    let world = SHARED.world();
    let unbound = world.gateway.make_link(&["--partner", "globex"]);
    let bytes = noise(300_000, 4);
    for (link, query) in [(world.link("globex"), ""), (unbound, "?ticket=2002")] {
        // All are open at the same time: each has sent its first bytes.
        let mut all: Vec<_> = (0..32)
            .map(|n| {
                let url = format!("{link}/side-{n}.bin{query}");
                let mut raw =
                    RawClient::request("PUT", &url, &["Content-Length: 300000", "Expect: 100-continue"]);
                raw.send(&bytes[..1000]);
                raw
            })
            .collect();
        world.until_open(32);
        for raw in &mut all {
            assert!(raw.send(&bytes[1000..]));
        }
        for (n, raw) in all.iter_mut().enumerate() {
            let answer = raw.answer().unwrap();
            assert_eq!(answer.status, 201, "{n}: {answer:?}");
        }
        world.until_at_rest();
    }
}

#[tokio::test]
async fn ticket_numbers_cannot_be_guessed() {
    let world = World::with(&["link_ticket_lookups_per_minute = 5"]);
    let link = world.gateway.make_link(&["--partner", "acme"]);
    let path = world.path("a.log", b"a");
    let send = |ticket: &str| curl(&["-T", &path, &format!("{link}/a.log?ticket={ticket}")]);
    let asked = async || world.sandbox.faults().await["calls"]["desk"]["ShowTicket"].as_u64().unwrap_or(0);
    assert_eq!(send("1002").status, 201);
    let before = asked().await;
    for (ticket, calls) in [("424242", 1), ("424242", 1), ("424242", 1), ("2001", 2)] {
        assert_eq!(send(ticket).problem(), "/problems/unknown-ticket", "{ticket}");
        // The note on 1002 may look up its own ticket at the same time.
        let made = asked().await - before;
        assert!(
            (calls..=calls + 2).contains(&made),
            "a loop does not reach the desk: {made} calls after {ticket}"
        );
    }
    // Another partner's ticket, which the gateway knows by now, and a missing one get the same refusal.
    for ticket in ["424242", "2001", "777777"] {
        let wait = slowed_down(&send(ticket));
        assert!((1..=12).contains(&wait), "a fifth of a minute, not {wait} s");
    }
    assert_eq!(send("1002").status, 201, "its own ticket needs no look-up");
    let other = world.gateway.make_link(&["--partner", "acme"]);
    let answer = curl(&["-T", &path, &format!("{other}/a.log?ticket=777777")]);
    assert_eq!(answer.status, 404, "{answer:?}");
}

#[tokio::test]
async fn link_needs_an_open_ticket_of_its_partner() {
    let world = SHARED.world();
    let create =
        |ticket: &str| world.gateway.admin(&["link", "create", "--partner", "acme", "--ticket", ticket]);
    for (ticket, status, problem, says) in [
        ("424242", 404, "/problems/unknown-ticket", "The desk has no ticket 424242"),
        ("2001", 404, "/problems/unknown-ticket", "does not belong to the organisation of partner `acme`"),
        ("1003", 409, "/problems/ticket-closed", "Ticket 1003 is closed"),
    ] {
        let answer = make(&world, &json!({"partner": "acme", "ticket": ticket}));
        assert_eq!((answer.status, answer.problem().as_str()), (status, problem), "{answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(says), "{answer:?}");
        let output = create(ticket);
        let shown = printed(&output);
        assert!(
            output.status.code() == Some(1) && shown.contains(says) && output.stdout.is_empty(),
            "{shown}"
        );
    }
    // While the desk is down, links can be created.
    let world = World::start();
    world
        .sandbox
        .fault(json!({"service": "desk", "operation": "*", "times": 0, "fault": "status", "status": 503}))
        .await;
    let answer = make(&world, &json!({"partner": "acme", "ticket": "1002"}));
    assert_eq!(answer.status, 201, "{answer:?}");
    let warning = answer.json()["warning"].as_str().unwrap().to_owned();
    assert!(warning.contains("Ticket 1002 was not checked"), "{warning}");
    let output = world.gateway.admin(&["link", "create", "--partner", "acme", "--ticket", "1002"]);
    let (url, shown) = (String::from_utf8(output.stdout.clone()).unwrap(), printed(&output));
    assert!(output.status.success() && shown.contains("warning: Ticket 1002 was not checked"), "{shown}");
    assert_eq!(world.sandbox.send(url.trim(), "a.log", b"a").status, 201);
    world.sandbox.clear_faults().await;
    let answer = make(&world, &json!({"partner": "acme", "ticket": "1002"}));
    assert!(answer.status == 201 && answer.json().get("warning").is_none(), "{answer:?}");
    world.gateway.admin_ok(&["partner", "add", "nowhere"]);
    let answer = make(&world, &json!({"partner": "nowhere", "ticket": "1002"}));
    assert!(answer.json()["warning"].as_str().unwrap().contains("organization_id"), "{answer:?}");
}

#[test]
fn revocation_ends_idle_uploads_at_once() {
    let world = World::start();
    let stalled = |link: &str| {
        let mut raw = RawClient::request("PUT", &format!("{link}/stalled.bin"), &["Content-Length: 100000"]);
        raw.send(&noise(1000, 5));
        raw
    };
    let gone = |answer: &Answer| {
        assert_eq!((answer.status, answer.problem().as_str()), (410, "/problems/link-expired"), "{answer:?}");
    };
    let body = json!({"partner": "acme", "ticket": "1002", "rights": ["list"]});
    let by_staff = make(&world, &body).json();
    let by_operator = make(&world, &body).json();
    let link = |made: &Value| made["url"].as_str().unwrap().to_owned();
    let revoke = |made: &Value, operator: bool| {
        let id = made["id"].as_str().unwrap();
        if operator {
            world.gateway.admin_ok(&["link", "revoke", id]);
        } else {
            assert_eq!(world.sandbox.staff(&format!("/links/{id}"), &["-X", "DELETE"]).status, 204);
        }
    };
    for (made, operator) in [(&by_staff, false), (&by_operator, true)] {
        let link = link(made);
        let mut raw = stalled(&link);
        world.until_open(1);
        revoke(made, operator);
        for below in ["", "/uploads", "/uploads/01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            gone(&curl(&[&format!("{link}{below}")]));
        }
        // It is answered although it has not sent what it announced.
        gone(&raw.answer().unwrap());
        world.until_at_rest();
    }
    let mut raw = stalled(&world.link("globex"));
    world.until_open(1);
    world.gateway.admin_ok(&["partner", "disable", "globex"]);
    for below in ["", "/uploads"] {
        gone(&curl(&[&format!("{}{below}", world.link("globex"))]));
    }
    gone(&raw.answer().unwrap());
    world.until_at_rest();
    world.gateway.admin_ok(&["partner", "enable", "globex"]);
    assert_eq!(world.sandbox.send(&world.link("globex"), "a.log", b"a").status, 201);
}

#[tokio::test]
async fn finished_key_is_answered_after_the_ticket_closed() {
    let world = World::start();
    let (ticket, link) = world.sandbox.open_ticket_and_link(&world.gateway, "acme").await;
    let unbound = world.gateway.make_link(&["--partner", "acme"]);
    let (path, form) = (world.path("k.log", b"k"), format!("file=@{}", world.path("f.log", b"f")));
    let key = ["-H", "Idempotency-Key: k"];
    let (put, named) = (format!("{link}/k.log"), format!("{unbound}/k.log?ticket=%23{ticket}"));
    let queried = format!("{unbound}/?ticket={ticket}");
    let all = [["-T", &path, &put], ["-T", &path, &named], ["-F", &form, &link], ["-F", &form, &queried]];
    let send = |arguments: &[&str; 3]| curl(&[&key[..], arguments].concat());
    let first: Vec<_> = all.iter().map(send).collect();
    let id = first[0].json()["id"].as_str().unwrap().to_owned();
    // Closing is seen when the next file's note meets it.
    eventually_async("the first note is written", async || {
        (comments_naming(&world.sandbox.comments(&ticket).await, &id) == 1).then_some(())
    })
    .await;
    let close = json!({"ticket": {"status": "closed"}});
    world.sandbox.desk("PUT", &format!("/tickets/{ticket}"), Some(close)).await;
    // Creating a link for it fails.
    make(&world, &json!({"partner": "acme", "ticket": ticket}));
    let late = curl(&["-T", &world.path("late.log", b"late"), &format!("{link}/late.log")]);
    assert_eq!((late.status, late.problem().as_str()), (409, "/problems/ticket-closed"), "{late:?}");
    for (arguments, first) in all.iter().zip(&first) {
        let again = send(arguments);
        assert_eq!(
            (again.status, &again.json()["id"]),
            (201, &first.json()["id"]),
            "{arguments:?}: {again:?}"
        );
    }
    let other = curl(&["-H", "Idempotency-Key: other", "-T", &path, &put]);
    assert_eq!(other.status, 409, "another key is another request: {other:?}");
}
