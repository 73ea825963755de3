//! Checkpoints of a table's log: a Parquet file with a column per kind of action, written from a state and read back.
//!
//! Seawall writes them itself, from the state that it has: nothing is listed and nothing is read, so that a checkpoint
//! costs the same after ten thousand commits as after ten. Tombstones of removed files stay out: they only serve
//! another program's vacuum, which must not run on a table whose versions may be pinned, and they would make each
//! checkpoint grow with every file that ever was.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::json::writer::LineDelimited;
use arrow::json::{ReaderBuilder, WriterBuilder};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use seawall_base::error::{Error, Result};
use serde_json::json;

use super::action::{Line, Txn};
use super::log::TableState;
use crate::codes;

/// Actions that are decoded together while a checkpoint is written.
const ACTIONS_PER_BATCH: usize = 1024;

/// A checkpoint, and what `_last_checkpoint` says of it.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub bytes: Bytes,
    pub pointer: Vec<u8>,
}

/// Encodes a state.
pub(crate) fn encode(state: &TableState) -> Result<Checkpoint> {
    let failed = |e: parquet::errors::ParquetError| Error::internal(codes::PARQUET, "encoding a checkpoint").because(e);
    let lines = lines_of(state);
    let schema = schema();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties)).map_err(failed)?;
    for some in lines.chunks(ACTIONS_PER_BATCH) {
        let mut decoder = ReaderBuilder::new(Arc::clone(&schema)).with_batch_size(some.len()).build_decoder()?;
        decoder.serialize(some)?;
        if let Some(batch) = decoder.flush()? {
            writer.write(&batch).map_err(failed)?;
        }
    }
    let bytes = Bytes::from(writer.into_inner().map_err(failed)?);
    let pointer = json!({"version": state.version, "size": lines.len(), "sizeInBytes": bytes.len(),
        "numOfAddFiles": state.files.len()});
    Ok(Checkpoint { bytes, pointer: pointer.to_string().into_bytes() })
}

fn lines_of(state: &TableState) -> Vec<Line> {
    let mut lines = vec![
        Line { protocol: Some(state.protocol.clone()), ..Line::default() },
        Line { meta_data: Some(state.metadata.clone()), ..Line::default() },
    ];
    for (app_id, version) in &state.txns {
        let txn = Txn { app_id: app_id.clone(), version: *version, last_updated: None };
        lines.push(Line { txn: Some(txn), ..Line::default() });
    }
    for file in state.files.values() {
        lines.push(Line { add: Some(file.add.clone()), ..Line::default() });
    }
    lines
}

/// The columns, by Delta's protocol. `remove` is there for readers that ask for it, and has no rows.
fn schema() -> SchemaRef {
    let add = vec![
        text("path"),
        texts_by_text("partitionValues"),
        long("size"),
        long("modificationTime"),
        Field::new("dataChange", DataType::Boolean, true),
        text("stats"),
        texts_by_text("tags"),
    ];
    let remove =
        vec![text("path"), long("deletionTimestamp"), Field::new("dataChange", DataType::Boolean, true), long("size")];
    let format = vec![text("provider"), texts_by_text("options")];
    let metadata = vec![
        text("id"),
        text("name"),
        text("description"),
        group("format", format),
        text("schemaString"),
        texts("partitionColumns"),
        texts_by_text("configuration"),
        long("createdTime"),
    ];
    let protocol = vec![
        Field::new("minReaderVersion", DataType::Int32, true),
        Field::new("minWriterVersion", DataType::Int32, true),
        texts("readerFeatures"),
        texts("writerFeatures"),
    ];
    Arc::new(Schema::new(vec![
        group("protocol", protocol),
        group("metaData", metadata),
        group("txn", vec![text("appId"), long("version"), long("lastUpdated")]),
        group("add", add),
        group("remove", remove),
    ]))
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn long(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

fn group(name: &str, fields: Vec<Field>) -> Field {
    Field::new(name, DataType::Struct(Fields::from(fields)), true)
}

fn texts(name: &str) -> Field {
    Field::new(name, DataType::List(Arc::new(text("element"))), true)
}

fn texts_by_text(name: &str) -> Field {
    let entry = Fields::from(vec![Field::new("key", DataType::Utf8, false), text("value")]);
    let entries = Field::new("key_value", DataType::Struct(entry), false);
    Field::new(name, DataType::Map(Arc::new(entries), false), true)
}

/// Written as JSON lines, a checkpoint is read like a commit.
pub(crate) fn lines(bytes: Bytes) -> Result<Vec<u8>> {
    let unreadable =
        |e: parquet::errors::ParquetError| Error::corrupt(codes::LOG_BROKEN, "reading a checkpoint").because(e);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(unreadable)?;
    let wanted = ["protocol", "metaData", "txn", "add"];
    let columns = builder.parquet_schema().root_schema().get_fields().iter().enumerate();
    let roots: Vec<usize> = columns.filter(|(_, field)| wanted.contains(&field.name())).map(|(at, _)| at).collect();
    let mask = parquet::arrow::ProjectionMask::roots(builder.parquet_schema(), roots);
    let mut lines = Vec::new();
    for batch in builder.with_projection(mask).build().map_err(unreadable)? {
        let mut writer = WriterBuilder::new().build::<_, LineDelimited>(&mut lines);
        writer.write(&batch?)?;
        writer.finish()?;
    }
    Ok(lines)
}

/// The files of a log that are checkpoints, by version, out of names like `00000000000000000020.checkpoint.parquet`.
pub(crate) fn name(version: u64) -> String {
    format!("{version:020}.checkpoint.parquet")
}

/// What `_last_checkpoint` points to; none when it says nothing that can be read, which no reader depends on.
pub(crate) fn pointed_version(pointer: &[u8]) -> Option<u64> {
    let fields: BTreeMap<String, serde_json::Value> = serde_json::from_slice(pointer).ok()?;
    fields.get("version")?.as_u64()
}
