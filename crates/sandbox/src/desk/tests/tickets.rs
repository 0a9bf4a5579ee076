//! Updating and creating tickets: comments, stamps, statuses, tags, limits, idempotency.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn comments_are_public_by_default() {
    let bench = bench();
    bench.update(1001, json!({"comment": {"body": "a <b>\n\nc"}}), 200).await;
    bench.update(1001, json!({"comment": {"body": "d & e", "public": false, "author_id": 71}}), 200).await;
    let answer = bench.get("/api/v2/tickets/1001/comments").await;
    let comments = &answer["comments"];
    assert_eq!((&comments[1]["public"], &comments[2]["public"]), (&json!(true), &json!(false)));
    assert_eq!(comments[1]["author_id"], bench.get("/api/v2/users/me").await["user"]["id"]);
    assert_eq!(comments[2]["author_id"], 71);
    assert_eq!(comments[1]["plain_body"], "a <b>\n\nc");
    assert!(comments[1]["html_body"].as_str().unwrap().contains("a &lt;b&gt;</p>"));
    assert_eq!(
        (&comments[2]["body"], &comments[2]["html_body"]),
        (
            &json!("d & e"),
            &json!("<div class=\"zd-comment\" dir=\"auto\"><p dir=\"auto\">d &amp; e</p></div>")
        )
    );
    assert_eq!(comments[1]["type"], "Comment");
}

#[tokio::test]
async fn stale_stamp_is_a_conflict() {
    let bench = bench();
    let stamp = bench.get("/api/v2/tickets/1001").await["ticket"]["updated_at"].clone();
    for safe_update in [json!(true), json!("true")] {
        let stamp = bench.get("/api/v2/tickets/1001").await["ticket"]["updated_at"].clone();
        let update = json!({"comment": {"body": "x"}, "safe_update": safe_update, "updated_stamp": stamp});
        bench.update(1001, update.clone(), 200).await;
        // Even within the same second.
        let refused = bench.update(1001, update, 409).await;
        assert_eq!(refused["error"], "UpdateConflict");
    }
    bench.update(1001, json!({"comment": {"body": "x"}, "updated_stamp": stamp}), 200).await;
    bench.update(1001, json!({"comment": {"body": "x"}, "safe_update": true}), 400).await;
}

#[tokio::test]
async fn closed_is_final() {
    let bench = bench();
    bench.update(1001, json!({"status": "solved"}), 200).await;
    bench.update(1001, json!({"status": "open"}), 200).await;
    bench.update(1001, json!({"status": "closed"}), 200).await;
    let refused = bench.update(1001, json!({"comment": {"body": "late"}}), 422).await;
    assert_eq!(refused["details"]["status"][0]["description"], "Status: closed prevents ticket update");
    bench.update(1001, json!({"status": "open"}), 422).await;
    let tags = json!({"tags": ["x"]});
    bench.json("PUT", "/api/v2/tickets/1001/tags", &tags, 422).await;
}

#[tokio::test]
async fn unknown_and_deleted_tickets_are_not_found() {
    let bench = bench();
    bench.json("DELETE", "/api/v2/tickets/1002", &Value::Null, 204).await;
    for id in ["1002", "999", "x", "18446744073709551616"] {
        for (method, path) in
            [("GET", ""), ("PUT", ""), ("GET", "/comments"), ("PUT", "/tags"), ("DELETE", "")]
        {
            let body = if path.is_empty() { json!({"ticket": {}}) } else { json!({"tags": []}) };
            let refused = bench.json(method, &format!("/api/v2/tickets/{id}{path}"), &body, 404).await;
            assert_eq!(refused["error"], "RecordNotFound", "{method} {id}{path}");
        }
    }
}

#[tokio::test]
async fn bad_updates_change_nothing() {
    let bench = bench();
    for (ticket, status) in [
        (json!({"comment": {"body": " "}}), 422),
        (json!({"comment": {"body": "x", "author_id": 1}}), 422),
        (json!({"comment": {"body": "x".repeat(65_536)}}), 422),
        (json!({"status": "lost", "comment": {"body": "x"}}), 422),
        (json!({"organization_id": 99}), 422),
        (json!({"comment": {"body": 5}}), 400),
    ] {
        bench.update(1001, ticket, status).await;
    }
    assert_eq!(bench.get("/api/v2/tickets/1001/comments").await["count"], 1);
}

#[tokio::test]
async fn tags_are_replaced_and_added() {
    let bench = bench();
    bench.update(1001, json!({"tags": ["b", "A"]}), 200).await;
    let path = "/api/v2/tickets/1001/tags.json";
    let added = bench.json("PUT", path, &json!({"tags": ["c", "a"]}), 200).await;
    assert_eq!(added["tags"], json!(["a", "b", "c"]));
    bench.update(1001, json!({"subject": "new"}), 200).await;
    assert_eq!(bench.get("/api/v2/tickets/1001").await["ticket"]["tags"], json!(["a", "b", "c"]));
    let stale = json!({"tags": ["y"], "safe_update": "true", "updated_stamp": "2020-01-01T00:00:00Z"});
    bench.json("PUT", path, &stale, 409).await;
}

#[tokio::test]
async fn thirty_updates_in_ten_minutes() {
    let bench = bench();
    for n in 0..30 {
        bench.update(1001, json!({"comment": {"body": format!("{n}")}}), 200).await;
    }
    let body = json!({"ticket": {"comment": {"body": "one more"}}}).to_string();
    let refused = bench.send("PUT", "/api/v2/tickets/1001", &[], body).await;
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=600).contains(&wait));
    bench.update(1002, json!({"comment": {"body": "another ticket"}}), 200).await;
    assert_eq!(bench.get("/api/v2/tickets/1001/comments").await["count"], 31);
    bench.desk.advance(Duration::from_secs(600));
    bench.update(1001, json!({"comment": {"body": "later"}}), 200).await;
}

#[tokio::test]
async fn comments_come_in_pages() {
    let bench = bench();
    for n in 1..=4 {
        bench.update(1001, json!({"comment": {"body": format!("{n}")}}), 200).await;
    }
    let bodies = |answer: &Value| -> Vec<String> {
        let text = |comment: &Value| comment["body"].as_str().unwrap().to_owned();
        answer["comments"].as_array().unwrap().iter().map(text).collect()
    };
    let page = bench.get("/api/v2/tickets/1001/comments?per_page=2&page=2&sort_order=desc").await;
    assert_eq!((bodies(&page), &page["count"]), (vec!["2".to_owned(), "1".to_owned()], &json!(5)));
    let next = page["next_page"].as_str().unwrap();
    assert_eq!(bodies(&bench.get(next).await), ["[Initech] - T123456789 - disk full"]);

    let mut seen = Vec::new();
    let mut next = Some("/api/v2/tickets/1001/comments?page[size]=2&sort=-created_at".to_owned());
    while let Some(path) = next {
        let page = bench.get(&path).await;
        seen.extend(bodies(&page));
        next = page["links"]["next"].as_str().map(str::to_owned);
        assert_eq!(page["meta"]["has_more"], next.is_some());
    }
    assert_eq!(seen[..4], ["4", "3", "2", "1"]);
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn idempotency_key_creates_one_ticket() {
    let bench = bench();
    let body = json!({"ticket": {"subject": "help", "comment": {"body": "please"}, "requester_id": 71,
        "organization_id": 8, "ticket_form_id": 360_001_172_559_u64, "external_id": "e1"}});
    let headers = [("idempotency-key", "k1")];
    let first = bench.send("POST", "/api/v2/tickets.json", &headers, body.to_string()).await;
    assert_eq!((first.status, first.header("x-idempotency-lookup")), (201, "miss"));
    let ticket = &first.json()["ticket"];
    assert_eq!(
        (&ticket["id"], &ticket["status"], &ticket["organization_id"]),
        (&json!(2002), &json!("new"), &json!(8))
    );
    assert_eq!(first.header("location"), "http://desk.test/api/v2/tickets/2002.json");
    let again = bench.send("POST", "/api/v2/tickets", &headers, body.to_string()).await;
    assert_eq!((again.status, again.header("x-idempotency-lookup")), (201, "hit"));
    assert_eq!(again.json()["ticket"]["id"], 2002);
    let other =
        bench.send("POST", "/api/v2/tickets", &headers, r#"{"ticket":{"comment":{"body":"x"}}}"#).await;
    assert_eq!((other.status, other.json()["error"].as_str().unwrap()), (400, "IdempotentRequestError"));
    bench.desk.advance(Duration::from_secs(7201));
    let late = bench.send("POST", "/api/v2/tickets", &headers, body.to_string()).await;
    assert_eq!((late.header("x-idempotency-lookup"), &late.json()["ticket"]["id"]), ("miss", &json!(2003)));
}

#[tokio::test]
async fn requesters_are_found_created_or_refused() {
    let bench = bench();
    let create = async |ticket: Value, status| {
        bench.json("POST", "/api/v2/tickets", &json!({"ticket": ticket}), status).await
    };
    let comment = json!({"body": "x"});
    let known = create(json!({"comment": comment, "requester": {"email": "ANN@acme.example"}}), 201).await;
    assert_eq!(
        (&known["ticket"]["requester_id"], &known["ticket"]["organization_id"]),
        (&json!(71), &json!(7))
    );
    let made =
        create(json!({"comment": comment, "requester": {"name": "Eve", "email": "eve@acme.example"}}), 201)
            .await;
    let id = &made["ticket"]["requester_id"];
    let user = bench.get(&format!("/api/v2/users/{id}")).await;
    assert_eq!((&user["user"]["name"], &user["user"]["organization_id"]), (&json!("Eve"), &Value::Null));
    create(json!({"comment": comment, "requester": {"email": "none"}}), 422).await;
    create(json!({"comment": comment, "requester_id": 81, "organization_id": 7}), 422).await;
    create(json!({"subject": "no comment"}), 422).await;
    let followup = create(json!({"comment": comment, "via_followup_source_id": 2001}), 201).await;
    assert_eq!(followup["ticket"]["followup_source_id"], 2001);
    let source = bench.get("/api/v2/tickets/2001").await;
    assert_eq!(source["ticket"]["followup_ids"], json!([followup["ticket"]["id"]]));
}

#[tokio::test]
async fn tickets_are_listed_by_external_id() {
    let bench = bench();
    for id in [1001, 1002] {
        bench.update(id, json!({"external_id": "X-1"}), 200).await;
    }
    let found = async |query: &str| {
        let answer = bench.get(&format!("/api/v2/tickets{query}")).await;
        let ids = answer["tickets"].as_array().unwrap().iter().map(|ticket| ticket["id"].as_u64().unwrap());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(found(".json?external_id=X-1").await, [1001, 1002]);
    assert_eq!(found("?external_id=X-2").await, [0_u64; 0]);
    assert_eq!(found("").await, [1001, 1002, 2001]);
    bench.json("DELETE", "/api/v2/tickets/1001", &Value::Null, 204).await;
    assert_eq!(found("?external_id=X-1").await, [1002]);
}

#[tokio::test]
async fn changes_come_in_order_and_none_is_missed() {
    let bench = bench();
    let path = "/api/v2/incremental/tickets/cursor.json";
    let page = async |query: &str| {
        let page = bench.get(&format!("{path}?{query}")).await;
        let tickets = page["tickets"].as_array().unwrap().iter();
        let shown = tickets.map(|ticket| format!("{} {}", ticket["id"], ticket["status"].as_str().unwrap()));
        (shown.collect::<Vec<_>>(), page["after_cursor"].clone(), page["end_of_stream"].clone())
    };
    let (first, cursor, end) = page("start_time=0&per_page=2").await;
    assert_eq!((first, end), (vec!["1001 open".to_owned(), "1002 open".to_owned()], json!(false)));
    let after = |cursor: &Value| format!("cursor={}", cursor.as_str().unwrap());
    let (second, cursor, end) = page(&after(&cursor)).await;
    assert_eq!((second, end), (vec!["2001 closed".to_owned()], json!(true)));
    assert_eq!(page(&after(&cursor)).await, (vec![], cursor.clone(), json!(true)), "nothing new yet");

    // Within the same second, and back to a smaller number.
    bench.update(1002, json!({"status": "solved"}), 200).await;
    bench.json("DELETE", "/api/v2/tickets/1001", &Value::Null, 204).await;
    let (third, cursor, _) = page(&after(&cursor)).await;
    assert_eq!(third, ["1002 solved", "1001 deleted"]);
    bench.json("PUT", "/api/v2/tickets/1002/tags", &json!({"tags": ["x"]}), 200).await;
    assert_eq!(page(&after(&cursor)).await.0, ["1002 solved"]);

    let now = jiff::Timestamp::now().as_second();
    for (query, error) in [
        ("", "InvalidValue"),
        ("start_time=x", "InvalidValue"),
        (&*format!("start_time={}", now - 30), "StartTimeTooRecent"),
        ("cursor=zzz", "InvalidCursor"),
    ] {
        let refused = bench.send("GET", &format!("{path}?{query}"), &[], "").await;
        assert_eq!((refused.status, &refused.json()["error"]), (400, &json!(error)), "{query}");
    }
    bench.desk.advance(Duration::from_secs(3600));
    let empty = bench.get(&format!("{path}?start_time={}", now + 1800)).await;
    assert_eq!((&empty["tickets"], &empty["after_cursor"]), (&json!([]), &Value::Null));
}
