//! Postgres is down for half a minute: senders are told to resume, and nothing acknowledged is lost.

use std::time::{Duration, Instant};

use tests::{Answer, Fate, PostgresProxy, Sandbox, curl, eventually, noise};

const OUTAGE: Duration = Duration::from_secs(30);

fn is_unavailable(answer: &Answer) {
    assert_eq!((answer.status, answer.problem().as_str()), (503, "/problems/unavailable"), "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
}

/// The durable offset, if the answer has one.
fn offset(url: &str) -> Option<usize> {
    curl(&["-I", url]).headers.get("upload-offset").map(|offset| offset.parse().unwrap())
}

#[tokio::test]
async fn half_a_minute_of_outage_loses_nothing_acknowledged() {
    let sandbox = Sandbox::start_embedded();
    let url = sandbox.postgres().unwrap().url();
    let (user, rest) = url.rsplit_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let ledger_proxy = PostgresProxy::to(server);
    let gateway = sandbox.gateway_with(|config| {
        config["ledger"]["url"] = format!("{user}@{}/{database}", ledger_proxy.address).into();
    });
    let bytes = noise(40_000_000, 51);
    let file = sandbox.scratch().join("outage.bin");
    std::fs::write(&file, &bytes).unwrap();
    let (link, path) = (sandbox.link("acme"), file.to_str().unwrap().to_owned());
    let own = format!("{link}/outage.bin");
    let sending = std::thread::spawn({
        let (own, path) = (own.clone(), path.clone());
        move || curl(&["--limit-rate", "4M", "-T", &path, &own])
    });
    let acknowledged = eventually("a part is committed", || offset(&own).filter(|offset| *offset > 0));

    ledger_proxy.decide(|_, _| Fate::Drop);
    let down = Instant::now();
    is_unavailable(&sending.join().unwrap());
    is_unavailable(&curl(&["-T", &path, &format!("{link}/other.bin")]));
    assert_eq!(curl(&[&format!("{}/readyz", gateway.url)]).status, 503);
    tokio::time::sleep(OUTAGE.saturating_sub(down.elapsed())).await;
    ledger_proxy.decide(|_, _| Fate::Pass);

    let at = eventually("the offset is reported", || offset(&own));
    assert!(at >= acknowledged, "{acknowledged} bytes were acknowledged, {at} are left");
    let done = curl(&["-C", &at.to_string(), "-T", &path, &own]);
    assert_eq!(done.status, 201, "{done:?}");
    sandbox.arrived_once(&done.json(), &bytes).await;
    sandbox.holds_only(&gateway, &[&done.json()]).await;
}
