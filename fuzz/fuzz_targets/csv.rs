//! Any bytes as a CSV file: every record is a row, a broken line, or the file is refused.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use seawall_base::declare::FileFormat;
use seawall_pipeline::source::files::{Content, read_content};

static NULL_VALUES: LazyLock<Vec<String>> = LazyLock::new(|| vec!["NA".to_owned()]);

fuzz_target!(|bytes: &[u8]| {
    let content = Content::Bytes("x.csv".into(), Bytes::copy_from_slice(bytes));
    let Ok(reader) = read_content(&content, FileFormat::Csv, &NULL_VALUES, 7) else { return };
    let schema = reader.schema();
    for decoded in reader {
        let Ok(decoded) = decoded else { return };
        assert_eq!(decoded.batch.schema(), schema);
        assert!(decoded.broken.iter().all(|line| line.line > 0 && !line.message.is_empty()));
    }
});
