//! TLS in the gateway: what is refused and how, handshakes that never end, and certificates that change.

use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConnection, StreamOwned};
use tests::h2_frames::Socket;
use tests::{
    Authority, RawClient, Shared, Transport, World, curl, curl_raw, eventually, noise, printed, program,
};

/// One that loses its patience quickly.
static IMPATIENT: Shared = Shared::over(
    Transport::Http2Tls,
    &["header_timeout = \"2s\"", "memory_bytes = 33554432", "max_upload_bytes = 1000000000"],
);
const PATIENCE: Duration = Duration::from_secs(30);

fn connect(world: &World) -> TcpStream {
    let stream = TcpStream::connect(world.gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until the other side closes; it must.
fn closed(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it stays open: {error}");
    }
    rest
}

/// A ClientHello as a real client sends it.
fn client_hello() -> Vec<u8> {
    let name = "127.0.0.1".try_into().unwrap();
    let mut client = ClientConnection::new(Authority::get().client(&[b"h2"]), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn plain_http_is_told_to_use_https() {
    let world = IMPATIENT.world();
    let url = format!("http://{}/u/x/", world.gateway.address());
    let file = world.path("plain.bin", &noise(9_000_000, 1));
    for arguments in [&[url.as_str()][..], &["-T", &file, &url], &["--http2-prior-knowledge", &url]] {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "30", "-w", "%{http_code}"])
            .args(arguments)
            .output()
            .unwrap();
        if arguments[0] == "--http2-prior-knowledge" {
            assert!(!output.status.success(), "it got no HTTP/2: {}", printed(&output));
            continue;
        }
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let problem: serde_json::Value =
            serde_json::from_str(said.strip_suffix("400").unwrap_or_default()).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains("https://"), "{said}");
    }
    // By hand: the length is right, and the connection ends.
    let mut stream = connect(&world);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let said = String::from_utf8(closed(stream)).unwrap();
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 ") && head.contains("application/problem+json"), "{said}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{said}");
}

#[test]
fn private_key_that_everybody_may_read_is_a_warning() {
    let world = IMPATIENT.world();
    let key = world.sandbox.tls_file("key.pem");
    let warning = format!("server.tls_key: warning: everybody on this machine may read `{}`", key.display());
    for (mode, warns) in [(0o644, true), (0o640, false)] {
        std::fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        let output = world.gateway.admin(&["config", "check"]);
        let said = printed(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(said.contains(&warning), warns, "{mode:o}: {said}");
    }
}

#[test]
fn old_tls_versions_are_refused() {
    let world = IMPATIENT.world();
    let health = format!("{}/healthz", world.gateway.url);
    for (version, spoken) in [("1.0", false), ("1.1", false), ("1.2", true), ("1.3", true)] {
        let minimum = format!("--tlsv{version}");
        // The client's own library must be asked to speak them at all.
        let old = ["--ciphers", "DEFAULT@SECLEVEL=0"];
        let answer = curl(&[&[&minimum, "--tls-max", version], &old[..], &[&health]].concat());
        assert_eq!(answer.status == 200, spoken, "{version}: {answer:?}");
        assert_eq!(answer.exit, if spoken { 0 } else { 35 }, "{version}: {answer:?}");
    }
    // Who refused: an alert of ours (21), fatal (2), protocol_version (70), to a hello that asks for TLS 1.1 alone.
    let mut hello = client_hello();
    let versions = hello.windows(2).position(|bytes| bytes == [0, 43]).unwrap();
    // `supported_versions` under an unknown number, while the old field says 1.1.
    hello[versions..versions + 2].copy_from_slice(&[0xfa, 0xfa]);
    hello[9..11].copy_from_slice(&[3, 2]);
    let mut stream = connect(&world);
    stream.write_all(&hello).unwrap();
    let answer = closed(stream);
    assert_eq!((answer[0], &answer[5..7]), (21, &[2, 70][..]), "{answer:?}");
}

#[test]
fn endless_handshakes_time_out() {
    let world = IMPATIENT.world();
    let hello = client_hello();
    let garbage = noise(2000, 2);
    let mut shouted = garbage.clone();
    shouted[0] = 22;
    let begun = Instant::now();
    let stalled: Vec<_> =
        [&hello[..hello.len() / 2], &hello[..1], &hello, &[], &garbage, &shouted, &[22, 3, 1, 0xff, 0xff]]
            .into_iter()
            .map(|begin| {
                let mut stream = connect(&world);
                stream.write_all(begin).unwrap();
                stream
            })
            .collect();
    let idle: Vec<_> = (0..500).map(|_| connect(&world)).collect();
    // They have used no window: HTTP/2 is available to others.
    let file = world.path("busy.bin", &noise(9_000_000, 3));
    let answer =
        curl(&["-o", "/dev/null", "-w", "%{http_version}", "-T", &file, &format!("{}/", world.link("acme"))]);
    assert_eq!((answer.status, answer.body.as_str()), (201, "2"), "{answer:?}");
    for stream in stalled.into_iter().chain(idle) {
        closed(stream);
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    let peak = world.gateway.peak_rss_bytes();
    assert!(peak < (32 + 128) << 20, "{} MiB", peak >> 20);
    world.until_at_rest();
}

/// The certificate that the next connection gets.
fn served(world: &World) -> CertificateDer<'static> {
    let name = "127.0.0.1".try_into().unwrap();
    let client = ClientConnection::new(Authority::get().client(&[]), name).unwrap();
    let mut stream = StreamOwned::new(client, connect(world));
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn changed_certificate_is_used_without_a_restart() {
    let world = World::over(Transport::Http2Tls, &[]);
    let chain_of = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let write = |name: &str, pem: &str| std::fs::write(world.sandbox.tls_file(name), pem).unwrap();
    let begin = served(&world);
    // An open connection stays.
    let mut kept = RawClient::request("GET", &format!("{}/healthz", world.gateway.url), &[]);
    assert_eq!(kept.answer().unwrap().status, 200);

    let (chain, key) = Authority::get().issue("second");
    let second = chain_of(&chain);
    write("chain.pem", &chain);
    write("key.pem", &key);
    eventually("the second certificate is served", || (served(&world) == second).then_some(()));
    assert!(kept.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_eq!(kept.answer().unwrap().status, 200);
    assert_ne!(begin, second);

    let said = |text: &str| world.gateway.log().matches(text).count();
    let refused = "the old one stays";
    let (third, third_key) = Authority::get().issue("third");
    for (name, pem) in [("chain.pem", "no certificate"), ("chain.pem", third.as_str())] {
        let before = said(refused);
        write(name, pem);
        eventually("the pair that cannot be used is reported", || (said(refused) > before).then_some(()));
        assert!(served(&world) == second, "{pem}");
    }
    assert_eq!(said(refused), 2, "once for each: {}", world.gateway.log());
    let key = world.sandbox.tls_file("key.pem");
    std::fs::remove_file(&key).unwrap();
    let before = said(refused);
    eventually("the missing file is reported", || (said(refused) > before).then_some(()));
    assert!(served(&world) == second);
    // Opening a pipe blocks until its other end is open.
    let before = said(refused);
    assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
    eventually("the pipe is reported", || (said(refused) > before).then_some(()));
    assert!(served(&world) == second);
    std::fs::remove_file(&key).unwrap();

    write("chain.pem", &third);
    write("key.pem", &third_key);
    eventually("the third certificate is served", || (served(&world) == chain_of(&third)).then_some(()));
    let left = world.metric("weighbridge_tls_certificate_expiry_time_seconds")
        - world.metric("weighbridge_start_time_seconds");
    assert!(left > 0.0, "{left}");
    assert!(Socket::connect(&world.gateway.url).await.protocol() == Some(b"h2"));
}

#[test]
fn config_check_reports_a_bad_certificate_pair() {
    let world = IMPATIENT.world();
    let good = std::fs::read_to_string(world.sandbox.data().join("serve.toml")).unwrap();
    let check = |config: &toml::Table| {
        let path = world.sandbox.data().join("tls-check.toml");
        std::fs::write(&path, toml::to_string(config).unwrap()).unwrap();
        let mut command = Command::new(program("weighbridge"));
        command.args(["config", "check", "--config"]).arg(&path).stdin(Stdio::null()).output().unwrap()
    };
    let config: toml::Table = good.parse().unwrap();
    assert!(check(&config).status.success());
    let (_, stranger) = Authority::get().issue("stranger");
    let stranger = world.path("stranger.pem", stranger.as_bytes());
    let (empty, folder) = (world.path("empty.pem", b""), world.sandbox.data());
    let chain = world.sandbox.tls_file("chain.pem").into_os_string().into_string().unwrap();
    let folder = folder.to_str().unwrap();
    for (key, value, named, says) in [
        ("tls_cert", Some("/no/such/file.pem"), "server.tls_cert", "/no/such/file.pem"),
        ("tls_key", Some("/no/such/file.pem"), "server.tls_key", "/no/such/file.pem"),
        ("tls_cert", Some(folder), "server.tls_cert", "not a regular file"),
        ("tls_key", Some("/dev/zero"), "server.tls_key", "not a regular file"),
        ("tls_cert", Some(&empty), "server.tls_cert", "no certificate"),
        ("tls_key", Some(&empty), "server.tls_key", "private key"),
        ("tls_key", Some(&chain), "server.tls_key", "private key"),
        ("tls_key", Some(&stranger), "server.tls_key", "is not the key of"),
        ("tls_key", None, "server.tls_key", "is missing"),
        ("tls_cert", None, "server.tls_cert", "is missing"),
        ("trusted_proxies", Some("proxy.example.com"), "server.trusted_proxies", "10.0.0.0/8"),
    ] {
        let mut config = config.clone();
        let server = config["server"].as_table_mut().unwrap();
        match value {
            Some(value) => server.insert(key.into(), value.into()),
            None => server.remove(key),
        };
        let output = check(&config);
        let said = printed(&output);
        assert_eq!(output.status.code(), Some(2), "{key} {value:?}: {said}");
        assert!(
            said.contains("line ") && said.contains(named) && said.contains(says),
            "{key} {value:?}: {said}"
        );
    }
}

/// A client that does not trust the authority stops, and one that offers another protocol is told.
#[test]
fn unknown_alpn_protocol_is_refused() {
    let world = IMPATIENT.world();
    let unknown =
        curl_raw(&["--cacert", "/dev/null", &format!("{}/healthz", world.gateway.url)], Stdio::null());
    assert_eq!(unknown.status, 0, "{unknown:?}");
    let name = "127.0.0.1".try_into().unwrap();
    let config: Arc<_> = Authority::get().client(&[b"smtp"]);
    let mut stream = StreamOwned::new(ClientConnection::new(config, name).unwrap(), connect(&world));
    let error = stream.write_all(b"x").and_then(|()| stream.read_exact(&mut [0])).unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}
