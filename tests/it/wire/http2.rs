//! HTTP/2 in service: answers before the end of a body, a shutdown that lets uploads finish, and an end for idle connections.
//! Also which proxies are trusted about the client.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use http::{Method, Request};
use tests::h2_frames::{H2Connection, Socket, flag, frame, h2_client, head, kind};
use tests::{Transport, World, curl, eventually, noise, sha256, side_by_side};

/// HTTP/2, plain and over TLS.
const HTTP2: [Transport; 2] = [Transport::Http2, Transport::Http2Tls];
/// Scheduling and process end on a loaded machine.
const SLACK: Duration = Duration::from_secs(5);

fn request(method: Method, url: &str) -> Request<()> {
    Request::builder().method(method).uri(url).header("accept", "application/json").body(()).unwrap()
}

/// The whole body of an answer.
async fn whole(body: &mut h2::RecvStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.data().await {
        let frame = frame.unwrap();
        body.flow_control().release_capacity(frame.len()).unwrap();
        bytes.extend_from_slice(&frame);
    }
    bytes
}

/// Sends as the windows allow.
async fn send(stream: &mut h2::SendStream<Bytes>, bytes: &[u8]) {
    let mut rest = Bytes::copy_from_slice(bytes);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
        stream.send_data(rest.split_to(room.min(rest.len())), false).unwrap();
    }
}

#[test]
fn early_answer_ends_with_no_error() {
    side_by_side(2, &HTTP2, async |&transport| {
        // A client that writes first is read for a while; one that waits is told to stop.
        let world = World::over(transport, &["discard_time = \"1s\""]);
        let small =
            world.gateway.make_link(&["--partner", "acme", "--ticket", "1002", "--max-bytes", "1000"]);
        let mut client = h2_client(&world.gateway.url).await;
        for (url, sent, status) in [
            (format!("{}/u/unknown/a", world.gateway.url), 0, 404),
            (format!("{}/u/unknown/a", world.gateway.url), 100_000, 404),
            (format!("{small}/a"), 100_000, 413),
        ] {
            let (answer, mut body) = client.send_request(request(Method::PUT, &url), false).unwrap();
            // The other side may have answered before everything is sent.
            body.reserve_capacity(sent);
            let _ = body.send_data(vec![1; sent].into(), false);
            let mut answer = answer.await.unwrap();
            assert_eq!(answer.status(), status, "{url}");
            let problem: serde_json::Value = serde_json::from_slice(&whole(answer.body_mut()).await).unwrap();
            assert_eq!(problem["status"], status, "it came whole");
            let told = std::future::poll_fn(|cx| body.poll_reset(cx)).await;
            assert_eq!(told.unwrap(), Reason::NO_ERROR, "{url}");
        }
        // The connection stays open.
        let (answer, mut body) =
            client.send_request(request(Method::PUT, &format!("{}/a", world.link("acme"))), false).unwrap();
        send(&mut body, b"after").await;
        body.send_data(Bytes::new(), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 201);
    });
}

#[test]
fn shutdown_finishes_uploads_and_accepts_no_more() {
    side_by_side(2, &HTTP2, async |&transport| {
        let world = World::over(transport, &[]);
        let bytes = noise(20_000_000, 1);
        let mut client = h2_client(&world.gateway.url).await;
        let url = format!("{}/drain.bin", world.link("acme"));
        let (answer, mut body) = client.send_request(request(Method::PUT, &url), false).unwrap();
        send(&mut body, &bytes[..9_000_000]).await;
        world.until_open(1);
        let address = world.gateway.address().to_owned();
        let (mut gateway, sandbox) = (world.gateway, world.sandbox);
        let stopping = std::thread::spawn(move || gateway.terminate());
        eventually("new connections are refused", || {
            std::net::TcpStream::connect(&address).is_err().then_some(())
        });
        // Our connection has heard GOAWAY, or does so before it can send another request.
        let refused = async {
            loop {
                let Ok(ready) = client.clone().ready().await else { return };
                client = ready;
                let Ok((answer, _)) = client.send_request(request(Method::GET, &url), true) else { return };
                if answer.await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(SLACK, refused).await.expect("no more requests are taken");
        send(&mut body, &bytes[9_000_000..]).await;
        body.send_data(Bytes::new(), true).unwrap();
        let mut answer = answer.await.unwrap();
        assert_eq!(answer.status(), 201);
        let receipt: serde_json::Value = serde_json::from_slice(&whole(answer.body_mut()).await).unwrap();
        assert_eq!(receipt["sha256"], sha256(&bytes));
        let status = stopping.join().unwrap();
        assert_eq!(status.code(), Some(0), "everything ended in time");
        drop(sandbox);
    });
}

#[tokio::test]
async fn shutdown_waits_at_most_the_drain_time() {
    let mut world = World::over(Transport::Http2Tls, &["drain_time = \"2s\""]);
    let mut client = h2_client(&world.gateway.url).await;
    let url = format!("{}/never.bin", world.link("acme"));
    let (answer, mut body) = client.send_request(request(Method::PUT, &url), false).unwrap();
    send(&mut body, &noise(1000, 2)).await;
    world.until_open(1);
    let begun = Instant::now();
    world.gateway.terminate();
    let took = begun.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(2) + SLACK).contains(&took), "{took:?}");
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 503, "{answer:?}");
}

#[test]
fn idle_connection_is_closed() {
    side_by_side(2, &HTTP2, async |&transport| {
        let world = World::over(transport, &["header_timeout = \"1s\""]);
        let idle = Duration::from_secs(1);
        // Never asked; asked once; said the preface and not even its settings; agreed on HTTP/2 and said nothing.
        let begun = Instant::now();
        let never = H2Connection::connect(&world.gateway.url, &[]).await;
        let mut once = H2Connection::connect(&world.gateway.url, &[]).await;
        let health = head("GET", &format!("{}/healthz", world.gateway.url), &[]);
        assert!(once.send(&frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &health)).await);
        once.frame_of(kind::DATA).await;
        let mut mute = H2Connection::over(Socket::connect(&world.gateway.url).await);
        assert!(mute.send(tests::h2_frames::PREFACE).await);
        let nothing = H2Connection::over(Socket::connect(&world.gateway.url).await);
        let (a, b, c, _) = tokio::join!(never.closed(), once.closed(), mute.closed(), nothing.closed());
        for goaway in [a, b, c] {
            assert_eq!(goaway.expect("it is told").error(), 0, "NO_ERROR");
        }
        assert!(begun.elapsed() < 3 * idle + SLACK, "{:?}", begun.elapsed());
        // A connection in use stays, however long it takes.
        let mut client = h2_client(&world.gateway.url).await;
        let url = format!("{}/slow.bin", world.link("acme"));
        let (answer, mut body) = client.send_request(request(Method::PUT, &url), false).unwrap();
        let begun = Instant::now();
        let mut sent = 0;
        while begun.elapsed() < 3 * idle {
            send(&mut body, &[7; 5000]).await;
            sent += 5000;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        body.send_data(Bytes::new(), true).unwrap();
        let mut answer = answer.await.unwrap();
        assert_eq!(answer.status(), 201);
        let receipt: serde_json::Value = serde_json::from_slice(&whole(answer.body_mut()).await).unwrap();
        assert_eq!(receipt["size"], sent);
        world.until_at_rest();
    });
}

/// A client may assume room for a hundred streams until it has read the settings (RFC 9113 section 6.5.2).
#[tokio::test]
async fn hundred_concurrent_requests() {
    for transport in HTTP2 {
        let world = World::over(transport, &[]);
        let mut wire = H2Connection::connect(&world.gateway.url, &[]).await;
        let block = head("GET", &format!("{}/healthz", world.gateway.url), &[]);
        let all: Vec<u8> = (0..100)
            .flat_map(|n| frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 2 * n + 1, &block))
            .collect();
        assert!(wire.send(&all).await);
        let (mut answered, mut refused) = (0, 0);
        while answered + refused < 100 {
            let frame = wire.frame().await.expect("the connection stays");
            match frame.kind {
                kind::HEADERS => answered += 1,
                kind::RST_STREAM => {
                    assert_eq!(frame.error(), 7, "REFUSED_STREAM: it may be sent again");
                    refused += 1;
                }
                kind::GOAWAY => panic!("{frame:?}"),
                _ => {}
            }
        }
        assert!(answered >= 32, "{answered} answered, {refused} refused");
        assert!(wire.send(&frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 201, &block)).await);
        let next = wire.frame_of(kind::HEADERS).await;
        assert_eq!(next.stream, 201);
    }
}

#[test]
fn only_a_trusted_proxy_sets_the_scheme() {
    for (trusted, forwarded, expected) in [
        (&[][..], "https", false),
        (&["192.0.2.0/24"], "https", false),
        (&["127.0.0.0/8"], "https", true),
        (&["127.0.0.1"], "https", true),
        (&["127.0.0.1"], "http", false),
        (&["127.0.0.1"], "", false),
    ] {
        let sandbox = tests::Sandbox::start().over(Transport::Http1);
        let gateway = sandbox.gateway_with(|config| {
            let trusted = trusted.iter().map(|net| toml::Value::from(*net)).collect::<Vec<_>>();
            config["server"].as_table_mut().unwrap().insert("trusted_proxies".into(), trusted.into());
        });
        let header = format!("X-Forwarded-Proto: {forwarded}");
        let answer = curl(&["-H", &header, "-H", "X-Forwarded-For: 198.51.100.7", &sandbox.link("acme")]);
        assert_eq!(answer.status, 200, "{answer:?}");
        let told = answer.headers.contains_key("strict-transport-security");
        assert_eq!(told, expected, "{trusted:?} {forwarded:?}: {answer:?}");
        drop(gateway);
    }
}
