//! The corpus of the fuzz target `csv`, and mutations of it, as an ordinary test: every record is a row or a broken line
//! with its number. `SEAWALL_LONG=1` makes a hundred times as many mutations.

use std::path::Path;

use seawall_base::{Rng, SeededRng};

use super::*;

const MUTATIONS: u64 = 300;

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/csv");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// What the fuzz target holds bytes to.
fn replay(folder: &Path, bytes: &[u8]) {
    let path = folder.join("x.csv");
    fs::write(&path, bytes).unwrap();
    let files = files(&path.display().to_string(), FileFormat::Csv, &["NA"]);
    let file = FileToRead { path, bytes: bytes.len() as u64, hash: Hash::of(b"") };
    let Ok(reader) = read(&file, &files, 7) else { return };
    let schema = reader.schema();
    for decoded in reader {
        let Ok(decoded) = decoded else { return };
        assert_eq!(decoded.batch.schema(), schema, "{bytes:?}");
        assert!(decoded.broken.iter().all(|line| line.line > 0 && !line.message.is_empty()), "{bytes:?}");
    }
}

#[test]
fn the_corpus_and_its_mutations_are_rows_or_broken_lines() {
    let (folder, corpus) = (folder(), corpus());
    corpus.iter().for_each(|input| replay(folder.path(), input));
    let rounds = if std::env::var("SEAWALL_LONG").is_ok() { MUTATIONS * 100 } else { MUTATIONS };
    let rng = SeededRng::new(1);
    for _ in 0..rounds {
        for input in &corpus {
            let mut dice = [0u8; 4];
            rng.fill(&mut dice);
            let mut bytes = input.clone();
            let at = usize::from(dice[0]) % (bytes.len() + 1);
            match dice[1] % 4 {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, b"\",;\n\r\0 \xffNA"[usize::from(dice[2]) % 10]),
                2 => bytes.extend_from_within(at..),
                _ => bytes.splice(at.., corpus[usize::from(dice[2]) % corpus.len()].iter().copied()).for_each(drop),
            }
            replay(folder.path(), &bytes);
        }
    }
}
