//! `link create` and `link revoke`.

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
