//! No secret in the log at any level: tokens in paths and headers, credentials of store and desk, signatures.

use serde_json::json;
use tests::{RawClient, Sandbox, World, curl, eventually, noise};

/// What the log shows in place of a secret.
fn lines_with<'l>(log: &'l str, secret: &str) -> Vec<&'l str> {
    log.lines().filter(|line| line.contains(secret)).collect()
}

/// Everything that carries a secret, once well and once not. Answers secrets that came up on the way.
async fn everything(world: &World) -> Vec<String> {
    let World { sandbox, gateway } = world;
    let mut secrets = Vec::new();
    let (small, large) = (world.path("s.log", b"small"), world.path("l.bin", &noise(21_000_000, 1)));
    let open = format!("{}/u/-/", gateway.url);
    let form = format!("file=@{small}");
    for link in [world.link("acme"), world.link("globex")] {
        let token = link.rsplit('/').next().unwrap().to_owned();
        let (bearer, user) = (format!("Authorization: Bearer {token}"), format!("any:{token}"));
        for arguments in [
            &["-T", &small, &format!("{link}/")][..],
            &["-T", &large, &format!("{link}/")],
            &["-F", &form, &link],
            &["-H", &bearer, "-T", &small, &open],
            &["-u", &user, "-F", &form, &open],
        ] {
            let answer = curl(arguments);
            assert_eq!(answer.status, 201, "{arguments:?}: {answer:?}");
            assert_eq!(curl(&["-u", &user, &answer.headers["location"]]).status, 200);
        }
        // The same token in a wrong place, and requests that fail.
        for (arguments, status) in [
            (&["-T", &small, &format!("{link}x/")][..], 404),
            (&["-H", &format!("{bearer}x"), "-T", &small, &open], 401),
            (&["-H", &bearer, &format!("{}/api/v1/uploads", gateway.url)], 401),
            (&["-T", &small, &format!("{link}/a%2Fb")], 400),
            (&["-T", &small, &format!("{link}/a?ticket=9")], 404),
            (&["-X", "LOCK", &link], 405),
            (&[&format!("{link}/uploads/{token}")], 404),
            (&[&format!("{}/{token}", gateway.url)], 404),
        ] {
            let answer = curl(arguments);
            assert_eq!(answer.status, status, "{arguments:?}: {answer:?}");
        }
        let mut broken = RawClient::request("PUT", &format!("{link}/broken.bin"), &["Content-Length: 100"]);
        broken.send(b"x");
        broken.half_close();
        assert_eq!(broken.answer().unwrap().status, 400);
        secrets.push(token);
    }
    let wrong = "wrong-staff-token-0123456789abcdef";
    assert_eq!(sandbox.staff_as(wrong, "/uploads", &[]).status, 401);
    assert_eq!(sandbox.staff("/uploads?token=in-the-query-0123456789", &[]).status, 400);
    secrets.extend([wrong, "in-the-query-0123456789"].map(str::to_owned));
    for upload in [sandbox.listed("1001"), sandbox.listed("2001")].concat() {
        let path = format!("/uploads/{}/content", upload["id"].as_str().unwrap());
        let presigned = sandbox.staff(&path, &[]);
        let location = &presigned.headers["location"];
        let signature = location.split("X-Amz-Signature=").nth(1).unwrap().split('&').next().unwrap();
        assert_eq!((signature.len(), curl(&["-o", "/dev/null", location]).status), (64, 200));
        secrets.push(signature.to_owned());
        assert_eq!(sandbox.staff(&format!("{path}?via=gateway"), &["-o", "/dev/null"]).status, 200);
        assert_eq!(sandbox.staff(&format!("/uploads/{}", upload["id"].as_str().unwrap()), &[]).status, 200);
    }
    let body = json!({"partner": "acme", "ticket": "1002"}).to_string();
    let made = sandbox.staff("/links", &["-H", "Content-Type: application/json", "-d", &body]).json();
    secrets.push(made["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned());
    let id = made["id"].as_str().unwrap();
    assert_eq!(sandbox.staff(&format!("/links/{id}"), &["-X", "DELETE"]).status, 204);
    assert_eq!(curl(&["-T", &small, &format!("{}/", made["url"].as_str().unwrap())]).status, 410);
    secrets
}

/// Errors from store and desk: their log lines must not quote a request.
async fn trouble(world: &World) {
    let World { sandbox, .. } = world;
    sandbox.clear_faults().await;
    for rule in [
        json!({"service": "desk", "operation": "UpdateTicket", "fault": "status", "status": 503}),
        json!({"service": "desk", "operation": "CreateUpload", "fault": "reset"}),
        json!({"service": "desk", "operation": "ShowTicket", "fault": "corrupt"}),
        json!({"service": "desk", "operation": "Me", "fault": "status", "status": 401}),
        json!({"service": "s3", "operation": "PutObject", "fault": "status", "status": 403}),
        json!({"service": "s3", "operation": "PutObject", "fault": "reset"}),
    ] {
        sandbox.fault(rule).await;
    }
    let refused = sandbox.send(&sandbox.link("acme"), "refused.log", b"refused");
    assert_eq!(refused.status, 503, "{refused:?}");
    let id = sandbox.sent(&sandbox.link("acme"), "trouble.log", b"trouble")["id"].clone();
    eventually("the ticket has its note after all", || {
        let upload = sandbox.staff(&format!("/uploads/{}", id.as_str().unwrap()), &[]).json();
        (upload["delivery"] == "done").then_some(())
    });
}

#[tokio::test]
async fn no_secret_at_any_log_level() {
    let sandbox = Sandbox::start_embedded();
    let config = sandbox.data().join("serve.toml");
    let mut gateway = sandbox.gateway_with(|config| {
        config.insert("log".into(), toml::Table::from_iter([("level".into(), "trace".into())]).into());
    });
    // The second start finds the ledger migrated.
    gateway.kill();
    gateway.restart();
    let mut world = World { gateway, sandbox };
    let mut secrets = everything(&world).await;
    trouble(&world).await;
    world.gateway.terminate();
    let log = world.gateway.log();
    let table: toml::Table = std::fs::read_to_string(&config).unwrap().parse().unwrap();
    let basic = world.sandbox.text("/desk/authorization");
    secrets.extend([
        world.sandbox.text("/staff_token"),
        world.sandbox.text("/s3/secret_access_key"),
        table["desk"]["client_secret"].as_str().unwrap().to_owned(),
        basic.split_once(' ').unwrap().1.to_owned(),
    ]);
    assert!(secrets.iter().all(|secret| secret.len() >= 16), "{secrets:?}");
    // Whatever their values: nobody writes these but for a secret that comes after them.
    secrets
        .extend(["X-Amz-Signature", "x-amz-signature", "Bearer ", "Basic ", "AWS4-HMAC"].map(str::to_owned));
    let parts = ["weighbridge", "delivery", "TRACE", "DEBUG"];
    assert!(
        log.contains("accepting requests") && log.contains("wrote a note"),
        "the log is looked at: {log}"
    );
    assert!(parts.iter().any(|part| log.contains(part)), "{log}");
    for secret in &secrets {
        let found = lines_with(&log, secret);
        assert!(found.is_empty(), "{secret} stands in {} lines, the first: {}", found.len(), found[0]);
    }
    for line in log.lines().filter(|line| line.contains("TRACE") || line.contains("DEBUG")) {
        for library in ["hyper", "aws_", "reqwest", "sqlx", "h2::", "rustls"] {
            assert!(!line.contains(&format!(" {library}")), "a library's details: {line}");
        }
    }
}
