//! Widening: a column gets a type that holds every value of the one it has, and more.
//!
//! Delta has no way to say so of files that are there, so all of them are written anew, under the table's lease, and one
//! commit changes schema and files together. Values, identity and cut stay; older versions keep their files and their
//! schema. Appends go on meanwhile: what they bring is written anew, too.

use std::collections::BTreeMap;
use std::time::Duration;

use super::commit::{Rows, removal};
use super::*;
use crate::table::action::{Add, Line};
use crate::table::lease::Lease;

/// How long a change of the schema waits for an operation on the table.
const SCHEMA_PATIENCE: Duration = Duration::from_secs(60);

/// What a table is to become.
struct Wanted<'a> {
    schema: &'a Schema,
    personal: &'a [String],
}

impl DeltaStore {
    /// Gives the table the schema asked for, whose columns are wider.
    pub(super) async fn widen(
        &self,
        handle: &Arc<Handle>,
        permit: &Permit,
        schema: &Schema,
        personal: &[String],
    ) -> Result<TableVersion> {
        let _rewriter = handle.rewriter.lock().await;
        let lease = handle.leases.wait("widen", SCHEMA_PATIENCE).await?;
        let outcome = self.widen_under(handle, &lease, permit, &Wanted { schema, personal }).await;
        lease.release().await;
        outcome
    }

    async fn widen_under(
        &self,
        handle: &Arc<Handle>,
        lease: &Lease,
        permit: &Permit,
        wanted: &Wanted<'_>,
    ) -> Result<TableVersion> {
        let mut written: BTreeMap<String, Add> = BTreeMap::new();
        for attempt in 0..COMMIT_ATTEMPTS_MAX {
            // Files that are there already are written without keeping appends waiting; what comes meanwhile is little.
            let state = self.newest(handle).await?;
            let Some(evolved) = evolve::evolve(&handle.name, &state.schema, wanted.schema)? else {
                return Ok(TableVersion(state.version));
            };
            self.write_anew(handle, lease, &state, &evolved.schema, wanted, &mut written).await?;
            let _writer = handle.writer.lock().await;
            let state = self.newest(handle).await?;
            let Some(evolved) = evolve::evolve(&handle.name, &state.schema, wanted.schema)? else {
                return Ok(TableVersion(state.version));
            };
            self.write_anew(handle, lease, &state, &evolved.schema, wanted, &mut written).await?;
            let commit = widening(&state, &evolved.schema, wanted.personal, &written, self.now_ms())?;
            match self.land(handle, Some(state), permit, commit, Some(lease)).await? {
                Landed::Yes(state) => return Ok(TableVersion(state.version)),
                Landed::Taken => self.pause(attempt).await,
            }
        }
        Err(contended(&handle.name))
    }

    /// Writes the files of a state that were not written yet, each as one file with the wider columns.
    async fn write_anew(
        &self,
        handle: &Arc<Handle>,
        lease: &Lease,
        state: &TableState,
        schema: &SchemaRef,
        wanted: &Wanted<'_>,
        written: &mut BTreeMap<String, Add>,
    ) -> Result<()> {
        for data_file in state.files.values().filter(|file| file.rows != Some(0)) {
            if written.contains_key(&data_file.path) {
                continue;
            }
            lease.check().await?;
            let bytes = self.read_data_file(&handle.name, data_file).await?;
            let (schema, shown, personal) = (Arc::clone(schema), data_file.path.clone(), wanted.personal.to_vec());
            let encoded =
                compute(move || file::encode(&file::decode(bytes, &schema, &shown)?, &schema, &personal)).await?;
            if data_file.rows.is_some_and(|rows| rows != encoded.rows) {
                let message =
                    format!("widening turned {:?} rows of {} into {}", data_file.rows, data_file.path, encoded.rows);
                return Err(Error::internal(codes::COMMIT_FAILED, message));
            }
            let name = rewrite::merged_name(handle, lease, std::slice::from_ref(data_file), &encoded.hash);
            let name = self.write_data_file(handle, state, &name, &encoded).await?;
            let mut add = self.add(name, encoded, wanted.personal).await?;
            add.data_change = false;
            written.insert(data_file.path.clone(), add);
        }
        Ok(())
    }
}

/// The commit that changes schema and files together.
fn widening(
    state: &TableState,
    schema: &SchemaRef,
    personal: &[String],
    written: &BTreeMap<String, Add>,
    now_ms: i64,
) -> Result<Commit> {
    let metadata = changed_metadata(state, schema, personal)?;
    let mut lines = schema_lines(metadata, Some(&state.protocol), schema);
    lines.extend(state.files.values().map(|file| removal(file, now_ms, Rows::Stay)));
    let adds = state.files.values().filter_map(|file| written.get(&file.path));
    lines.extend(adds.map(|add| Line { add: Some(add.clone()), ..Line::default() }));
    let info = BTreeMap::from([("isBlindAppend".to_owned(), json!(false))]);
    Ok(Commit { operation: "CHANGE COLUMN", parameters: json!({}), info, lines })
}
