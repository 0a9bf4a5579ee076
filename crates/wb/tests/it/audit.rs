//! `audit`.

use serde_json::{Value, json};

use crate::Setup;
use crate::fake::Place;

fn entry(id: &str, actor: &str, action: &str, ticket: &str, detail: &str) -> Value {
    json!({
        "id": id, "at": "2026-11-22T10:00:00.123Z", "actor": actor, "actor_name": (actor == "staff:01S").then_some("Ada"),
        "action": action, "subject": "01U", "ticket": ticket, "partner": "acme", "detail": detail, "from_the_future": 1,
    })
}

fn setup() -> Setup {
    let setup = Setup::new();
    setup.fake.state().audit = vec![
        entry("01A", "link:01L", "upload.complete", "1001", ""),
        entry("01B", "staff:01S", "upload.read", "1001", "\u{1b}[2J"),
        entry("01C", "gateway", "upload.remove", "1001", "retention"),
        entry("01D", "link:01L", "upload.complete", "1002", ""),
    ];
    setup
}

#[test]
fn the_audit_is_a_table_or_json_lines() {
    let setup = setup();
    let text = setup.wb(&["audit", "--ticket", "#1001"]).ends(0).text();
    let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["AT", "WHO", "WHAT", "ABOUT", "TICKET", "DETAIL"]);
    assert_eq!(lines[1], ["2026-11-22T10:00:00Z", "link:01L", "upload.complete", "01U", "1001", "-"]);
    assert_eq!(lines[2][1..3], ["Ada", "upload.read"]);
    assert_eq!(lines[3][1..3], ["gateway", "upload.remove"], "the second page is printed, too");
    assert_eq!(lines.len(), 4, "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let objects = setup.wb(&["audit", "--json"]).ends(0).objects();
    assert_eq!(json!(objects), json!(setup.fake.state().audit), "every field is kept");
}

#[test]
fn the_audit_is_filtered_by_the_gateway() {
    let setup = setup();
    let filters = ["audit", "--ticket", "9", "--partner", "acme", "--since", "2026-11-22"];
    let none = setup.wb(&filters).ends(0);
    assert!(none.stdout.is_empty() && none.stderr.contains("no entries found"), "{}", none.stderr);
    let target = &setup.fake.seen(Place::Gateway)[0].target;
    assert_eq!(*target, "/api/v1/audit?ticket=9&partner=acme&since=2026-11-22T00%3A00%3A00Z");
    let unknown = setup.wb(&["audit", "--partner", "acmee"]).ends(3);
    assert!(unknown.stderr.contains("No partner has the ID `acmee`"), "{}", unknown.stderr);
    setup.wb(&["audit", "--since", "once"]).ends(2);
    setup.wb(&["--s3", "s3://b", "audit"]).ends(2);
}
