use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::{StatusCode, header};
use seawall_base::engine::{BatchRows, TrainingSetPlan, TrainingSetRows, TransformPlan, TransformRead};
use seawall_base::{BatchMap, Engine, Error, Permit, Query, QueryResult, Reference, SystemClock};
use seawall_catalog::Catalog;
use seawall_catalog::policy::{Principal, Role};
use serde_json::Value;

use super::*;

async fn ask(front: &Front, path: &str) -> (StatusCode, bool, Value) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = front.clone().router().oneshot(request).await.unwrap();
    let (status, again) = (response.status(), response.headers().contains_key(header::RETRY_AFTER));
    let body = to_bytes(response.into_body(), 10_000).await.unwrap();
    (status, again, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn while_it_is_being_started_a_server_says_so_and_asks_everybody_else_to_come_again() {
    let front = Front::new(Access::Open(Principal::new("somebody", Role::Owner)), ContractJobs::default());
    let (status, again, health) = ask(&front, "/health").await;
    assert_eq!((status, again), (StatusCode::OK, false));
    assert_eq!((health["status"].as_str(), health["instance"].as_str()), (Some("starting"), Some(&*front.instance)));
    for path in ["/v1/status", "/v1/datasets/payments/events", "/nowhere"] {
        let (status, again, answer) = ask(&front, path).await;
        assert_eq!((status, again), (StatusCode::SERVICE_UNAVAILABLE, true), "{path}");
        assert_eq!(answer["error"]["code"], "SW1212", "{path}");
    }
}

/// Answers every statement with its length.
struct Lengths;

#[async_trait]
impl Engine for Lengths {
    async fn compile_map(&self, _: &str, _: SchemaRef, _: &[Reference]) -> seawall_base::Result<Arc<dyn BatchMap>> {
        unreachable!("a server that is being started maps nothing")
    }

    async fn query(&self, _: &Permit, query: Query) -> seawall_base::Result<QueryResult> {
        if query.sql.contains("payments") {
            return Err(Error::not_found("SW0523", "table payments not found"));
        }
        let column: ArrayRef = Arc::new(Int64Array::from(vec![query.sql.len() as i64]));
        let batch = RecordBatch::try_from_iter([("length", column)])?;
        Ok(QueryResult { schema: batch.schema(), batches: vec![batch], truncated: false })
    }

    async fn plan_transform(&self, _: &str, _: &[(String, SchemaRef)]) -> seawall_base::Result<TransformPlan> {
        unreachable!("a server that is being started transforms nothing")
    }

    async fn transform(&self, _: &Permit, _: &TransformRead) -> seawall_base::Result<Box<dyn BatchRows>> {
        unreachable!("a server that is being started transforms nothing")
    }

    async fn training_set(&self, _: &Permit, _: &TrainingSetPlan) -> seawall_base::Result<TrainingSetRows> {
        unreachable!("a server that is being started builds nothing")
    }
}

async fn query(front: &Front, sql: &str) -> (StatusCode, Value) {
    let body = Body::from(serde_json::json!({"sql": sql}).to_string());
    let response = front.clone().router().oneshot(Request::post("/v1/query").body(body).unwrap()).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 10_000).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn statements_are_answered_from_tables_while_the_server_is_being_started() {
    let catalog = Arc::new(Catalog::in_memory(Arc::new(SystemClock), Arc::new(OsRng)).await.unwrap());
    let front = Front::new(Access::Open(Principal::new("somebody", Role::Owner)), ContractJobs::default());
    assert_eq!(query(&front, "select 1").await.1["error"]["code"], "SW1212");
    front.open_tables(early::Tables::of(catalog.clone(), Arc::new(Lengths), Vec::new()));
    let (status, answer) = query(&front, "select 1").await;
    let expected = serde_json::json!({
        "rows": [{"length": 8}], "truncated": false, "degraded": true, "staleness_ms": null, "cut": null
    });
    assert_eq!((status, answer), (StatusCode::OK, expected));
    // The start may yet make that table.
    let (status, answer) = query(&front, "select * from payments").await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::SERVICE_UNAVAILABLE, &"SW1212".into()));
    // Whoever may not read tables may not do it now either.
    let service = Front::new(Access::Open(Principal::new("somebody", Role::Service)), ContractJobs::default());
    service.open_tables(early::Tables::of(catalog, Arc::new(Lengths), Vec::new()));
    let (status, answer) = query(&service, "select 1").await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::FORBIDDEN, &"SW0610".into()));
    assert_eq!(ask(&service, "/v1/status").await.2["error"]["code"], "SW1212");
}
