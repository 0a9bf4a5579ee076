//! `link create`, `link list`, `link renew` and `link revoke`.

use serde_json::json;

use crate::Setup;
use crate::fake::Place;

#[test]
fn create_prints_the_url_alone() {
    let setup = Setup::new();
    let arguments =
        ["link", "create", "--partner", "acme", "--ticket", "1001", "--rights", "list,open-ticket"];
    let run = setup.wb(&[&arguments[..], &["--expires", "48h", "--max-bytes", "20GB"]].concat()).ends(0);
    assert_eq!(run.text(), "https://host/u/CAPABILITY\n");
    assert!(run.stderr.contains("link L1 for acme, ticket 1001"), "{}", run.stderr);
    let body = &setup.fake.seen(Place::Gateway)[0].body;
    let expected = json!({"partner": "acme", "ticket": "1001", "rights": ["upload", "list", "open-ticket"],
        "expires_in_s": 172_800, "max_bytes": 20_000_000_000_u64});
    assert_eq!(*body, expected);
}

#[test]
fn create_leaves_defaults_to_the_gateway() {
    let setup = Setup::new();
    let run = setup.wb(&["--json", "link", "create", "--partner", "acme"]).ends(0);
    assert_eq!(run.objects()[0]["id"], "L1");
    assert_eq!(setup.fake.seen(Place::Gateway)[0].body, json!({"partner": "acme", "rights": ["upload"]}));
    setup.wb(&["link", "create", "--partner", "nobody"]).ends(3);
    setup.wb(&["link", "create"]).ends(2);
    setup.wb(&["link", "create", "--partner", "acme", "--rights", "everything"]).ends(2);
    setup.wb(&["link", "create", "--partner", "acme", "--expires", "soon"]).ends(2);
}

#[test]
fn create_sends_limits_and_prints_a_warning() {
    let setup = Setup::new();
    let limits = ["--max-open", "3", "--max-unfinished-bytes", "2TB", "--max-requests-per-minute", "60"];
    let link = ["link", "create", "--partner", "acme", "--ticket", "404"];
    let run = setup.wb(&[&link[..], &limits].concat()).ends(0);
    assert_eq!(run.text(), "https://host/u/CAPABILITY\n");
    assert!(run.stderr.contains("Ticket 404 was not checked"), "{}", run.stderr);
    let expected = json!({"partner": "acme", "ticket": "404", "rights": ["upload"], "max_open": 3,
        "max_unfinished_bytes": 2_000_000_000_000_u64, "max_requests_per_minute": 60});
    assert_eq!(setup.fake.seen(Place::Gateway)[0].body, expected);
    setup.wb(&["link", "create", "--partner", "acme", "--max-open", "many"]).ends(2);
}

#[test]
fn revoke() {
    let setup = Setup::new();
    setup.wb(&["link", "revoke", "L1"]).ends(0);
    let run = setup.wb(&["link", "revoke", "L0", "L1", "--json"]).ends(3);
    assert!(run.stderr.contains("revoked before"), "{}", run.stderr);
    assert_eq!(run.objects(), [json!({"id": "L1", "revoked": true})]);
}

#[test]
fn list_is_a_table_or_json_lines() {
    let setup = Setup::new();
    let link = |id: &str, ticket: &str, revoked: Option<&str>| {
        json!({"id": id, "partner": "acme", "ticket": ticket, "rights": ["upload", "list"], "created_by": "gateway",
            "expires_at": "2026-11-24T10:00:00Z", "revoked_at": revoked, "from_the_future": 1})
    };
    setup.fake.state().links =
        vec![link("L2", "1002", None), link("L1", "1001", Some("2026-11-23T10:00:00Z"))];
    let text = setup.wb(&["link", "list"]).ends(0).text();
    let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["ID", "PARTNER", "TICKET", "RIGHTS", "EXPIRES", "CREATED", "BY"]);
    assert_eq!(lines[1], ["L2", "acme", "1002", "upload,list", "2026-11-24T10:00:00Z", "gateway"]);
    assert_eq!(lines[2][4], "revoked");
    let filtered =
        setup.wb(&["--json", "link", "list", "--ticket", "#1001", "--partner", "acme"]).ends(0).objects();
    let known: Vec<_> =
        filtered.iter().map(|link| (link["id"].as_str(), link["from_the_future"].as_i64())).collect();
    assert_eq!(known, [(Some("L1"), Some(1))]);
    assert!(setup.wb(&["link", "list", "--ticket", "9"]).ends(0).stderr.contains("no links found"));
    let unknown = setup.wb(&["link", "list", "--partner", "acmee"]).ends(3);
    assert!(unknown.stderr.contains("No partner has the ID `acmee`"), "{}", unknown.stderr);
}

#[test]
fn renew() {
    let setup = Setup::new();
    let run = setup.wb(&["link", "renew", "L0", "L1", "--expires", "7d"]).ends(3);
    assert_eq!(run.text(), "L1  works until 2026-12-01T10:00:00Z\n");
    assert!(run.stderr.contains("No upload link has the ID `L0`"), "{}", run.stderr);
    assert_eq!(setup.fake.seen(Place::Gateway)[1].body, json!({"expires_in_s": 604_800}));
    setup.wb(&["link", "renew", "L1"]).ends(0);
    assert_eq!(setup.fake.seen(Place::Gateway)[2].body, json!({}));
    setup.wb(&["link", "renew"]).ends(2);
}
