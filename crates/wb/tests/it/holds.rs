//! `hold`.

use serde_json::json;

use crate::Setup;
use crate::fake::Place;

#[test]
fn a_hold_is_added_shown_and_lifted() {
    let setup = Setup::new();
    let missing = setup.wb(&["hold", "show", "1001"]).ends(3);
    assert!(missing.stderr.contains("Ticket 1001 has no hold"), "{}", missing.stderr);
    let added = setup.wb(&["hold", "add", "#1001", "--reason", "A\u{1b}[2J lawsuit"]).ends(0).text();
    assert!(added.starts_with("ticket 1001  held since 2026-11-22T10:00:00Z by staff:01S: A"), "{added}");
    assert!(!added.contains('\u{1b}'), "{added:?}");
    assert_eq!(setup.fake.seen(Place::Gateway)[1].body, json!({"reason": "A\u{1b}[2J lawsuit"}));
    let shown = setup.wb(&["--json", "hold", "show", "1001"]).ends(0).objects();
    assert_eq!(shown[0]["ticket"], "1001");
    let lifted = setup.wb(&["--json", "hold", "lift", "1001"]).ends(0).objects();
    assert_eq!(lifted, [json!({"id": "1001", "lifted": true})]);
    setup.wb(&["hold", "lift", "1001"]).ends(3);
    setup.wb(&["hold", "add", "1001"]).ends(2);
    setup.wb(&["hold", "add", "1001", "--reason", ""]).ends(2);
    setup.wb(&["--s3", "s3://b", "hold", "show", "1001"]).ends(2);
}
