//! Three gateways on one ledger in Postgres and one store, behind a balancer, while files come in every way there is: any of
//! them may die at any step, and each file arrives once. `.ci/nodes` runs it.
#![allow(clippy::unwrap_used, reason = "a test that fails has found something")]

mod balancer;
mod deaths;
mod senders;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use balancer::Balancer;
use deaths::{Fatal, Life, deaths};
use senders::{Sent, send_all, send_by_script};
use tests::{Gateway, Postgres, PostgresProxy, S3Proxy, Sandbox, program};

const NODES: usize = 3;
/// Programs that send, beside `send.sh`.
const SENDERS: u64 = 6;
/// A gateway that runs says every 2 s what it works on.
const SILENCE: Duration = Duration::from_secs(10);

/// A gateway with a hop before its store and one before its ledger.
struct Node {
    gateway: Gateway,
    life: Life,
    store_proxy: S3Proxy,
    ledger_proxy: PostgresProxy,
}

impl Node {
    fn start(sandbox: &Sandbox, number: usize, public_url: &str) -> Self {
        let folder = sandbox.scratch().join(format!("node-{number}"));
        std::fs::create_dir_all(&folder).unwrap();
        let store_proxy = S3Proxy::to(&sandbox.text("/s3/endpoint"));
        let mut config = config(sandbox);
        let ledger = config["ledger"]["url"].as_str().unwrap().to_owned();
        let (user, server) = ledger.rsplit_once('@').unwrap();
        let (server, database) = server.split_once('/').unwrap();
        let ledger_proxy = PostgresProxy::to(server);
        // Sockets that are held together have different ports.
        let sockets: [_; 2] = std::array::from_fn(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let [listen, metrics] = sockets.map(|socket| socket.local_addr().unwrap().to_string());
        let url = format!("http://{listen}");
        config["ledger"]["url"] = format!("{user}@{}/{database}", ledger_proxy.address).into();
        config["support_uploader"]["endpoint"] = store_proxy.url.as_str().into();
        let server = config["server"].as_table_mut().unwrap();
        server.insert("listen".into(), listen.into());
        server.insert("metrics_listen".into(), metrics.into());
        server.insert("public_url".into(), public_url.into());
        let path = folder.join("serve.toml");
        std::fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
        let gateway = Gateway::start(&path, url, &[]);
        let life = Life::default();
        life.pid.store(gateway.pid(), Ordering::SeqCst);
        Self { gateway, life, store_proxy, ledger_proxy }
    }

    /// It has died: the next process takes its place.
    fn revive(&mut self) {
        self.gateway.kill();
        self.life.is_down.store(false, Ordering::SeqCst);
        self.gateway.restart();
        self.life.pid.store(self.gateway.pid(), Ordering::SeqCst);
    }
}

fn config(sandbox: &Sandbox) -> toml::Table {
    std::fs::read_to_string(sandbox.data().join("serve.toml")).unwrap().parse().unwrap()
}

/// A link of its own on a ticket of its own, made past the hops.
async fn link(sandbox: &Sandbox) -> String {
    let ticket = sandbox.open_ticket("acme").await;
    let made = Command::new(program("weighbridge"))
        .args(["link", "create", "--partner", "acme", "--ticket", &ticket, "--config"])
        .arg(sandbox.data().join("serve.toml"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", tests::printed(&made));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// Skips the minute after which another gateway ends uploads that nobody works on.
fn hasten(postgres: &Postgres, stop: &AtomicBool) {
    let ms = SILENCE.as_millis();
    while !stop.load(Ordering::SeqCst) {
        postgres.sql(&format!(
            "UPDATE uploads SET updated_at = 0 WHERE updated_at > 0 \
             AND (state = 'completing' OR (state = 'open' AND offset_bytes = length_bytes)) \
             AND updated_at < EXTRACT(EPOCH FROM clock_timestamp()) * 1000 - {ms}"
        ));
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Sends while gateways die at every step.
fn send_under_deaths(
    nodes: &mut [Node],
    (links, folder): (&[String], &Path),
    postgres: &Postgres,
    fatal: &Fatal,
) -> Vec<Sent> {
    let (stop, at_rest) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|threads| {
        threads.spawn(|| hasten(postgres, &at_rest));
        let (script_link, program_links) = links.split_last().unwrap();
        let mut senders: Vec<_> = (0..SENDERS)
            .zip(program_links)
            .map(|(number, link)| {
                let stop = &stop;
                threads.spawn(move || send_all(link, number, stop))
            })
            .collect();
        senders.push(threads.spawn(|| send_by_script(script_link, folder, &stop)));
        let killing = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for death in deaths() {
                let dead = fatal.next(death);
                nodes[dead].revive();
            }
        }));
        stop.store(true, Ordering::SeqCst);
        let sent: Vec<_> = senders.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        at_rest.store(true, Ordering::SeqCst);
        if let Err(panic) = killing {
            std::panic::resume_unwind(panic);
        }
        sent.into_iter()
            .flat_map(|sent| sent.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

#[tokio::test]
async fn kill_at_every_step_delivers_each_file_once() {
    let mut sandbox = Sandbox::start();
    assert!(sandbox.postgres().is_some(), "say where Postgres is: `.ci/nodes` does");
    let (tell, told) = std::sync::mpsc::channel();
    let balancer = Balancer::start(told);
    let path = sandbox.data().join("serve.toml");
    let mut plain = config(&sandbox);
    plain["server"].as_table_mut().unwrap().insert("public_url".into(), balancer.url.as_str().into());
    std::fs::write(&path, toml::to_string(&plain).unwrap()).unwrap();
    sandbox.description["url"] = balancer.url.as_str().into();
    let mut nodes: Vec<_> = (0..NODES).map(|number| Node::start(&sandbox, number, &balancer.url)).collect();
    tell.send(nodes.iter().map(|node| node.gateway.address().to_owned()).collect()).unwrap();
    let mut links = Vec::new();
    for _ in 0..=SENDERS {
        links.push(link(&sandbox).await);
    }
    let fatal = Fatal::default();
    for (number, node) in nodes.iter().enumerate() {
        fatal.watch(number, &node.life, &node.store_proxy, &node.ledger_proxy);
    }
    let folder = sandbox.scratch().join("script");
    let sent = send_under_deaths(&mut nodes, (&links, &folder), sandbox.postgres().unwrap(), &fatal);
    for file in &sent {
        sandbox.arrived_once(&file.receipt, &file.bytes).await;
    }
    // What a sender began again is given up.
    sandbox.give_up_unfinished("");
    let receipts: Vec<_> = sent.iter().map(|file| &file.receipt).collect();
    sandbox.holds_only(&nodes[0].gateway, &receipts).await;
}
