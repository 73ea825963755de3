use std::time::Duration;

use seawall_base::vault::conformance;

use super::*;
use crate::store::s3_server::{Fault, S3Server};

fn bucket(server: &S3Server) -> Bucket {
    let patience =
        Patience { request_timeout: Duration::from_secs(2), retries_max: 3, retry_timeout: Duration::from_secs(10) };
    Bucket::s3("s3://bucket/some/prefix", &server.environment(), patience).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_a_vault() {
    let server = S3Server::start().await;
    conformance::check_all(&bucket(&server));
}

/// An answer that is lost makes the client try again, which then finds its own object: whoever creates by content is right
/// either way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_leaves_the_object() {
    let server = S3Server::start().await;
    let bucket = bucket(&server);
    server.arm("PUT", "pieces/one", Fault::ApplyThenAnswer(503), 1);
    bucket.create("pieces/one", b"bytes").unwrap();
    assert_eq!(server.injected(), 1);
    assert_eq!(bucket.read("pieces/one").unwrap().as_deref(), Some(&b"bytes"[..]));
}

/// A store that is away is told, and nothing is taken for missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_is_told() {
    let server = S3Server::start().await;
    let bucket = bucket(&server);
    bucket.create("pieces/one", b"bytes").unwrap();
    server.arm("GET", "pieces/one", Fault::Refuse(503), usize::MAX);
    let away = bucket.read("pieces/one").unwrap_err();
    assert_eq!((away.kind(), away.code()), (ErrorKind::Unavailable, codes::STORAGE), "{away}");
}
