//! Searching tickets and looking up users and organizations.

use super::*;

fn ids(answer: &Value, list: &str) -> Vec<u64> {
    answer[list].as_array().unwrap().iter().map(|item| item["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn search_terms() {
    let bench = bench();
    let field = json!([{"id": 360_001_u64, "value": "T42"}]);
    bench
        .update(1002, json!({"custom_fields": field, "external_id": "X-1", "tags": ["star_submitted"]}), 200)
        .await;
    let cases: &[(&str, &[u64])] = &[
        (r#"type:ticket organization:7 subject:"T123456789""#, &[1001]),
        (r#"type:ticket subject:"t123456789 - DISK""#, &[1001]),
        ("type:ticket T123456789", &[1001, 2001]),
        ("type:ticket fieldvalue:T42", &[1002]),
        ("type:ticket custom_field_360001:T42", &[1002]),
        ("type:ticket custom_field_360002:T42", &[]),
        ("type:ticket external_id:X-1", &[1002]),
        ("type:ticket status:closed", &[2001]),
        ("type:ticket status<solved", &[1001, 1002]),
        ("type:ticket -status:closed", &[1001, 1002]),
        ("type:ticket tags:star_submitted", &[1002]),
        ("type:ticket 1002", &[1002]),
        ("type:ticket unheard_of:1", &[]),
        ("type:user bob", &[]),
    ];
    for (query, wanted) in cases {
        let query = percent_encoding::utf8_percent_encode(query, render::UNRESERVED);
        let answer = bench.get(&format!("/api/v2/search.json?query={query}")).await;
        assert_eq!(ids(&answer, "results"), *wanted, "{query}");
        assert_eq!(answer["count"], wanted.len());
    }
    assert_eq!(bench.get("/api/v2/search?query=type:ticket").await["results"][0]["result_type"], "ticket");
    for path in ["?query=", "", "?query=type:ticket&page=11", "?query=type:ticket&page=101&per_page=10"] {
        assert_eq!(bench.send("GET", &format!("/api/v2/search{path}"), &[], "").await.status, 422, "{path}");
    }
}

#[tokio::test]
async fn users_and_organizations() {
    let bench = bench();
    let me = bench.get("/api/v2/users/me.json").await;
    assert_eq!(
        (&me["user"]["email"], &me["user"]["role"]),
        (&json!("gateway@desk.example"), &json!("admin"))
    );
    let query = "/api/v2/users/search?query=email%3A%22ann%40acme.example%22";
    let found = bench.get(query).await;
    assert_eq!((ids(&found, "users"), &found["users"][0]["organization_id"]), (vec![71], &json!(7)));
    assert_eq!(ids(&bench.get("/api/v2/users/search?query=user").await, "users"), [71, 81]);
    assert_eq!(ids(&bench.get("/api/v2/users/71/organizations").await, "organizations"), [7, 8]);
    let organization = bench.get("/api/v2/organizations/7.json").await["organization"].clone();
    assert_eq!(organization["notes"], "handle with care");
    assert_eq!(organization["organization_fields"]["account_type"], "alliance_partner");
    for path in ["users/9", "users/x", "organizations/9", "users/9/organizations"] {
        assert_eq!(bench.send("GET", &format!("/api/v2/{path}"), &[], "").await.status, 404, "{path}");
    }
}
