//! The gateway's own description of its interface (`/openapi.json`), to compare answers with.
//! Invariant: an answer that was compared has a described status, media type, headers and body.

use std::cell::RefCell;
use std::collections::BTreeSet;

use boon::{Compiler, Schemas};
use serde_json::{Map, Value, json};

use crate::{Answer, curl};

pub struct Described {
    pub document: Value,
    /// Method, path and status of what was compared.
    compared: RefCell<BTreeSet<String>>,
}

impl Described {
    /// Asks the gateway at this URL.
    pub fn by(gateway: &str) -> Self {
        let answer = curl(&[&format!("{gateway}/openapi.json")]);
        assert_eq!(answer.status, 200, "{answer:?}");
        Self { document: answer.json(), compared: RefCell::default() }
    }

    /// Checks an answer to `operation`, such as `GET /api/v1/links`.
    #[track_caller]
    pub fn compare(&self, operation: &str, answer: &Answer) {
        let (method, path) = operation.split_once(' ').unwrap();
        let status = answer.status.to_string();
        let responses = &self.document["paths"][path][method.to_lowercase()]["responses"];
        let response = responses.get(&status).unwrap_or_else(|| {
            panic!("{operation} does not describe {status}: {answer:?}");
        });
        let empty = Map::new();
        for name in response["headers"].as_object().unwrap_or(&empty).keys() {
            assert!(
                answer.headers.contains_key(&name.to_lowercase()),
                "{operation} without {name}: {answer:?}"
            );
        }
        let contents = response["content"].as_object().unwrap_or(&empty);
        let kind = answer.headers.get("content-type").map(String::as_str).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default();
        match contents.get(kind) {
            Some(content) if content.get("schema").is_some() => {
                self.check(operation, &content["schema"], &answer.json(), answer.status < 400);
            }
            Some(_) => {}
            None => assert!(answer.body.is_empty(), "{operation} does not describe {kind}: {answer:?}"),
        }
        self.compared.borrow_mut().insert(format!("{operation} {status}"));
    }

    /// Checks a body. A success has no field that is not described.
    #[track_caller]
    fn check(&self, operation: &str, schema: &Value, body: &Value, is_success: bool) {
        let mut whole = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": self.document["components"]["schemas"],
            "allOf": [schema],
        });
        if is_success {
            whole["unevaluatedProperties"] = json!(false);
        }
        let whole = whole.to_string().replace("#/components/schemas/", "#/$defs/");
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        let at = "mem:///answer.json";
        compiler.add_resource(at, serde_json::from_str(&whole).unwrap()).unwrap();
        let index =
            compiler.compile(at, &mut schemas).unwrap_or_else(|error| panic!("{operation}: {error:#}"));
        if let Err(error) = schemas.validate(body, index) {
            panic!("{operation}: {error}\n{body:#}");
        }
    }

    /// Described successes that nothing was compared with.
    pub fn left_out(&self) -> Vec<String> {
        let compared = self.compared.borrow();
        let mut all = Vec::new();
        for (path, item) in self.document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                for status in operation["responses"].as_object().unwrap().keys() {
                    all.push((format!("{} {path} {status}", method.to_uppercase()), status.as_str() < "400"));
                }
            }
        }
        let left_out = all.into_iter().filter(|(name, is_success)| *is_success && !compared.contains(name));
        left_out.map(|(name, _)| name).collect()
    }
}
