//! Every route of the staff API needs a valid token.

use serde_json::Value;
use tests::{World, curl};

#[tokio::test]
async fn invalid_token_gets_nothing() {
    let World { gateway, sandbox } = World::start();
    let id = sandbox.sent(&sandbox.link("acme"), "a.log", b"a")["id"].as_str().unwrap().to_owned();
    let revoked = gateway.admin_ok(&["token", "create", "--name", "leaver"]).trim().to_owned();
    assert_eq!(sandbox.staff_as(&revoked, "/uploads", &[]).status, 200);
    let listed = gateway.admin_ok(&["token", "list"]);
    let of_leaver = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_leaver = of_leaver.into_iter().find(|token| token["name"] == "leaver").unwrap();
    gateway.admin_ok(&["token", "revoke", of_leaver["id"].as_str().unwrap()]);
    let expired =
        gateway.admin_ok(&["token", "create", "--name", "short", "--expires", "0s"]).trim().to_owned();
    let link_token = sandbox.link("acme").rsplit('/').next().unwrap().to_owned();
    for (method, path) in [
        ("GET", "/uploads".to_owned()),
        ("GET", format!("/uploads/{id}")),
        ("GET", format!("/uploads/{id}/content")),
        ("DELETE", format!("/uploads/{id}")),
        ("GET", "/partners".to_owned()),
        ("GET", "/partners/acme".to_owned()),
        ("GET", "/partners/acme/objects".to_owned()),
        ("GET", "/partners/globex/object?key=a".to_owned()),
        ("POST", "/partners/globex/object?key=a".to_owned()),
        ("GET", "/audit".to_owned()),
        ("GET", "/tickets/1001/asks".to_owned()),
        ("POST", "/tickets/1001/asks".to_owned()),
        ("DELETE", "/tickets/1001/asks/x".to_owned()),
        ("GET", "/tickets/1001/hold".to_owned()),
        ("POST", "/tickets/1001/hold".to_owned()),
        ("DELETE", "/tickets/1001/hold".to_owned()),
        ("POST", "/links/x/renew".to_owned()),
        ("POST", "/links".to_owned()),
        ("DELETE", "/links/x".to_owned()),
        ("GET", "/partners/acme/contacts".to_owned()),
        ("POST", "/partners/acme/contacts".to_owned()),
        ("DELETE", "/partners/acme/contacts/x".to_owned()),
        ("GET", "/escalations".to_owned()),
        ("POST", "/escalations".to_owned()),
        ("GET", "/escalations/x".to_owned()),
        ("PATCH", "/escalations/x".to_owned()),
    ] {
        for token in ["wrong", &revoked, &expired, &link_token, ""] {
            let what = format!("{method} {path} with `{token}`");
            let answer = sandbox.staff_as(token, &path, &["-X", method]);
            assert_eq!((answer.status, answer.problem().as_str()), (401, "/problems/unauthorized"), "{what}");
            assert!(answer.headers.contains_key("www-authenticate"), "{what}");
        }
        let bare = curl(&["-X", method, &format!("{}/api/v1{path}", sandbox.text("/url"))]);
        let unauthorized = (401, "/problems/unauthorized");
        assert_eq!((bare.status, bare.problem().as_str()), unauthorized, "{method} {path} without a token");
    }
    assert_eq!(sandbox.listed("1001").len(), 1, "nothing was removed");
}
