//! With the feature `otlp`: the spans of an upload reach a collector, as part of the trace its sender began.
#![allow(clippy::unwrap_used, reason = "a test that fails has found something")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing here takes longer, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weighbridge"));
    command.stdout(Stdio::null()).env_remove("OTEL_SDK_DISABLED");
    command
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "gave up waiting: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A collector: takes what is posted to it, and says yes.
fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            std::thread::spawn(move || take(stream.unwrap(), &sender));
        }
    });
    (url, receiver)
}

fn take(stream: TcpStream, sender: &Sender<(String, Vec<u8>)>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let _ = sender.send((head, body));
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "--max-time", "60"]).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_spans_of_an_upload_reach_the_collector_also_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let _sandbox = Process(program().arg("sandbox").arg("--data").arg(&data).spawn().unwrap());
    let described = eventually("the sandbox runs", || json(&data.join("sandbox.json")));
    let text = |pointer: &str| described.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let (endpoint, posted) = collector();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut gateway = Process(
        program()
            .arg("serve")
            .arg("--config")
            .arg(data.join("serve.toml"))
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
            .env("OTEL_SERVICE_NAME", "weighbridge-test")
            // What is not sent by then is sent at the end.
            .env("OTEL_BSP_SCHEDULE_DELAY", "3600000")
            .stderr(log)
            .spawn()
            .unwrap(),
    );
    let health = format!("{}/healthz", text("/url"));
    eventually("the gateway runs", || (curl(&[&health]) == "ok\n").then_some(()));
    let file = folder.path().join("trace.log");
    std::fs::write(&file, vec![b'x'; 100_000]).unwrap();
    let receipt = curl(&[
        "-H",
        &format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01"),
        "-H",
        "Accept: application/json",
        "-T",
        file.to_str().unwrap(),
        &format!("{}/", text("/links/acme/url")),
    ]);
    let receipt: Value = serde_json::from_str(&receipt).unwrap();
    let id = receipt["id"].as_str().unwrap();
    let pid = gateway.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(gateway.0.wait().unwrap().success());
    let mut all = Vec::new();
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    while let Ok((head, body)) = posted.try_recv() {
        assert!(head.starts_with("POST /v1/traces "), "{head}");
        assert!(head.to_ascii_lowercase().contains("content-type: application/x-protobuf"), "{head}");
        all.extend(body);
    }
    assert!(!all.is_empty(), "nothing was posted: {}", log());
    let trace: Vec<u8> =
        (0..16).map(|byte| u8::from_str_radix(&TRACE[2 * byte..2 * byte + 2], 16).unwrap()).collect();
    let texts = ["weighbridge-test", "PUT /u/{link}/{name}", "upload", "upload.id", id, "delivery"];
    for (what, bytes) in texts.iter().map(|text| (*text, text.as_bytes())).chain([("the trace", &trace[..])])
    {
        assert!(contains(&all, bytes), "{what} is not in what was posted: {}", log());
    }
    let token = text("/links/acme/url").rsplit('/').next().unwrap().to_owned();
    assert!(!contains(&all, token.as_bytes()), "a token was posted");
    assert!(log().contains(TRACE), "the log names the trace: {}", log());
}
