//! The desk through its router, as a client sees it.

mod accounts;
mod attachments;
mod finding;
mod tickets;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;

/// A desk with two organizations, three users and three tickets, in a folder of its own.
struct TestDesk {
    desk: Arc<Desk>,
    router: Router,
    authorization: String,
    dir: TempDir,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {:?}", self.bytes))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn seed() -> Seed {
    let organization = |id, name: &str, notes: &str| SeedOrganization {
        id,
        name: name.to_owned(),
        notes: notes.to_owned(),
        organization_fields: [("account_type".to_owned(), json!("alliance_partner"))].into(),
        ..SeedOrganization::default()
    };
    let user = |id, email: &str, organization_ids: Vec<u64>| SeedUser {
        id,
        name: format!("User {id}"),
        email: email.to_owned(),
        organization_ids,
        ..SeedUser::default()
    };
    let ticket = |id, subject: &str, requester_id, organization_id| SeedTicket {
        id,
        subject: subject.to_owned(),
        requester_id,
        organization_id: Some(organization_id),
        ..SeedTicket::default()
    };
    Seed {
        organizations: vec![organization(7, "Acme", "handle with care"), organization(8, "Globex", "")],
        users: vec![user(71, "ann@acme.example", vec![7, 8]), user(81, "bob@globex.example", vec![8])],
        tickets: vec![
            ticket(1001, "[Initech] - T123456789 - disk full", 71, 7),
            ticket(1002, "slow pages", 71, 7),
            SeedTicket { status: Status::Closed, ..ticket(2001, "T123456789 again", 81, 8) },
        ],
        options: DeskOptions::default(),
    }
}

impl TestDesk {
    fn new(options: DeskOptions) -> Self {
        Self::reopen(tempfile::tempdir().unwrap(), options)
    }

    fn reopen(dir: TempDir, options: DeskOptions) -> Self {
        let desk = Desk::open(dir.path(), &Seed { options, ..seed() }).unwrap();
        let authorization = desk.credentials().basic();
        Self { router: router(Arc::clone(&desk)), desk, authorization, dir }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "desk.test");
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", &self.authorization);
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let answer = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.send("GET", path, &[], "").await;
        assert_eq!(answer.status, StatusCode::OK, "GET {path}: {:?}", answer.bytes);
        answer.json()
    }

    /// Sends JSON and checks the status.
    async fn json(&self, method: &str, path: &str, body: &Value, status: u16) -> Value {
        let answer = self.send(method, path, &[], body.to_string()).await;
        assert_eq!(answer.status, status, "{method} {path}: {:?}", answer.bytes);
        if answer.bytes.is_empty() { Value::Null } else { answer.json() }
    }

    async fn update(&self, id: u64, ticket: Value, status: u16) -> Value {
        self.json("PUT", &format!("/api/v2/tickets/{id}"), &json!({ "ticket": ticket }), status).await
    }

    async fn upload(&self, name: &str, body: &str) -> Value {
        let path = format!("/api/v2/uploads.json?filename={name}");
        let answer = self.send("POST", &path, &[("content-type", "text/plain")], body.to_owned()).await;
        assert_eq!(answer.status, 201, "{:?}", answer.bytes);
        answer.json()["upload"].clone()
    }
}

fn bench() -> TestDesk {
    TestDesk::new(DeskOptions::default())
}
