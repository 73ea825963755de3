use axum::body::{Body, to_bytes};
use axum::http::{StatusCode, header};
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
    let front = Front::new(Access::Open(Principal::new("somebody", Role::Owner)));
    let (status, again, health) = ask(&front, "/health").await;
    assert_eq!((status, again), (StatusCode::OK, false));
    assert_eq!((health["status"].as_str(), health["instance"].as_str()), (Some("starting"), Some(&*front.instance)));
    for path in ["/v1/status", "/v1/datasets/payments/events", "/nowhere"] {
        let (status, again, answer) = ask(&front, path).await;
        assert_eq!((status, again), (StatusCode::SERVICE_UNAVAILABLE, true), "{path}");
        assert_eq!(answer["error"]["code"], "SW1212", "{path}");
    }
}
