use std::sync::Arc;

use seawall_base::{Log, Partition};

use super::conformance::conformance;
use super::*;

#[tokio::test]
async fn the_memory_log_conforms() {
    conformance(async || Arc::new(MemoryLog::new(Partition::LIVE)) as Arc<dyn Log>).await;
}
