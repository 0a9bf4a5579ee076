//! Clients that abuse HTTP/2, one kind after the other, while somebody sends a file. The file arrives, memory stays within its
//! bound, and the abuser's connection ends in bounded time.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use serde_json::json;
use tests::h2_frames::{Frame, H2Connection, flag, frame, h2_client, head, kind};
use tests::{Answer, RawClient, Sandbox, Transport, World, curl, eventually, noise, sha256, side_by_side};

/// The smallest memory, enough for large windows on two HTTP/2 connections, and short timeouts.
const LIMITS: [&str; 3] =
    ["memory_bytes = 33554432", "max_upload_bytes = 1000000000", "header_timeout = \"1s\""];
const MEMORY_BYTES: u64 = 33_554_432;
/// Memory beyond the budget that the operator's manual allows.
const ALLOWANCE_BYTES: u64 = 128 << 20;
/// An abuser's connection ends in less: 2.5 times the idle time, on a loaded machine.
const END_MAX: Duration = Duration::from_secs(25);
/// More frames than any limit lets pass.
const MANY: u32 = 20_000;

/// Sends a file over HTTP/1.1 in the background, where abuse of HTTP/2 must not be noticed.
fn honest(world: &World, bytes: &[u8]) -> JoinHandle<Answer> {
    let path = world.path("honest.bin", bytes);
    let url = format!("{}/", world.link("acme"));
    std::thread::spawn(move || curl(&["--limit-rate", "12M", "-T", &path, &url]))
}

/// Runs an abuse over plain HTTP/2 and over TLS, while somebody sends a file.
fn abused(abuse: impl AsyncFn(&World) + Sync) {
    abused_on(Sandbox::start, abuse);
}

/// The same on sandboxes that are started like this.
fn abused_on(sandbox: fn() -> Sandbox, abuse: impl AsyncFn(&World) + Sync) {
    side_by_side(2, &[Transport::Http2, Transport::Http2Tls], async |&transport| {
        let world = World::on(sandbox().over(transport), &LIMITS);
        let bytes = noise(30_000_000, 1);
        let sender = honest(&world, &bytes);
        world.until_open(1);
        let begun = Instant::now();
        abuse(&world).await;
        let took = begun.elapsed();
        let answer = sender.join().unwrap();
        assert_eq!((answer.status, &answer.json()["sha256"]), (201, &sha256(&bytes).into()), "{answer:?}");
        assert!(took < END_MAX, "it took {took:?}");
        let peak = world.gateway.peak_rss_bytes();
        assert!(peak < MEMORY_BYTES + ALLOWANCE_BYTES, "{} MiB", peak >> 20);
        // Windows come back, and HTTP/2 is still spoken.
        world.until_at_rest();
        let version = ["-o", "/dev/null", "-w", "%{http_version}"];
        let after = curl(&[&version[..], &[&format!("{}/healthz", world.gateway.url)]].concat());
        assert_eq!((after.status, after.body.as_str()), (200, "2"), "{after:?}");
        let log = world.gateway.log();
        assert!(!log.contains("panicked"), "{log}");
    });
}

/// The head of a request on this stream, which says that a body follows.
fn begin(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS, stream, block)
}

/// `ENHANCE_YOUR_CALM`, or `PROTOCOL_ERROR`, or the connection is closed without a word that could still be read.
fn calmed(goaway: Option<Frame>) {
    if let Some(goaway) = goaway {
        assert!([0xb, 0x1].contains(&goaway.error()), "{goaway:?}");
    }
}

#[test]
fn rapid_resets() {
    abused(async |world| {
        let block = head("PUT", &format!("{}/a", world.link("acme")), &[]);
        let cancel = 8_u32.to_be_bytes();
        let pairs: Vec<u8> = (0..MANY)
            .flat_map(|n| [begin(2 * n + 1, &block), frame(kind::RST_STREAM, 0, 2 * n + 1, &cancel)].concat())
            .collect();
        calmed(H2Connection::connect(&world.gateway.url, &[]).await.flood(&pairs, 1).await);
    });
}

#[test]
fn disconnect_right_after_the_request() {
    // Each at another stage of its request: no upload may be left open.
    abused(async |world| {
        for n in 0..60 {
            let block = head("PUT", &format!("{}/left{n}", world.link("globex")), &[]);
            let mut wire = H2Connection::connect(&world.gateway.url, &[]).await;
            assert!(wire.send(&begin(1, &block)).await);
            tokio::time::sleep(Duration::from_micros(200 * n)).await;
        }
    });
}

#[test]
fn streams_beyond_the_limit() {
    abused(async |world| {
        let block = head("PUT", &format!("{}/a", world.link("globex")), &[]);
        let heads: Vec<u8> = (0..MANY).flat_map(|n| begin(2 * n + 1, &block)).collect();
        calmed(H2Connection::connect(&world.gateway.url, &[]).await.flood(&heads, 1).await);
    });
}

#[test]
fn floods_of_settings_pings_and_window_updates() {
    let setting = frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
    let ping = frame(kind::PING, 0, 0, &[1; 8]);
    let update = frame(kind::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    let unknown = frame(0xbe, 0xff, 0, &[1; 100]);
    abused(async |world| {
        // Each is answered, and its connection ended for asking nothing.
        for pair in [[&setting, &ping], [&update, &unknown]] {
            let url = world.gateway.url.as_str();
            let flood = async |flood: &[u8]| {
                H2Connection::connect(url, &[]).await.flood(&flood.repeat(1000), 100).await
            };
            tokio::join!(flood(pair[0]), flood(pair[1]));
        }
        // Whose answers are not read: the gateway stops reading when it cannot answer.
        let unread = async |flood: &[u8]| {
            let (many, mut wire) = (flood.repeat(1000), H2Connection::connect(&world.gateway.url, &[]).await);
            while wire.send(&many).await {}
        };
        tokio::join!(unread(&setting), unread(&ping));
    });
}

#[test]
fn endless_header_blocks() {
    let entry = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
    let (small, large) = (entry.clone(), entry.repeat(150));
    abused(async |world| {
        let block = head("PUT", &format!("{}/a", world.link("acme")), &[]);
        for (piece, times) in [(&Vec::new(), 1000), (&small, 1000), (&large, 100)] {
            let more = frame(kind::CONTINUATION, 0, 1, piece);
            let mut wire = H2Connection::connect(&world.gateway.url, &[]).await;
            assert!(wire.send(&frame(kind::HEADERS, 0, 1, &block)).await);
            calmed(wire.flood(&more.repeat(100), times).await);
        }
    });
}

#[test]
fn oversized_header_list_is_refused() {
    abused(async |world| {
        let value = "y".repeat(1000);
        let names: Vec<_> = (0..90).map(|n| format!("x-{n}")).collect();
        let more: Vec<_> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
        let block = head("GET", &format!("{}/healthz", world.gateway.url), &more);
        let mut wire = H2Connection::connect(&world.gateway.url, &[]).await;
        let mut frames = Vec::new();
        for (at, piece) in block.chunks(16_000).enumerate() {
            let kind = if at == 0 { kind::HEADERS } else { kind::CONTINUATION };
            let last = if (at + 1) * 16_000 >= block.len() { flag::END_HEADERS } else { 0 };
            let ends = if at == 0 { flag::END_STREAM } else { 0 };
            frames.extend(frame(kind, last | ends, 1, piece));
        }
        assert!(wire.send(&frames).await);
        // `:status` 431 with its name from the static table (RFC 7541 appendix A), plain or by Huffman's code.
        let answer = wire.frame_of(kind::HEADERS).await;
        let plain = answer.payload.windows(3).any(|text| text == b"431");
        let coded = answer.payload.windows(2).any(|text| text == [0x69, 0x90]);
        assert!(plain || coded, "{answer:?}");
    });
}

#[test]
fn empty_and_tiny_data_frames() {
    abused_on(Sandbox::start_embedded, async |world| {
        // The store hangs, so nobody reads the body.
        let slow = json!({"service": "s3", "operation": "PutObject", "fault": "delay", "delay_ms": 1000, "times": 0});
        world.sandbox.fault(slow).await;
        let block = head("PUT", &format!("{}/tiny", world.link("globex")), &[]);
        for payload in [&[][..], &[1]] {
            let mut wire = H2Connection::connect(&world.gateway.url, &[]).await;
            assert!(wire.send(&begin(1, &block)).await);
            let many = frame(kind::DATA, 0, 1, payload).repeat(10_000);
            // A body that is read at once is merely slow; others are ended before they use much.
            let mut sent = 0_u32;
            while sent < 200 && wire.send(&many).await {
                sent += 1;
            }
        }
        world.sandbox.clear_faults().await;
    });
}

#[test]
fn bodies_of_refused_requests() {
    abused_on(Sandbox::start_embedded, async |world| {
        let slow = json!({"service": "s3", "operation": "UploadPart", "fault": "delay", "delay_ms": 1000, "times": 0});
        world.sandbox.fault(slow).await;
        let mut connections = Vec::new();
        for connection in 0..2 {
            let mut client = h2_client(&world.gateway.url).await;
            for stream in 0..4 {
                let url = format!("{}/u{connection}{stream}.bin", world.link("globex"));
                let request = Request::builder().method(Method::PUT).uri(&url).body(()).unwrap();
                let Ok(ready) = client.clone().ready().await else { break };
                client = ready;
                let (answer, mut body) = client.send_request(request, false).unwrap();
                body.send_data(Bytes::from(vec![1; 8 << 20]), true).unwrap();
                connections.push((answer, body));
            }
        }
        // Each is answered, or refused: none hangs.
        for (answer, _) in connections {
            if let Ok(answer) = answer.await {
                assert!([201, 408, 429, 503].contains(&answer.status().as_u16()), "{answer:?}");
            }
        }
        world.sandbox.clear_faults().await;
    });
}

#[test]
fn answers_nobody_reads() {
    // Large files to fetch, and small pages.
    abused(async |world| {
        let receipt = world.sandbox.sent(&world.link("globex"), "large.bin", &noise(30_000_000, 2));
        let content = format!(
            "{}/api/v1/uploads/{}/content?via=gateway",
            world.gateway.url,
            receipt["id"].as_str().unwrap()
        );
        let token = format!("Bearer {}", world.sandbox.text("/staff_token"));
        let page = head("GET", &world.link("acme"), &[("accept", "text/html")]);
        let fetch = head("GET", &content, &[("authorization", &token)]);
        // SETTINGS_INITIAL_WINDOW_SIZE (4) of zero, and one that is soon full.
        let unread = async |window: u32, block: &[u8]| {
            let mut wire = H2Connection::connect(&world.gateway.url, &[(4, window)]).await;
            let ends = flag::END_HEADERS | flag::END_STREAM;
            let all: Vec<u8> = (0..32).flat_map(|n| frame(kind::HEADERS, ends, 2 * n + 1, block)).collect();
            assert!(wire.send(&all).await);
            wire.closed().await;
        };
        tokio::join!(unread(0, &page), unread(100_000, &fetch));
        // HTTP/1.1, too: what it sends besides is not taken any more.
        let token = format!("Authorization: {token}");
        let mut raw = RawClient::request("GET", &content, &[&token]);
        eventually("a connection whose answer stays unread is closed", || (!raw.send(b"GET ")).then_some(()));
    });
}
