//! What every [`TableStore`] promises, as one suite that runs on each implementation.
//!
//! The suite panics with the broken promise as text; call [`check_all`] from a test with an empty store.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray,
};
use arrow::datatypes::{DataType, Decimal128Type, Field, Fields, Int32Type, Int64Type, Schema, SchemaRef};
use seawall_base::error::{ErrorKind, Result};
use seawall_base::table::{Append, StagedFile, TableName, TableStore, TableVersion};
use seawall_base::upkeep::{CompactionTargets, RowsToDelete, StagedFiles, VacuumOptions};
use seawall_base::{Cut, Offset, Partition, Permit, Span, TableUpkeep, column};

use crate::types;

/// Runs the whole suite on `store`, which must be empty, with `permit` for every effect.
pub async fn check_all(store: &dyn TableStore, permit: &Permit) -> Result<()> {
    check_absent(store, permit).await?;
    check_expected(store, permit).await?;
    check_idempotent_append(store, permit).await?;
    check_conflict(store, permit).await?;
    check_evolution(store, permit).await?;
    check_widening(store, permit).await?;
    check_staged(store, permit).await?;
    check_replace(store, permit).await?;
    check_versions_never_change(store, permit).await?;
    check_nested_and_null(store, permit).await?;
    check_tables(store).await
}

/// Runs the suite of upkeep on a store that is both; the tables it makes are its own.
pub async fn check_upkeep(store: &dyn TableStore, upkeep: &dyn TableUpkeep, permit: &Permit) -> Result<()> {
    check_compaction(store, upkeep, permit).await?;
    check_deletion(store, upkeep, permit).await?;
    check_restore(store, upkeep, permit).await?;
    check_vacuum(store, upkeep, permit).await
}

/// The schema of the suite's tables: `id`, `note` and the system columns `_partition` and `_lsn`.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("note", DataType::Utf8, true),
        Field::new(column::PARTITION, DataType::Int32, false),
        Field::new(column::LSN, DataType::Int64, false),
    ]))
}

/// Rows `from..until` of `partition`; `id` is the offset.
pub fn rows(partition: u32, from: u64, until: u64) -> RecordBatch {
    let offsets: Vec<i64> = (from..until).map(|offset| offset as i64).collect();
    let notes: Vec<Option<String>> = offsets.iter().map(|id| (id % 3 != 0).then(|| format!("note {id}"))).collect();
    let partitions = vec![partition as i32; offsets.len()];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(offsets.clone())),
        Arc::new(StringArray::from(notes)),
        Arc::new(Int32Array::from(partitions)),
        Arc::new(Int64Array::from(offsets)),
    ];
    RecordBatch::try_new(schema(), columns).expect("the suite's rows fit the suite's schema")
}

/// An append of `batches` that moves `partition` from one end to another.
pub fn append(batches: Vec<RecordBatch>, partition: u32, from: u64, until: u64) -> Append {
    let from = if from == 0 { Cut::empty() } else { Cut::of(Partition(partition), Offset(from)) };
    Append { batches, staged: Vec::new(), from, until: Cut::of(Partition(partition), Offset(until)) }
}

/// The row ids that a version shows, sorted: what an oracle compares.
pub async fn row_ids(
    store: &dyn TableStore,
    permit: &Permit,
    table: &TableName,
    version: TableVersion,
) -> Result<Vec<(i32, i64)>> {
    let columns = [column::PARTITION.to_owned(), column::LSN.to_owned()];
    let batches = store.scan(permit, table, version, Some(&columns)).await?;
    let mut portions = Vec::new();
    while let Some(portion) = store.scan_portion(permit, table, version, Some(&columns), portions.len()).await? {
        portions.push(portion);
    }
    let portions: Vec<RecordBatch> = portions.into_iter().flatten().collect();
    assert_eq!(sorted_ids(&portions), sorted_ids(&batches), "the portions of a version are its rows");
    Ok(sorted_ids(&batches))
}

fn sorted_ids(batches: &[RecordBatch]) -> Vec<(i32, i64)> {
    let mut ids = Vec::new();
    for batch in batches {
        let partitions = batch.column(0).as_primitive::<Int32Type>();
        let offsets = batch.column(1).as_primitive::<Int64Type>();
        ids.extend(partitions.values().iter().copied().zip(offsets.values().iter().copied()));
    }
    ids.sort_unstable();
    ids
}

fn ids(partition: i32, range: std::ops::Range<i64>) -> Vec<(i32, i64)> {
    range.map(|offset| (partition, offset)).collect()
}

fn name(text: &str) -> TableName {
    TableName::new(text).expect("the suite's names are names")
}

async fn check_absent(store: &dyn TableStore, permit: &Permit) -> Result<()> {
    let table = name("absent");
    let error = store.snapshot(&table, None).await.expect_err("an absent table has no snapshot");
    assert_eq!(error.kind(), ErrorKind::NotFound, "an absent table is not found: {error}");
    let error = store.append(permit, &table, append(vec![rows(0, 0, 1)], 0, 0, 1)).await;
    assert_eq!(error.expect_err("nothing appends to an absent table").kind(), ErrorKind::NotFound);
    assert!(store.tables().await?.is_empty(), "reading an absent table does not create it");
    Ok(())
}

async fn check_expected(store: &dyn TableStore, permit: &Permit) -> Result<()> {
    let (known, lost) = (name("idempotent"), name("lost"));
    store.expect(&[]).await?;
    store.ensure(permit, &known, schema(), &[]).await?;
    let error = store.expect(&[known.clone(), lost]).await.expect_err("a table that is not there is missed");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "SW1308"), "{error}");
    store.expect(std::slice::from_ref(&known)).await?;
    assert_eq!(store.snapshot(&known, None).await?.version, TableVersion(0), "what is found can be read");
    Ok(())
}

async fn check_idempotent_append(store: &dyn TableStore, permit: &Permit) -> Result<()> {
    let table = name("idempotent");
    let created = store.ensure(permit, &table, schema(), &[]).await?;
    assert_eq!(created, TableVersion(0), "version 0 is the empty table");
    assert_eq!(store.snapshot(&table, None).await?.rows, 0);
    let first = store.append(permit, &table, append(vec![rows(0, 0, 5)], 0, 0, 5)).await?;
    let again = store.append(permit, &table, append(vec![rows(0, 0, 5)], 0, 0, 5)).await?;
    assert_eq!(first, again, "an append that is covered writes nothing");
    let stale = store.append(permit, &table, append(vec![rows(0, 0, 3)], 0, 0, 3)).await?;
    assert_eq!(first, stale, "an append that is more than covered writes nothing");
    assert_eq!(row_ids(store, permit, &table, first).await?, ids(0, 0..5));
    let snapshot = store.snapshot(&table, None).await?;
    assert_eq!((snapshot.rows, snapshot.cut), (5, Cut::of(Partition(0), Offset(5))));
    let ensured = store.ensure(permit, &table, schema(), &[]).await?;
    assert_eq!(ensured, first, "ensuring what is there writes nothing");

    let empty = store.append(permit, &table, append(vec![], 0, 5, 9)).await?;
    let snapshot = store.snapshot(&table, Some(empty)).await?;
    assert_eq!((snapshot.rows, snapshot.cut), (5, Cut::of(Partition(0), Offset(9))), "a cut can move without rows");
    Ok(())
}

async fn check_conflict(store: &dyn TableStore, permit: &Permit) -> Result<()> {
    let table = name("conflict");
    store.ensure(permit, &table, schema(), &[]).await?;
    let version = store.append(permit, &table, append(vec![rows(0, 0, 5)], 0, 0, 5)).await?;
    for (from, until) in [(0, 8), (3, 8), (7, 8)] {
        let outcome = store.append(permit, &table, append(vec![rows(0, from, until)], 0, from, until)).await;
        let error = outcome.expect_err("an append that starts elsewhere is refused");
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
    for wrong in [append(vec![rows(0, 5, 6)], 0, 5, 5), append(vec![rows(0, 5, 6)], 0, 5, 4)] {
        let error = store.append(permit, &table, wrong).await.expect_err("rows without a moved end are refused");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    let mut misfit = append(vec![rows(0, 5, 6).project(&[0, 1, 2])?], 0, 5, 6);
    let error = store.append(permit, &table, misfit.clone()).await.expect_err("a required column may not be absent");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let stranger: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    misfit.batches = vec![RecordBatch::try_from_iter([("stranger", stranger)])?];
    assert_eq!(store.append(permit, &table, misfit).await.expect_err("unknown").kind(), ErrorKind::Invalid);
    let now = store.snapshot(&table, None).await?;
    assert_eq!((now.version, now.rows), (version, 5), "a refused append writes nothing");
    Ok(())
}

async fn check_evolution(store: &dyn TableStore, permit: &Permit) -> Result<()> {
    let table = name("evolution");
    store.ensure(permit, &table, schema(), &[]).await?;
    let old = store.append(permit, &table, append(vec![rows(0, 0, 2)], 0, 0, 2)).await?;
    let mut fields: Vec<Arc<Field>> = schema().fields().iter().cloned().collect();
    fields.insert(1, Arc::new(Field::new("price", DataType::Float64, true)));
    let wider: SchemaRef = Arc::new(Schema::new(fields));
    let evolved = store.ensure(permit, &table, Arc::clone(&wider), &[]).await?;
    assert!(evolved > old, "a new column is a new version");
    assert_eq!(store.snapshot(&table, None).await?.schema, wider);
    assert_eq!(store.snapshot(&table, Some(old)).await?.schema, schema(), "an old version keeps its schema");
    let newest = store.append(permit, &table, append(vec![rows(0, 2, 4)], 0, 2, 4)).await?;
    for batch in store.scan(permit, &table, newest, None).await? {
        assert_eq!(batch.schema(), wider, "a scan has the schema of its version");
        assert_eq!(batch.column(1).null_count(), batch.num_rows(), "rows from before a column have null there");
    }
    assert_eq!(row_ids(store, permit, &table, newest).await?, ids(0, 0..4));
    for refused in refused_schemas(&wider) {
        let error = store.ensure(permit, &table, refused, &[]).await.expect_err("only nullable columns are added");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    assert_eq!(store.snapshot(&table, None).await?.version, newest, "a refused schema writes nothing");
    Ok(())
}

/// The schema of [`priced`]: a price of so many digits, which may be null or not.
fn priced_schema(precision: u8, scale: i8, nullable: bool) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("price", DataType::Decimal128(precision, scale), nullable)));
    Arc::new(Schema::new(fields))
}

/// Rows with a price in hundredths.
fn priced(from: u64, until: u64) -> RecordBatch {
    let plain = rows(0, from, until);
    let prices = Decimal128Array::from_iter_values((from..until).map(|price| i128::from(price) * 101));
    let prices = prices.with_precision_and_scale(10, 2).expect("the suite's prices are short");
    let mut columns = plain.columns().to_vec();
    columns.push(Arc::new(prices));
    RecordBatch::try_new(priced_schema(10, 2, false), columns).expect("the suite's rows fit the suite's schema")
}

async fn check_widening(store: &dyn TableStore, permit: &Permit) -> Result<()> {
    let table = name("widening");
    store.ensure(permit, &table, priced_schema(10, 2, false), &[]).await?;
    store.append(permit, &table, append(vec![priced(0, 3)], 0, 0, 3)).await?;
    let old = store.append(permit, &table, append(vec![priced(3, 5)], 0, 3, 5)).await?;
    let before = store.scan(permit, &table, old, None).await?;
    let wide = priced_schema(14, 2, true);
    let widened = store.ensure(permit, &table, Arc::clone(&wide), &[]).await?;
    assert_eq!(widened.0, old.0 + 1, "a wider column is one new version");
    assert_eq!(store.ensure(permit, &table, Arc::clone(&wide), &[]).await?, widened, "and it is widened once");
    assert_eq!(store.scan(permit, &table, old, None).await?, before, "a version that was read stays as it was");
    let snapshot = store.snapshot(&table, Some(widened)).await?;
    let cut = Cut::of(Partition(0), Offset(5));
    assert_eq!((snapshot.schema, snapshot.rows, snapshot.cut), (Arc::clone(&wide), 5, cut));
    // Rows of the shape before come late: they wait in a log.
    let newest = store.append(permit, &table, append(vec![priced(5, 6)], 0, 5, 6)).await?;
    let mut prices = Vec::new();
    for batch in store.scan(permit, &table, newest, None).await? {
        assert_eq!(batch.schema(), wide);
        let cents = batch.column_by_name("price").expect("it is there").as_primitive::<Decimal128Type>();
        prices.extend(cents.values().iter().copied());
    }
    prices.sort_unstable();
    assert_eq!(prices, (0..6).map(|price| price * 101).collect::<Vec<i128>>(), "every value is the same number");
    assert_eq!(row_ids(store, permit, &table, newest).await?, ids(0, 0..6));
    for narrower in [priced_schema(10, 2, true), priced_schema(14, 2, false)] {
        let error = store.ensure(permit, &table, narrower, &[]).await.expect_err("nothing gets narrower");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    Ok(())
}

fn refused_schemas(schema: &SchemaRef) -> Vec<SchemaRef> {
    let fields = || schema.fields().iter().cloned().collect::<Vec<Arc<Field>>>();
    let mut required = fields();
    required.push(Arc::new(Field::new("must", DataType::Int64, false)));
    let mut retyped = fields();
    retyped[1] = Arc::new(Field::new("price", DataType::Utf8, true));
    let narrower = fields().split_off(1);
    [required, retyped, narrower].into_iter().map(|fields| Arc::new(Schema::new(fields))).collect()
}

async fn check_staged(store: &dyn TableStore, permit: &Permit) -> Result<()> {
    let table = name("staged");
    store.ensure(permit, &table, schema(), &[]).await?;
    let file = store.stage(permit, &table, vec![rows(7, 0, 3), rows(7, 3, 10)]).await?;
    assert_eq!(file.rows, 10);
    assert_eq!(store.snapshot(&table, None).await?.rows, 0, "a staged file is invisible");
    assert_eq!(file, store.stage(permit, &table, vec![rows(7, 0, 10)]).await?, "staging again gives the same file");
    let read = store.read_staged(permit, &table, &file).await?;
    assert_eq!(arrow::compute::concat_batches(&schema(), &read)?, rows(7, 0, 10));

    let both = Append { staged: vec![file.clone()], ..append(vec![rows(7, 10, 12)], 7, 0, 12) };
    let version = store.append(permit, &table, both.clone()).await?;
    assert_eq!(
        row_ids(store, permit, &table, version).await?,
        ids(7, 0..12),
        "rows and staged files become visible together"
    );
    assert_eq!(store.append(permit, &table, both).await?, version);
    assert_eq!(store.read_staged(permit, &table, &file).await?.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);

    let twice = Append { staged: vec![file.clone()], ..append(vec![], 7, 12, 22) };
    assert!(store.append(permit, &table, twice).await.is_err(), "a file that is shown is not shown again");
    let forged = StagedFile { hash: seawall_base::Hash::of(b"other"), ..file };
    let error = store.read_staged(permit, &table, &forged).await.expect_err("another hash is noticed");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(store.stage(permit, &table, vec![]).await.is_err(), "nothing cannot be staged");
    Ok(())
}

async fn check_replace(store: &dyn TableStore, permit: &Permit) -> Result<()> {
    let table = name("replace");
    store.ensure(permit, &table, schema(), &[]).await?;
    let old = store.append(permit, &table, append(vec![rows(0, 0, 5)], 0, 0, 5)).await?;
    let new = store.replace(permit, &table, append(vec![rows(0, 5, 8)], 0, 5, 8)).await?;
    assert_eq!(row_ids(store, permit, &table, new).await?, ids(0, 5..8), "a replacement shows its rows only");
    assert_eq!(row_ids(store, permit, &table, old).await?, ids(0, 0..5), "older versions stay readable");
    let again = store.replace(permit, &table, append(vec![rows(0, 5, 8)], 0, 5, 8)).await?;
    assert_eq!(again, new, "a replacement that is covered writes nothing");
    let stale = store.replace(permit, &table, append(vec![rows(0, 5, 9)], 0, 5, 9)).await;
    assert_eq!(stale.expect_err("a replacement starts where the table ends").kind(), ErrorKind::Conflict);
    let more = store.append(permit, &table, append(vec![rows(0, 8, 9)], 0, 8, 9)).await?;
    assert_eq!(row_ids(store, permit, &table, more).await?, ids(0, 5..9));
    let none = store.replace(permit, &table, append(vec![], 0, 9, 10)).await?;
    assert_eq!(store.snapshot(&table, Some(none)).await?.rows, 0, "a replacement may leave nothing");
    assert_eq!(row_ids(store, permit, &table, more).await?, ids(0, 5..9));
    Ok(())
}

async fn check_versions_never_change(store: &dyn TableStore, permit: &Permit) -> Result<()> {
    let table = name("versions");
    store.ensure(permit, &table, schema(), &[]).await?;
    let mut ends = vec![(TableVersion(0), 0)];
    for end in 1..=45u64 {
        let version = store.append(permit, &table, append(vec![rows(0, end - 1, end)], 0, end - 1, end)).await?;
        ends.push((version, end));
    }
    for (version, end) in ends {
        assert_eq!(
            row_ids(store, permit, &table, version).await?,
            ids(0, 0..end as i64),
            "version {} changed",
            version.0
        );
        let snapshot = store.snapshot(&table, Some(version)).await?;
        assert_eq!((snapshot.rows, snapshot.cut.end(Partition(0))), (end, Offset(end)));
    }
    let error = store.snapshot(&table, Some(TableVersion(99))).await.expect_err("no such version");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let columns = Some(["nowhere".to_owned()]);
    let error = store.scan(permit, &table, TableVersion(3), columns.as_ref().map(|columns| &columns[..])).await;
    assert_eq!(error.expect_err("no such column").kind(), ErrorKind::Invalid);
    Ok(())
}

async fn check_nested_and_null(store: &dyn TableStore, permit: &Permit) -> Result<()> {
    let table = name("nested");
    let point = Fields::from(vec![Field::new("x", DataType::Int64, true), Field::new("y", DataType::Utf8, true)]);
    let fields = vec![
        Field::new("tags", DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true))), true),
        Field::new("point", DataType::Struct(point.clone()), true),
        Field::new("at", types::instant_type(), true),
        Field::new("amount", DataType::Decimal128(12, 2), true),
    ];
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    store.ensure(permit, &table, Arc::clone(&schema), &[]).await?;
    let tags = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None, Some(vec![])]);
    let xs: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    let ys: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, None]));
    let points = StructArray::new(point, vec![xs, ys], Some(vec![true, false, true].into()));
    let instants = arrow::array::TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1)]).with_timezone("UTC");
    let amounts = arrow::array::Decimal128Array::from(vec![Some(-5), None, Some(i128::from(i64::MAX) / 100_000_000)]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(tags), Arc::new(points), Arc::new(instants), Arc::new(amounts.with_precision_and_scale(12, 2)?)];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let version = store.append(permit, &table, append(vec![batch.clone()], 0, 0, 3)).await?;
    let read = store.scan(permit, &table, version, None).await?;
    assert_eq!(arrow::compute::concat_batches(&schema, &read)?, batch, "nested values come back as they were");
    let columns = ["at".to_owned(), "tags".to_owned()];
    let some = store.scan(permit, &table, version, Some(&columns)).await?;
    assert_eq!(arrow::compute::concat_batches(&some[0].schema(), &some)?, batch.project(&[2, 0])?);
    Ok(())
}

async fn check_tables(store: &dyn TableStore) -> Result<()> {
    let names: Vec<String> = store.tables().await?.iter().map(TableName::to_string).collect();
    assert_eq!(names, ["conflict", "evolution", "idempotent", "nested", "replace", "staged", "versions", "widening"]);
    Ok(())
}

/// Appends of two rows each until `end`.
async fn appended(store: &dyn TableStore, permit: &Permit, table: &TableName, end: u64) -> Result<()> {
    store.ensure(permit, table, schema(), &[]).await?;
    let mut from = store.snapshot(table, None).await?.cut.end(Partition(0)).0;
    while from < end {
        store.append(permit, table, append(vec![rows(0, from, from + 2)], 0, from, from + 2)).await?;
        from += 2;
    }
    Ok(())
}

async fn check_compaction(store: &dyn TableStore, upkeep: &dyn TableUpkeep, permit: &Permit) -> Result<()> {
    let table = name("compaction");
    appended(store, permit, &table, 40).await?;
    let before = store.snapshot(&table, None).await?;
    let targets = CompactionTargets { similar_files: 4, ..CompactionTargets::default() };
    loop {
        let run = upkeep.compact(permit, &table, &targets).await?;
        let now = store.snapshot(&table, None).await?;
        assert_eq!(run.version, now.version, "a compaction tells the newest version");
        assert_eq!((now.rows, &now.cut, &now.schema), (before.rows, &before.cut, &before.schema));
        assert_eq!(row_ids(store, permit, &table, now.version).await?, ids(0, 0..40), "a compaction keeps the rows");
        if !run.more {
            break;
        }
    }
    assert_eq!(upkeep.files(&table, &targets).await?.to_merge, 0, "nothing is left to merge");
    let idle = upkeep.compact(permit, &table, &targets).await?;
    assert_eq!(idle.version, store.snapshot(&table, None).await?.version, "an idle run commits nothing");
    assert_eq!(row_ids(store, permit, &table, before.version).await?, ids(0, 0..40), "older versions stay");
    appended(store, permit, &table, 44).await?;
    let newest = store.snapshot(&table, None).await?.version;
    assert_eq!(row_ids(store, permit, &table, newest).await?, ids(0, 0..44));
    Ok(())
}

/// Selects the rows whose `id` the predicate names.
fn select(is_selected: impl Fn(i64) -> bool + Send + Sync + 'static) -> RowsToDelete {
    let select = move |batch: &RecordBatch| {
        let ids = batch.column_by_name("id").expect("the suite's rows have an id").as_primitive::<Int64Type>();
        Ok(ids.iter().map(|id| Some(id.is_some_and(&is_selected))).collect::<BooleanArray>())
    };
    RowsToDelete { reason: "the suite asks for it".into(), select: Arc::new(select) }
}

async fn check_deletion(store: &dyn TableStore, upkeep: &dyn TableUpkeep, permit: &Permit) -> Result<()> {
    let table = name("deletion");
    appended(store, permit, &table, 20).await?;
    let before = store.snapshot(&table, None).await?;
    let nothing = upkeep.delete_rows(permit, &table, &select(|id| id > 99)).await?;
    assert_eq!((nothing.version, nothing.rows), (before.version, 0), "a deletion of nothing commits nothing");
    let some = upkeep.delete_rows(permit, &table, &select(|id| id % 4 == 0 || id == 5)).await?;
    assert_eq!(some.rows, 6);
    let left: Vec<(i32, i64)> = ids(0, 0..20).into_iter().filter(|(_, id)| id % 4 != 0 && *id != 5).collect();
    assert_eq!(row_ids(store, permit, &table, some.version).await?, left, "other rows keep their identity");
    let now = store.snapshot(&table, None).await?;
    assert_eq!((now.version, now.rows, &now.cut), (some.version, 14, &before.cut), "a deletion keeps the cut");
    assert_eq!(row_ids(store, permit, &table, before.version).await?, ids(0, 0..20), "older versions keep the rows");
    let again = store.append(permit, &table, append(vec![rows(0, 18, 20)], 0, 18, 20)).await?;
    assert_eq!(again, some.version, "deleted rows do not come back with a repeated append");
    upkeep.delete_rows(permit, &table, &select(|_| true)).await?;
    assert_eq!(store.snapshot(&table, None).await?.rows, 0);
    Ok(())
}

async fn check_restore(store: &dyn TableStore, upkeep: &dyn TableUpkeep, permit: &Permit) -> Result<()> {
    let table = name("restore");
    appended(store, permit, &table, 6).await?;
    let old = store.snapshot(&table, None).await?;
    appended(store, permit, &table, 12).await?;
    let newest = store.snapshot(&table, None).await?;
    let moved = upkeep.restore_version(permit, &table, TableVersion(1), old.version).await;
    let moved = moved.expect_err("an operation on another version than the newest is refused");
    assert_eq!((moved.kind(), moved.code()), (ErrorKind::Conflict, "SW0516"), "{moved}");
    let ahead = upkeep.restore_version(permit, &table, TableVersion(99), newest.version).await;
    assert_eq!(ahead.expect_err("no such version").kind(), ErrorKind::NotFound);
    let restored = upkeep.restore_version(permit, &table, old.version, newest.version).await?;
    assert_eq!(row_ids(store, permit, &table, restored).await?, ids(0, 0..6));
    assert_eq!(store.snapshot(&table, None).await?.cut, newest.cut, "a return keeps the cut");
    let again = upkeep.restore_version(permit, &table, old.version, restored).await?;
    assert_eq!(again, restored, "a return to what is shown commits nothing");
    let back = upkeep.restore_version(permit, &table, newest.version, restored).await?;
    assert_eq!(row_ids(store, permit, &table, back).await?, ids(0, 0..12), "and a return can be returned from");
    appended(store, permit, &table, 14).await?;
    let newest = store.snapshot(&table, None).await?.version;
    assert_eq!(row_ids(store, permit, &table, newest).await?, ids(0, 0..14));
    Ok(())
}

async fn check_vacuum(store: &dyn TableStore, upkeep: &dyn TableUpkeep, permit: &Permit) -> Result<()> {
    let table = name("vacuum");
    appended(store, permit, &table, 60).await?;
    upkeep.delete_rows(permit, &table, &select(|id| id < 10)).await?;
    appended(store, permit, &table, 70).await?;
    let newest = store.snapshot(&table, None).await?;
    let keep = |keep, dry_run| VacuumOptions {
        pinned: [TableVersion(7), TableVersion(13)].into(),
        keep,
        staged: StagedFiles::Keep,
        dry_run,
    };
    for harmless in [keep(Span::ZERO, true), keep(Span::DAY, false)] {
        upkeep.vacuum(permit, &table, &harmless).await?;
        assert_eq!(row_ids(store, permit, &table, TableVersion(3)).await?, ids(0, 0..6), "nothing is given up yet");
    }
    let vacuum = upkeep.vacuum(permit, &table, &keep(Span::ZERO, false)).await?;
    assert_eq!(vacuum.readable_from, newest.version);
    assert_eq!(vacuum.pinned, [TableVersion(7), TableVersion(13)]);
    assert_eq!(row_ids(store, permit, &table, newest.version).await?, ids(0, 10..70));
    assert_eq!(row_ids(store, permit, &table, TableVersion(7)).await?, ids(0, 0..14), "a pinned version stays");
    assert_eq!(row_ids(store, permit, &table, TableVersion(13)).await?, ids(0, 0..26), "a pinned version stays");
    let gone = store.snapshot(&table, Some(TableVersion(8))).await.expect_err("a version that was given up");
    assert_eq!((gone.kind(), gone.code()), (ErrorKind::NotFound, "SW0517"), "{gone}");
    let gone = upkeep.restore_version(permit, &table, TableVersion(8), newest.version).await;
    assert_eq!(gone.expect_err("no way back to it").code(), "SW0517");
    appended(store, permit, &table, 74).await?;
    let after = store.snapshot(&table, None).await?.version;
    assert_eq!(row_ids(store, permit, &table, after).await?, ids(0, 10..74), "the table goes on");
    let unpinned = VacuumOptions { pinned: [].into(), ..keep(Span::ZERO, false) };
    upkeep.vacuum(permit, &table, &unpinned).await?;
    assert_eq!(store.snapshot(&table, Some(TableVersion(7))).await.expect_err("no longer pinned").code(), "SW0517");
    assert_eq!(row_ids(store, permit, &table, after).await?, ids(0, 10..74));
    Ok(())
}
