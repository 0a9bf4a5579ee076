//! Proxies of the environment: for other machines, never for this one.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::store::{Store, id};
use crate::{Setup, fake, run};

/// A proxy that answers nothing but 502, and remembers what it was asked.
struct Proxy {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let mut head = [0; 4096];
                let length = socket.read(&mut head).unwrap_or_default();
                seen.lock().unwrap().push(String::from_utf8_lossy(&head[..length]).into_owned());
                let _ = socket
                    .write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        Self { url, asked }
    }

    /// Names it for everything.
    fn of<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env_remove("NO_PROXY");
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env(name, &self.url);
        }
        command
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[test]
fn requests_to_a_local_gateway_bypass_the_proxy() {
    let (setup, proxy) = (Setup::new(), Proxy::start());
    setup.fake.upload("01A", "a.log", "1001", fake::bytes(5_000));
    setup.fake.state().presigned = true;
    let port = setup.fake.url.rsplit(':').next().unwrap().to_owned();
    for (host, status) in [("127.0.0.1", 0), ("localhost", 0), ("[::1]", 1)] {
        for arguments in [&["ls"][..], &["get", "01A", "-o", "out", "--force"], &["verify", "01A"]] {
            let mut command = setup.command(arguments);
            command.env("WEIGHBRIDGE_URL", format!("http://{host}:{port}"));
            let run = run(proxy.of(&mut command));
            // Nothing listens on the address of IPv6, and nobody else is asked for it.
            assert_eq!(run.code, status, "{host} {arguments:?}: {}", run.stderr);
        }
    }
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
}

#[test]
fn requests_to_a_local_bucket_bypass_the_proxy() {
    let (store, proxy) = (Store::new(), Proxy::start());
    store.upload("1001", &id(1), "a.log", &Bytes::from("content"));
    for arguments in [&["ls"][..], &["get", "1001", "-o", "out", "--force"], &["verify", "1001"]] {
        run(proxy.of(&mut store.command(arguments))).ends(0);
    }
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
}

#[test]
fn requests_to_a_remote_gateway_use_the_proxy() {
    let (setup, proxy) = (Setup::new(), Proxy::start());
    let mut command = setup.command(&["rm", "--yes", "01A"]);
    command.env("WEIGHBRIDGE_URL", "http://files.invalid");
    run(proxy.of(&mut command)).ends(1);
    let asked = proxy.asked();
    assert!(asked[0].starts_with("DELETE http://files.invalid/api/v1/uploads/01A "), "{asked:?}");
}
