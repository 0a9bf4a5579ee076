//! Slow downloads through the gateway: their memory is charged, stalled ones are closed, and slow readers get the right bytes.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use tests::{RawClient, Sandbox, Transport, World, curl, eventually, noise, sha256};

/// Of 32 MiB a quarter is for connections: ten downloads at a time.
const TIGHT: [&str; 3] =
    ["memory_bytes = 33554432", "max_upload_bytes = 1000000000", "header_timeout = \"4s\""];

/// The URL of a file's content, and the header that authorizes the download.
fn content(world: &World, bytes: &[u8]) -> (String, String) {
    let receipt = world.sandbox.sent(&world.link("globex"), "large.bin", bytes);
    let id = receipt["id"].as_str().unwrap();
    let token = world.sandbox.text("/staff_token");
    (
        format!("{}/api/v1/uploads/{id}/content?via=gateway", world.gateway.url),
        format!("Authorization: Bearer {token}"),
    )
}

#[test]
fn stalled_readers_are_charged_and_closed() {
    let world = World::on(Sandbox::start().over(Transport::Http1), &TIGHT);
    let bytes = noise(50_000_000, 1);
    let (url, token) = content(&world, &bytes);
    world.until_at_rest();
    let before = world.gateway.rss_bytes();
    let stalled: Vec<_> = (0..4 * 10).map(|_| RawClient::request("GET", &url, &[&token])).collect();
    // Who is refused hears it before the body; the others never read.
    let used = || world.metric("weighbridge_memory_used_bytes");
    eventually("all that have room begin", || (used() == 10.0 * 768.0 * 1024.0).then_some(()));
    let refused = curl(&["-H", &token, &url]);
    assert_eq!((refused.status, refused.problem().as_str()), (503, "/problems/unavailable"), "{refused:?}");
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    // Not charged: the connections, and the allocator's reserve.
    let grown = world.gateway.peak_rss_bytes().saturating_sub(before);
    assert!(grown < 24 << 20, "{} MiB", grown >> 20);
    eventually("stalled ones end", || (used() == 0.0).then_some(()));
    let fetched = curl(&["-o", "/dev/null", "-w", "%{size_download}", "-H", &token, &url]);
    assert_eq!((fetched.status, fetched.body.as_str()), (200, "50000000"), "{fetched:?}");
    eventually("the memory is given back", || {
        (world.gateway.rss_bytes() < before + (16 << 20)).then_some(())
    });
    drop(stalled);
}

#[test]
fn pausing_reader_gets_the_right_bytes() {
    let world = World::on(Sandbox::start_embedded().over(Transport::Http1), &[]);
    let bytes = noise(50_000_000, 2);
    let (url, token) = content(&world, &bytes);
    for (range, expected) in
        [("", &bytes[..]), ("Range: bytes=1000000-40999999", &bytes[1_000_000..41_000_000])]
    {
        let path = url.strip_prefix(&world.gateway.url).unwrap();
        let mut stream = TcpStream::connect(world.gateway.address()).unwrap();
        let more = if range.is_empty() { String::new() } else { format!("{range}\r\n") };
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{token}\r\nConnection: close\r\n{more}\r\n");
        std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
        let mut got = vec![0; 3_000_000];
        stream.read_exact(&mut got).unwrap();
        // Longer than a bucket connection may idle, so the rest is requested again.
        std::thread::sleep(Duration::from_secs(8));
        stream.read_to_end(&mut got).unwrap();
        let body = got.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(sha256(&got[body..]), sha256(expected), "{range}");
    }
}
