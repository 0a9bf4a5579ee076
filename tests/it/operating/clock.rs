//! A clock that was a day ahead: what it postponed is done after a restart with the right time.

use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tests::World;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[tokio::test]
async fn note_that_a_wrong_clock_postponed_is_written() {
    let mut world = World::start_with_file();
    let (ticket, link) = world.sandbox.open_ticket_and_link(&world.gateway, "acme").await;
    let away = json!({"service": "desk", "operation": "*", "times": 0, "fault": "status", "status": 503});
    world.sandbox.fault(away).await;
    let receipt = world.sandbox.sent(&link, "late.log", b"late");
    world.sandbox.fault_hit(1).await;
    world.gateway.kill();
    world.sandbox.clear_faults().await;

    let ledger = SqliteConnectOptions::new().filename(world.sandbox.data().join("ledger.db"));
    let mut ledger = ledger.connect().await.unwrap();
    for statement in [
        "UPDATE jobs SET run_at = $1, lease_until = $1 WHERE kind = 'deliver' AND ticket = $2",
        "UPDATE tickets SET lease_until = $1, last_note_at = $1, checked_at = $1 WHERE ticket = $2",
    ] {
        let tomorrow = sqlx::query(statement).bind(ledger::now_ms() + DAY_MS).bind(&ticket);
        assert_eq!(tomorrow.execute(&mut ledger).await.unwrap().rows_affected(), 1, "{statement}");
    }
    ledger.close().await.unwrap();

    world.gateway.restart();
    world.sandbox.arrived_once(&receipt, b"late").await;
}
