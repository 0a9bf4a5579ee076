//! Access: tokens in paths and headers, expired and revoked links, rights, and the uploads of other partners.

use serde_json::json;
use tests::{Answer, RawClient, Shared, World, ask, curl, eventually, noise};

static SHARED: Shared = Shared::with(&[]);

fn token(link: &str) -> &str {
    link.rsplit_once('/').unwrap().1
}

/// The id under which an operator knows the newest link of a partner.
fn newest_link_id(world: &World, partner: &str) -> String {
    let lines = world.gateway.admin_ok(&["link", "list", "--partner", partner]);
    let links = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    links.max_by_key(|link| link["id"].to_string()).unwrap()["id"].as_str().unwrap().to_owned()
}

fn refused(answer: &Answer, status: u16, kind: &str) {
    assert_eq!((answer.status, answer.problem().as_str()), (status, kind), "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{answer:?}");
}

#[test]
fn token_in_path_bearer_or_password() {
    let world = SHARED.world();
    let link = world.link("acme");
    let open = format!("{}/u/-/", world.gateway.url);
    let bearer = format!("Authorization: Bearer {}", token(&link));
    let (user, nobody) = (format!("anyone:{}", token(&link)), format!(":{}", token(&link)));
    let path = world.path("token.log", b"token");
    let first = curl(&["-T", &path, &format!("{link}/")]);
    for way in [["-H", &bearer], ["-u", &user], ["-u", &nobody]] {
        let answer = curl(&[&way[..], &["-T", &path, &open]].concat());
        assert_eq!((answer.status, &answer.json()["id"]), (201, &first.json()["id"]), "{answer:?}");
        let location = &answer.headers["location"];
        assert!(!location.contains(token(&link)), "the token stays out of URLs: {location}");
        assert_eq!(curl(&[&way[..], &[location]].concat()).json()["sha256"], first.json()["sha256"]);
        let form = curl(&[&way[..], &["-F", &format!("file=@{path}"), &open]].concat());
        assert_eq!((form.status, &form.json()["id"]), (201, &first.json()["id"]), "{form:?}");
    }
    // The path's token counts where both are given: scripts send a password wherever one is set.
    let answer = curl(&["-u", "other:wrong", "-T", &path, &format!("{link}/")]);
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[test]
fn missing_or_wrong_token_is_401() {
    let world = SHARED.world();
    let path = world.path("none.log", &noise(2_000_000, 1));
    let staff = format!("any:{}", world.sandbox.text("/staff_token"));
    for way in [
        &[][..],
        &["-u", "any:wrong"],
        &["-u", &staff],
        &["-H", "Authorization: Bearer wrong"],
        &["-H", "Authorization: Bearer"],
        &["-H", "Authorization: Basic !!!"],
        &["-H", "Authorization: Basic YQ=="],
        &["-H", "Authorization: Digest x"],
    ] {
        for below in ["", "a.log", "uploads/01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            let url = format!("{}/u/-/{below}", world.gateway.url);
            let send: &[&str] = if below.starts_with("uploads") { &[] } else { &["-T", &path] };
            let answer = curl(&[way, send, &[&url]].concat());
            refused(&answer, 401, "/problems/unauthorized");
            assert!(answer.headers.contains_key("www-authenticate"), "{answer:?}");
        }
    }
    let raw = RawClient::request("GET", &format!("{}/u/-/", world.gateway.url), &[]).answer().unwrap();
    assert!(raw.headers["www-authenticate"].starts_with("Bearer"), "both ways are offered: {raw:?}");
}

#[test]
fn unknown_link_is_always_404() {
    let world = SHARED.world();
    let path = world.path("unknown.log", b"unknown");
    let almost = &world.link("acme")[..world.link("acme").len() - 1];
    for link in [&format!("{}/u/no-such-token", world.gateway.url), almost] {
        for (method, below) in [
            ("GET", ""),
            ("PUT", "/a.log"),
            ("POST", ""),
            ("OPTIONS", ""),
            ("GET", "/uploads/x"),
            ("DELETE", "/uploads/x"),
        ] {
            let answer = curl(&[
                "-X",
                method,
                "-H",
                "Content-Type: multipart/form-data; boundary=x",
                &format!("{link}{below}"),
            ]);
            refused(&answer, 404, "/problems/unknown-link");
        }
        refused(&curl(&["-T", &path, &format!("{link}/")]), 404, "/problems/unknown-link");
    }
}

#[test]
fn expired_link_is_gone() {
    let world = SHARED.world();
    let link = world.gateway.make_link(&["--partner", "acme", "--ticket", "1002", "--expires", "1s"]);
    eventually("the link expires", || (curl(&[&link]).status == 410).then_some(()));
    let path = world.path("late.log", b"late");
    refused(&curl(&["-T", &path, &format!("{link}/")]), 410, "/problems/link-expired");
    refused(&curl(&["-F", &format!("file=@{path}"), &link]), 410, "/problems/link-expired");
    refused(&curl(&[&link]), 410, "/problems/link-expired");
    let user = format!("any:{}", token(&link));
    refused(
        &curl(&["-u", &user, "-T", &path, &format!("{}/u/-/", world.gateway.url)]),
        410,
        "/problems/link-expired",
    );
}

#[tokio::test]
async fn revoked_link_stops_running_uploads() {
    let world = World::start();
    let link = world.gateway.make_link(&["--partner", "acme", "--ticket", "1002"]);
    let path = world.path("before.log", b"before");
    let before = curl(&["-T", &path, &format!("{link}/")]);
    assert_eq!(before.status, 201, "{before:?}");
    let bytes = noise(10_000_000, 2);
    let url = format!("{link}/under-way.bin");
    let mut under_way = RawClient::request("PUT", &url, &["Content-Length: 10000000"]);
    assert!(under_way.send(&bytes[..9_000_000]));
    world.until_open(1);
    world.gateway.admin_ok(&["link", "revoke", &newest_link_id(&world, "acme")]);
    refused(&curl(&["-T", &path, &format!("{link}/")]), 410, "/problems/link-expired");
    refused(&curl(&[&before.headers["location"]]), 410, "/problems/link-expired");
    under_way.send(&bytes[9_000_000..]);
    let ended = under_way.answer().unwrap();
    refused(&ended, 410, "/problems/link-expired");
    world.until_at_rest();
    world.gateway.sweep();
    let stored = world.stored().await;
    assert!(stored.len() == 1 && stored[0].ends_with("/before.log"), "what arrived before stays: {stored:?}");
}

#[test]
fn upload_may_finish_after_its_link_expired() {
    let world = SHARED.world();
    let link = world.gateway.make_link(&["--partner", "acme", "--ticket", "1002", "--expires", "3s"]);
    let mut raw = RawClient::request("PUT", &format!("{link}/in-time.log"), &["Content-Length: 10"]);
    raw.send(b"01234");
    eventually("the link expires", || (curl(&[&link]).status == 410).then_some(()));
    raw.send(b"56789");
    let answer = raw.answer().unwrap();
    assert_eq!((answer.status, answer.json()["size"].as_u64()), (201, Some(10)), "{answer:?}");
}

#[test]
fn disabled_partner_cannot_send() {
    let world = World::start();
    let path = world.path("a.log", b"a");
    world.gateway.admin_ok(&["partner", "disable", "globex"]);
    refused(&curl(&["-T", &path, &format!("{}/", world.link("globex"))]), 410, "/problems/link-expired");
    assert_eq!(curl(&["-T", &path, &format!("{}/", world.link("acme"))]).status, 201);
    world.gateway.admin_ok(&["partner", "enable", "globex"]);
    assert_eq!(curl(&["-T", &path, &format!("{}/", world.link("globex"))]).status, 201);
}

#[test]
fn uploads_of_other_links_are_hidden() {
    let world = SHARED.world();
    let receipt = world.sandbox.sent(&world.link("globex"), "mine.log", b"mine");
    let id = receipt["id"].as_str().unwrap();
    let same_partner =
        world.gateway.make_link(&["--partner", "globex", "--ticket", "2001", "--rights", "list,remove"]);
    for link in [world.link("acme"), same_partner] {
        let tus = ["-H", "Tus-Resumable: 1.0.0", "-H", "Content-Type: application/offset+octet-stream"];
        let draft = ["-H", "Upload-Complete: ?1", "-H", "Content-Type: application/partial-upload"];
        for (method, more) in [
            ("GET", &[][..]),
            ("DELETE", &[]),
            ("PUT", &["-H", "Content-Range: bytes 0-0/1", "-d", "x"]),
            ("PUT", &["-H", "Upload-Offset: 4", "-d", "x"]),
            ("PUT", &["-H", "Content-Encoding: gzip", "-d", "x"]),
            ("PATCH", &[&tus[..], &["-H", "Upload-Offset: 0", "-d", "x"]].concat()),
            ("PATCH", &[&tus[..], &["-d", "x"]].concat()),
            ("PATCH", &[&draft[..], &["-H", "Upload-Offset: 4", "-d", "x"]].concat()),
            ("PATCH", &["-d", "x"]),
        ] {
            let ask = |id: &str| {
                let all = ["-X", method, "-H", "X-Request-Id: of-a-test"];
                let mut answer = curl(&[&all[..], more, &[&format!("{link}/uploads/{id}")]].concat());
                answer.headers.remove("date");
                answer
            };
            let (other, unknown) = (ask(id), ask("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
            let coded = more.contains(&"Content-Encoding: gzip");
            assert_eq!(other.status, if coded { 415 } else { 404 }, "{other:?}");
            assert_eq!(
                (&other.headers, &other.body),
                (&unknown.headers, &unknown.body),
                "no difference to be seen"
            );
        }
        let head = curl(&["-I", &format!("{link}/uploads/{id}")]);
        assert!(head.status == 404 && !head.headers.contains_key("upload-offset"), "{head:?}");
    }
    assert_eq!(curl(&[&format!("{}/uploads/{id}", world.link("globex"))]).status, 200, "it is still there");
}

#[tokio::test]
async fn listing_and_removing_need_rights() {
    let world = SHARED.world();
    let make = |rights: &[&str]| {
        world.gateway.make_link(&[&["--partner", "acme", "--ticket", "1002"], rights].concat())
    };
    let bare = make(&[]);
    let path = world.path("rights.log", b"rights");
    let receipt = curl(&["-T", &path, &format!("{bare}/")]);
    refused(&curl(&[&format!("{bare}/uploads")]), 403, "/problems/not-allowed");
    refused(&curl(&["-X", "DELETE", &receipt.headers["location"]]), 403, "/problems/not-allowed");
    assert_eq!(curl(&[&receipt.headers["location"]]).status, 200, "its own receipt it may see");

    let full = make(&["--rights", "list,remove"]);
    let kept = world.sandbox.sent(&full, "kept.log", b"kept");
    let removed = world.sandbox.sent(&full, "removed.log", b"removed");
    let ids = |link: &str| {
        let listing = curl(&[&format!("{link}/uploads")]).json();
        listing["uploads"].as_array().unwrap().iter().map(|upload| upload["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&full), [removed["id"].clone(), kept["id"].clone()], "its own, newest first");
    let location = format!("{full}/uploads/{}", removed["id"].as_str().unwrap());
    assert_eq!(curl(&["-X", "DELETE", &location]).status, 204);
    for method in ["GET", "DELETE"] {
        refused(&curl(&["-X", method, &location]), 410, "/problems/upload-gone");
    }
    assert_eq!(curl(&["-I", &location]).status, 410);
    assert_eq!(ids(&full), [kept["id"].clone()]);
    world.gateway.sweep();
    tests::eventually_async("nothing is left of it", async || {
        let bucket = world.sandbox.bucket(None).await;
        let left = tests::objects(&bucket).await;
        (!left.iter().any(|key| key.contains(removed["id"].as_str().unwrap()))).then_some(())
    })
    .await;
    // It can be sent again, as a new upload.
    let again = world.sandbox.sent(&full, "removed.log", b"removed");
    assert_ne!(again["id"], removed["id"]);
}

/// What the gateway has seen of another partner's tickets is no help in trying numbers, least of all while the desk is down.
#[tokio::test]
async fn tickets_of_other_partners_look_missing() {
    let world = World::start();
    let path = world.path("seen.log", b"seen");
    let [acme, globex] = ["acme", "globex"].map(|partner| world.gateway.make_link(&["--partner", partner]));
    let send = |link: &str, ticket: &str| curl(&["-T", &path, &format!("{link}/a.log?ticket={ticket}")]);
    assert_eq!(send(&globex, "2001").status, 201, "seen now");
    // Just looked up: a ticket of another partner, and one that does not exist.
    for ticket in ["2002", "777777"] {
        refused(&send(&acme, ticket), 404, "/problems/unknown-ticket");
    }
    world.until_at_rest();
    let down = json!({"service": "desk", "operation": "*", "times": 0, "fault": "status", "status": 503});
    world.sandbox.fault(down).await;
    let same = |seen: &str, unknown: &str| {
        let [seen, unknown] = [seen, unknown].map(|ticket| send(&acme, ticket));
        assert_eq!(
            (seen.status, seen.problem()),
            (unknown.status, unknown.problem()),
            "{seen:?} {unknown:?}"
        );
        (seen.status, seen.problem())
    };
    assert_eq!(same("2001", "424242"), (503, "/problems/unavailable".to_owned()));
    same("2002", "777777");
    world.sandbox.clear_faults().await;
    assert_eq!(same("2001", "424242"), (404, "/problems/unknown-ticket".to_owned()));
    assert_eq!(send(&globex, "2001").status, 201, "it is its own partner's all the time");
}

/// The first lookup of another partner's ticket costs as much as one that does not exist: as many desk calls, and no write.
#[tokio::test]
async fn lookup_time_reveals_no_ticket() {
    let world = World::start_with_file();
    let path = world.path("seen.log", b"seen");
    let link = world.gateway.make_link(&["--partner", "acme"]);
    let log = world.sandbox.data().join("ledger.db-wal");
    let mut work = Vec::new();
    // The first call of all to the desk asks for a token, too.
    refused(&curl(&["-T", &path, &format!("{link}/a.log?ticket=999999")]), 404, "/problems/unknown-ticket");
    for ticket in ["2001", "777777", "2002", "888888"] {
        let (before, calls) =
            (std::fs::read(&log).unwrap(), world.sandbox.faults().await["calls"]["desk"].clone());
        let answer = curl(&["-T", &path, &format!("{link}/a.log?ticket={ticket}")]);
        refused(&answer, 404, "/problems/unknown-ticket");
        let after = world.sandbox.faults().await["calls"]["desk"].clone();
        let made = |calls: &serde_json::Value| {
            calls.as_object().map_or(0, |calls| calls.values().filter_map(serde_json::Value::as_u64).sum())
        };
        let made: u64 = made(&after) - made(&calls);
        work.push((made, std::fs::read(&log).unwrap() == before));
    }
    assert!(
        work.iter().all(|each| *each == (1, true)),
        "calls, and whether the ledger is as before: {work:?}"
    );
}

/// A browser asks first, and sends no credentials with that (Fetch standard, CORS-preflight fetch).
#[test]
fn cors_preflight_allows_the_token_header() {
    let world = SHARED.world();
    let ahead = ["Origin: https://app.example", "Access-Control-Request-Method: POST"];
    for below in ["", "uploads", "uploads/01ARZ3NDEKTSV4RRFFQ69G5FAV", "a.log"] {
        let url = format!("{}/u/-/{below}", world.gateway.url);
        let answer = ask("OPTIONS", &url, &ahead, b"").is(204).has("access-control-allow-origin", "*");
        for (header, named) in [
            ("access-control-allow-headers", "Authorization"),
            ("access-control-allow-headers", "Tus-Resumable"),
            ("access-control-allow-methods", "PATCH"),
        ] {
            assert!(answer.header(header).contains(named), "{answer:?}");
        }
        let answer = answer.lacks("upload-limit").lacks("tus-max-size");
        assert_eq!(answer.body, "", "nothing of any link");
        // Anything else needs the token; a wrong one is reported.
        ask("OPTIONS", &url, &ahead[..1], b"").refuses(401, "/unauthorized");
        ask("OPTIONS", &url, &[ahead[1], "Authorization: Bearer wrong"], b"").refuses(401, "/unauthorized");
    }
    let link = world.link("acme");
    let bearer = format!("Authorization: Bearer {}", token(&link));
    let open = format!("{}/u/-/", world.gateway.url);
    let limits = ask("OPTIONS", &open, &[ahead[0], ahead[1], &bearer], b"").is(200).json();
    assert_eq!(limits["ticket"], "1001");
}
