//! `/support` in a browser: signing in, what the pages show, and what they change.

use tests::{Answer, World, curl, eventually};

const BROWSER: [&str; 2] = ["-H", "Accept: text/html"];

struct Browser {
    base: String,
    cookie: String,
}

impl Browser {
    /// Signs in.
    fn new(world: &World, token: &str) -> Self {
        let base = world.sandbox.text("/url");
        let answer = curl(
            &[
                &BROWSER[..],
                &["--data-urlencode", &format!("token={token}"), "-d", "next=/support/links"],
                &[&format!("{base}/support/login")],
            ]
            .concat(),
        );
        assert_eq!(
            (answer.status, answer.headers["location"].as_str()),
            (303, "/support/links"),
            "{answer:?}"
        );
        let cookie = answer.headers["set-cookie"].clone();
        for part in ["HttpOnly", "SameSite=Lax", "Path=/support", "Max-Age=43200"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        Self { base, cookie: format!("Cookie: {}", cookie.split(';').next().unwrap()) }
    }

    fn get(&self, path: &str) -> Answer {
        curl(&[&BROWSER[..], &["-H", &self.cookie, &format!("{}{path}", self.base)]].concat())
    }

    fn post(&self, path: &str, csrf: &str, fields: &[&str]) -> Answer {
        let csrf = format!("csrf={csrf}");
        let mut arguments = [&BROWSER[..], &["-H", &self.cookie, "--data-urlencode", &csrf]].concat();
        arguments.extend(fields.iter().flat_map(|field| ["--data-urlencode", *field]));
        let url = format!("{}{path}", self.base);
        arguments.push(&url);
        curl(&arguments)
    }

    fn csrf(&self) -> String {
        let page = self.get("/support");
        page.body.split_once("name=\"csrf\" value=\"").unwrap().1.split('"').next().unwrap().to_owned()
    }
}

#[tokio::test]
async fn support_finds_downloads_and_acts_in_a_browser() {
    let world = World::start();
    let (sandbox, link) = (&world.sandbox, world.link("acme"));
    let receipt = sandbox.sent(&link, "100%_core <b>.log", b"core");
    let id = receipt["id"].as_str().unwrap();
    sandbox.sent(&link, "other.log", b"other");
    // The link in a ticket's note leads a browser here, and a program to its 401.
    let content = format!("{}/api/v1/uploads/{id}/content", sandbox.text("/url"));
    let led = curl(&[&BROWSER[..], &[&content]].concat());
    assert_eq!((led.status, led.headers["location"].clone()), (303, format!("/support/uploads/{id}")));
    assert_eq!(curl(&[&content]).status, 401);
    let page = format!("{}/support/uploads/{id}", sandbox.text("/url"));
    let login = curl(&[&BROWSER[..], &[&page]].concat());
    assert_eq!(login.status, 401);
    for part in ["Staff token", &format!("name=\"next\" value=\"/support/uploads/{id}\"")] {
        assert!(login.body.contains(part) && !login.body.contains("core"), "{part}: {login:?}");
    }

    let browser = Browser::new(&world, &sandbox.text("/staff_token"));
    for (query, found) in [
        ("", 2),
        ("?ticket=1001", 2),
        ("?ticket=%231001&partner=acme", 2),
        ("?partner=globex", 0),
        ("?name=CORE", 1),
        ("?name=%25_c", 1),
        ("?name=_____________________________", 0),
    ] {
        let listed = browser.get(&format!("/support{query}"));
        assert_eq!(listed.status, 200, "{listed:?}");
        let count = listed.body.matches("/support/uploads/").count();
        assert_eq!(count, found, "{query}: {listed:?}");
        assert!(!listed.body.contains("<b>"), "{listed:?}");
    }
    assert!(browser.get("/support?ticket=1001").body.contains("About acme"), "the notes about the partner");
    assert_eq!(browser.get("/support?partner=nobody").status, 404);
    let shown = browser.get(&format!("/support/uploads/{id}"));
    assert!(shown.body.contains(receipt["sha256"].as_str().unwrap()), "{shown:?}");
    let bytes = browser.get(&format!("/support/uploads/{id}/content"));
    assert!(bytes.status == 302 || (bytes.status == 200 && bytes.body == "core"), "{bytes:?}");

    // Changes need the form's own token.
    let csrf = browser.csrf();
    let fields = ["partner=acme", "ticket=1001"];
    for wrong in ["", "x", &format!("{csrf}x")] {
        assert_eq!(browser.post("/support/links", wrong, &fields).status, 403, "{wrong}");
    }
    let made = browser.post("/support/links", &csrf, &fields);
    assert_eq!(made.status, 200, "{made:?}");
    let url = made.body.split_once("id=\"made\">").unwrap().1.split('<').next().unwrap().to_owned();
    sandbox.sent(&url, "by-new-link.log", b"new");
    let revoke = made.body.split_once("/support/links/").unwrap().1;
    let revoke = format!("/support/links/{}", revoke.split('"').next().unwrap());
    assert_eq!(browser.post(&revoke, &csrf, &[]).status, 303);
    assert_eq!(curl(&[&url]).status, 410);
    let escalated = curl(&[
        "-H",
        "Content-Type: application/json",
        "-d",
        r#"{"reason":"down","actions":"call"}"#,
        &format!("{link}/escalate"),
    ]);
    let reference = escalated.json()["reference"].as_str().unwrap().to_owned();
    assert!(browser.get("/support/escalations").body.contains(&reference));
    let change = format!("/support/escalations/{}", escalated.json()["id"].as_str().unwrap());
    assert_eq!(browser.post(&change, &csrf, &["state=declined"]).status, 422);
    assert_eq!(browser.post(&change, &csrf, &["state=resolved"]).status, 303);
    eventually("it is closed", || {
        (!browser.get("/support/escalations").body.contains(&reference)).then_some(())
    });

    // Signed out, the cookie is worth nothing; nor is it after its staff token was revoked.
    assert_eq!(browser.post("/support/logout", &csrf, &[]).status, 303);
    assert_eq!(browser.get("/support").status, 401);
    let leaver = world.gateway.admin_ok(&["token", "create", "--name", "leaver"]).trim().to_owned();
    let browser = Browser::new(&world, &leaver);
    assert_eq!(browser.get("/support").status, 200);
    let tokens = world.gateway.admin_ok(&["token", "list"]);
    let line = tokens.lines().find(|line| line.contains("leaver")).unwrap();
    let id = serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    world.gateway.admin_ok(&["token", "revoke", &id]);
    assert_eq!(browser.get("/support").status, 401);
    let wrong = curl(
        &[&BROWSER[..], &["-d", "token=wrong", &format!("{}/support/login", sandbox.text("/url"))]].concat(),
    );
    assert!(wrong.status == 401 && wrong.body.contains("not a valid staff token"), "{wrong:?}");
    assert!(!wrong.headers.contains_key("set-cookie"));
}
