//! Any bytes as a CSV file: every record is a row, a broken line, or the file is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall_base::Hash;
use seawall_base::declare::{FileFormat, Files};
use seawall_pipeline::source::files::{FileToRead, read};

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.csv");
    std::fs::write(&path, bytes).expect("a small file");
    let files = Files { path: path.display().to_string(), format: FileFormat::Csv, null_values: vec!["NA".into()] };
    let file = FileToRead { path, bytes: bytes.len() as u64, hash: Hash::of(b"") };
    let Ok(reader) = read(&file, &files, 7) else { return };
    let schema = reader.schema();
    for decoded in reader {
        let Ok(decoded) = decoded else { return };
        assert_eq!(decoded.batch.schema(), schema);
        assert!(decoded.broken.iter().all(|line| line.line > 0 && !line.message.is_empty()));
    }
});
