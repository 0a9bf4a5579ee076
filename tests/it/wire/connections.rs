//! More connections than the limit: idle ones are closed first, and those that named a valid link stay. Also what an
//! unauthenticated connection costs.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use tests::h2_frames::{H2Connection, Socket, flag, frame, h2_client, head, kind};
use tests::{
    Gateway, RawClient, Sandbox, Transport, World, curl, eventually, eventually_async, noise, sha256,
};
use tokio::net::{TcpSocket, TcpStream};

/// A gateway with this many connections, over plain HTTP/1.1 unless the test says otherwise.
fn few(places: i64, change: impl FnOnce(&mut toml::Table)) -> (Sandbox, Gateway) {
    let sandbox = Sandbox::start().over(Transport::Http1);
    let gateway = sandbox.gateway_with(|config| {
        let server = config["server"].as_table_mut().unwrap();
        server.insert("max_connections".into(), places.into());
        change(server);
    });
    (sandbox, gateway)
}

/// A connection from this address of this machine.
async fn silent(from: [u8; 4], gateway: &Gateway) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(gateway.address().parse().unwrap()).await.unwrap()
}

/// The first bytes of a file, sent by somebody who has named a valid link.
fn begun(link: &str, name: &str) -> RawClient {
    let mut raw =
        RawClient::request("PUT", &format!("{link}/{name}"), &["Content-Length: 10", "Expect: 100-continue"]);
    raw.until_continued();
    assert!(raw.send(b"01234"));
    raw
}

fn ended(mut raw: RawClient) {
    assert!(raw.send(b"56789"));
    assert_eq!(raw.answer().unwrap().status, 201);
}

#[tokio::test]
async fn silent_connections_make_room() {
    let (sandbox, gateway) = few(40, |_| ());
    let health = format!("{}/healthz", gateway.url);
    let uploads = [begun(&sandbox.link("acme"), "a"), begun(&sandbox.link("globex"), "b")];
    let mut kept = RawClient::request("GET", &health, &[]);
    assert_eq!(kept.answer().unwrap().status, 200);
    // By one address, then by many: far more than there are places, half a head among them.
    let mut crowd = Vec::new();
    for n in 0..300_u16 {
        let stream = silent([127, 0, 1, if n < 150 { 1 } else { (n % 50) as u8 }], &gateway).await;
        if n % 3 == 0 {
            stream.try_write(b"PUT /u/x/y HTTP/1.1\r\nHost: x\r\n").unwrap();
        }
        crowd.push(stream);
        if n % 50 == 0 {
            let answer = curl(&["--max-time", "5", "--interface", "127.0.0.9", &health]);
            assert_eq!(answer.status, 200, "after {n}: {answer:?}");
        }
    }
    // The address with more connections lost one first: a single connection is still served.
    let mut alone = RawClient::connect(&gateway.url);
    assert!(alone.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_eq!(alone.answer().unwrap().status, 200);
    for upload in uploads {
        ended(upload);
    }
    drop(crowd);
}

#[tokio::test]
async fn connections_per_address_are_bounded() {
    for (proxies, served) in [(&[][..], false), (&["127.0.0.0/8"], true)] {
        let (sandbox, gateway) = few(9, |server| {
            server.insert("connections_per_address".into(), 2.into());
            let proxies = proxies.iter().map(|net| toml::Value::from(*net)).collect::<Vec<_>>();
            server.insert("trusted_proxies".into(), proxies.into());
        });
        let link = sandbox.link("acme");
        let uploads = [begun(&link, "a"), begun(&link, "b")];
        let mut third = RawClient::request("GET", &format!("{}/healthz", gateway.url), &[]);
        let answer = third.answer().unwrap();
        if served {
            assert_eq!(answer.status, 200, "{answer:?}");
        } else {
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (503, "/problems/unavailable"),
                "{answer:?}"
            );
            assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
            third.closed();
        }
        // Another address is none of its business.
        let other = curl(&["--interface", "127.0.0.9", &format!("{}/healthz", gateway.url)]);
        assert_eq!(other.status, 200, "{other:?}");
        for upload in uploads {
            ended(upload);
        }
        eventually("there is a place again", || {
            (curl(&[&format!("{}/healthz", gateway.url)]).status == 200).then_some(())
        });
    }
}

#[tokio::test]
async fn busy_connections_are_waited_for() {
    let (sandbox, gateway) = few(2, |server| {
        server.insert("connections_per_address".into(), 2.into());
    });
    let uploads = [begun(&sandbox.link("acme"), "a"), begun(&sandbox.link("acme"), "b")];
    let health = format!("{}/healthz", gateway.url);
    let waiting =
        std::thread::spawn(move || curl(&["--interface", "127.0.0.9", "--max-time", "30", &health]));
    for upload in uploads {
        ended(upload);
    }
    assert_eq!(waiting.join().unwrap().status, 200);
}

#[test]
fn listener_survives_descriptor_exhaustion() {
    let sandbox = Sandbox::start().over(Transport::Http1);
    let gateway = sandbox.gateway_after("ulimit -n 100", |_| {});
    let idle: Vec<_> = (0..300).map(|_| RawClient::connect(&gateway.url)).collect();
    let answer = curl(&["--max-time", "20", &format!("{}/healthz", gateway.url)]);
    assert_eq!(answer.status, 200, "idle ones are closed here, too: {answer:?}");
    drop(idle);
    let log = gateway.log();
    let told = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!(told("LimitNOFILE=4256"), 1, "{log}");
    assert!((1..=3).contains(&told("accepting connections failed")), "not ten times a second: {log}");
}

#[test]
fn unfinished_heads_use_documented_memory() {
    let sandbox = Sandbox::start().over(Transport::Http1);
    let gateway = sandbox.gateway();
    let unfinished = |count: u64, bytes: usize| -> Vec<_> {
        let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(bytes));
        let all: Vec<_> = (0..count)
            .map(|_| {
                let mut raw = RawClient::connect(&gateway.url);
                assert!(raw.send(head.as_bytes()));
                raw
            })
            .collect();
        // One that came after them has been answered: they have been read.
        assert_eq!(curl(&[&format!("{}/healthz", gateway.url)]).status, 200);
        all
    };
    let warm = unfinished(50, 32_000);
    let at_first = gateway.rss_bytes();
    let short = unfinished(400, 1);
    let before = gateway.rss_bytes();
    let long = unfinished(400, 32_000);
    let (idle, each) = ((before - at_first) / 400, (gateway.rss_bytes() - before) / 400);
    // What the connection takes in any case is its task, its socket.
    assert!(
        each.saturating_sub(idle) < 64 * 1024,
        "{each} bytes each, where one that says little takes {idle}"
    );
    drop((warm, short, long));
}

const HTTP2: [Transport; 2] = [Transport::Http2, Transport::Http2Tls];
/// Room for the windows of two connections.
const TIGHT: [&str; 2] = ["memory_bytes = 33554432", "max_upload_bytes = 1000000000"];

#[tokio::test]
async fn stranger_gets_a_small_http2_window() {
    for transport in HTTP2 {
        let world = World::over(transport, &TIGHT);
        let health = head("GET", &format!("{}/healthz", world.gateway.url), &[]);
        let unknown = head("PUT", &format!("{}/u/unknown/a", world.gateway.url), &[]);
        let mut held = Vec::new();
        for n in 0..24 {
            let mut wire = H2Connection::connect(&world.gateway.url, &[]).await;
            let block = if n % 2 == 0 { &health } else { &unknown };
            assert!(wire.send(&frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, block)).await);
            loop {
                let frame = wire.frame().await.expect("it is answered");
                assert!(
                    (frame.kind, frame.stream) != (kind::WINDOW_UPDATE, 0),
                    "no more for unauthenticated clients: {frame:?}"
                );
                if frame.kind == kind::DATA {
                    break;
                }
            }
            held.push(wire);
        }
        assert_eq!(world.metric("weighbridge_memory_used_bytes"), 0.0);
        // Naming a link gets more.
        let mut wire = H2Connection::connect(&world.gateway.url, &[]).await;
        let put = head("PUT", &format!("{}/a", world.link("acme")), &[]);
        assert!(wire.send(&frame(kind::HEADERS, flag::END_HEADERS, 1, &put)).await);
        let update = wire.frame_of(kind::WINDOW_UPDATE).await;
        let more = u32::from_be_bytes(update.payload[..4].try_into().unwrap());
        assert_eq!((update.stream, more), (0, (4 << 20) - 65_535));
        assert!(wire.send(&frame(kind::DATA, flag::END_STREAM, 1, b"a")).await);
        wire.frame_of(kind::DATA).await;
        drop((held, wire));
        world.until_at_rest();
    }
}

#[tokio::test]
async fn http2_falls_back_to_small_windows() {
    for transport in HTTP2 {
        let world = World::over(transport, &TIGHT);
        let bytes = noise(3_000_000, 1);
        let (mut clients, mut under_way) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            clients.push(h2_client(&world.gateway.url).await);
        }
        // Two have the share, and the others send all the same.
        for (n, client) in clients.iter_mut().enumerate() {
            let url = format!("{}/{n}.bin", world.link("acme"));
            let request = Request::builder()
                .method(Method::PUT)
                .uri(&url)
                .header("accept", "application/json")
                .header("content-length", bytes.len())
                .body(())
                .unwrap();
            under_way.push(client.send_request(request, false).unwrap());
        }
        eventually_async("two windows are charged", async || {
            let windows = f64::from(2 * (4 << 20));
            (world.metric("weighbridge_memory_used_bytes") > windows).then_some(())
        })
        .await;
        // Where a client can choose, it is offered what has no such bounds.
        if transport.is_tls() {
            assert_eq!(Socket::connect(&world.gateway.url).await.protocol(), Some(&b"http/1.1"[..]));
        }
        for (answer, mut body) in under_way {
            let mut rest = Bytes::copy_from_slice(&bytes);
            while !rest.is_empty() {
                body.reserve_capacity(rest.len());
                let room = std::future::poll_fn(|cx| body.poll_capacity(cx)).await.unwrap().unwrap();
                body.send_data(rest.split_to(room.min(rest.len())), false).unwrap();
            }
            body.send_data(Bytes::new(), true).unwrap();
            let answer = tokio::time::timeout(Duration::from_secs(60), answer).await.unwrap().unwrap();
            assert_eq!(answer.status(), 201);
        }
        drop(clients);
        world.until_at_rest();
        let path = world.path("after.bin", &bytes);
        let sent = curl(&["-T", &path, &format!("{}/", world.link("acme"))]);
        assert_eq!((sent.status, &sent.json()["sha256"]), (201, &sha256(&bytes).into()), "{sent:?}");
    }
}
