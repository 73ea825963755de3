use arrow::array::{Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::DataType;
use arrow::util::pretty::pretty_format_batches;
use seawall_base::declare::{
    Aggregation, DerivedFeature, Feature, Label, LabelValue, OwnRow, RequestValue, Spine as DeclaredSpine, ValueType,
    WindowEdge,
};
use seawall_base::error::ErrorKind;
use seawall_base::table::Append;
use seawall_base::{Cut, Offset, Partition, Span};

use super::*;
use crate::table::{DeltaStore, MemoryStore};
use crate::tests::permit;

const MINUTE: i64 = 60_000_000;

fn minute(at: i64) -> Instant {
    Instant(at * MINUTE)
}

fn instants(minutes: &[i64]) -> ArrayRef {
    let times: Vec<i64> = minutes.iter().map(|at| at * MINUTE).collect();
    Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
}

fn dataset(name: &str, fields: Vec<Field>, primary_key: &[&str], event_time: &str) -> Dataset {
    Dataset {
        name: name.into(),
        schema: Arc::new(Schema::new(fields)),
        primary_key: primary_key.iter().map(|name| (*name).to_owned()).collect(),
        event_time: Some(event_time.into()),
        personal: Vec::new(),
        subject: None,
        changelog: None,
    }
}

fn payments() -> Dataset {
    let fields = vec![
        Field::new("payment_id", DataType::Utf8, false),
        Field::new("card_id", DataType::Utf8, true),
        Field::new("amount", DataType::Float64, true),
        Field::new("paid_at", types::instant_type(), false),
    ];
    dataset("payments", fields, &["payment_id"], "paid_at")
}

fn chargebacks() -> Dataset {
    let fields = vec![
        Field::new("payment_id", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, true),
        Field::new("at", types::instant_type(), false),
    ];
    dataset("chargebacks", fields, &["payment_id"], "at")
}

fn rows(dataset: &Dataset, columns: Vec<ArrayRef>, available: &[i64]) -> RecordBatch {
    let count = available.len() as i64;
    let mut columns = columns;
    columns.push(Arc::new(Int32Array::from(vec![0; available.len()])));
    columns.push(Arc::new(Int64Array::from((0..count).collect::<Vec<i64>>())));
    columns.push(instants(available));
    columns.push(instants(available));
    RecordBatch::try_new(dataset.table_schema(), columns).unwrap()
}

async fn load(store: &dyn TableStore, dataset: &Dataset, batch: RecordBatch) {
    let table = TableName::dataset(&dataset.name).unwrap();
    store.ensure(&permit(), &table, dataset.table_schema(), &[]).await.unwrap();
    let until = Cut::of(Partition(0), Offset(batch.num_rows() as u64));
    // Two batches in a foreign order: the result must not depend on either.
    let batches = vec![batch.slice(2, batch.num_rows() - 2), batch.slice(0, 2)];
    let append = Append { batches, staged: vec![], from: Cut::empty(), until };
    store.append(&permit(), &table, append).await.unwrap();
}

/// Six payments on two cards. `p3` arrives ten minutes late; `p5` and `p6` are paid in the same minute.
async fn fill(store: &dyn TableStore) {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["p1", "p2", "p3", "p4", "p6", "p5"])),
        Arc::new(StringArray::from(vec![Some("a"), Some("b"), Some("a"), Some("a"), Some("a"), None])),
        Arc::new(Float64Array::from(vec![Some(1.0), Some(50.0), Some(4.0), None, Some(16.0), Some(2.0)])),
        instants(&[0, 1, 5, 12, 30, 30]),
    ];
    load(store, &payments(), rows(&payments(), columns, &[0, 1, 15, 12, 30, 30])).await;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["p1", "p1", "p2", "p6"])),
        Arc::new(StringArray::from(vec!["late", "first", "stolen", "unknown yet"])),
        instants(&[200, 100, 110, 120]),
    ];
    load(store, &chargebacks(), rows(&chargebacks(), columns, &[200, 100, 110, 1_000])).await;
}

fn card() -> FeatureView {
    let feature = |name: &str, aggregation, window: Option<i64>| Feature {
        name: name.into(),
        aggregation,
        window: window.map(|minutes| Span(minutes * MINUTE)),
        edge: WindowEdge::Exact,
        filter: None,
    };
    let amount = || "amount".to_owned();
    FeatureView {
        name: "card".into(),
        version: 1,
        entity: vec!["card_id".into()],
        from: "payments".into(),
        time: "paid_at".into(),
        features: vec![
            feature("n", Aggregation::Count { column: None }, Some(60)),
            feature("sum", Aggregation::Sum { column: amount() }, Some(20)),
            feature("last", Aggregation::Latest { column: amount() }, None),
        ],
        computed: vec![],
    }
}

fn plan(label: LabelValue, built_at: i64) -> TrainingSetPlan {
    let training_set = TrainingSet {
        name: "fraud".into(),
        rows: DeclaredSpine { from: "payments".into(), at: "paid_at".into(), own_row: OwnRow::Exclude },
        label: Some(Label { from: "chargebacks".into(), join: vec!["payment_id".into()], value: label }),
        service: None,
        features: vec![FeatureRef { view: "card@1".parse().unwrap(), entity: vec!["card_id".into()], only: vec![] }],
        context: vec![("big".into(), "amount > 3".into()), ("who".into(), "coalesce(card_id, '-') || '!'".into())],
        request: vec![],
        derived: vec![],
        visibility_lag: Span::ZERO,
        known: seawall_base::declare::Known::InTime,
        contract: None,
    };
    TrainingSetPlan {
        training_set,
        views: vec![card()],
        datasets: vec![payments(), chargebacks()],
        revision: "r1".into(),
        built_at: minute(built_at),
        versions: vec![],
        progress: Arc::default(),
    }
}

fn present() -> LabelValue {
    LabelValue::Present { final_after: Span(500 * MINUTE) }
}

async fn build(store: &dyn TableStore, plan: &TrainingSetPlan) -> Result<TrainingSetRows> {
    let sessions = SessionFactory::new(1 << 26, None, None)?;
    let runtime = QueryRuntime::start(1)?;
    let roomy = Budget { bytes: 1 << 26, folder: None };
    let built = Builder::new(store, &sessions, &runtime, &permit(), &roomy).build(plan).await;
    // Where a history lies while it is swept changes nothing.
    let spilling = Budget { bytes: 1, folder: None };
    let spilled = Builder::new(store, &sessions, &runtime, &permit(), &spilling).build(plan).await;
    match (&built, &spilled) {
        (Ok(built), Ok(spilled)) => {
            assert_eq!((&built.rows, &built.fingerprint), (&spilled.rows, &spilled.fingerprint));
            let (done, total) = plan.progress.rows();
            assert!(done <= total && total > 0, "{done} of {total}");
        }
        (Err(built), Err(spilled)) => assert_eq!(built.to_string(), spilled.to_string()),
        _ => panic!("one build of two failed: {:?} {:?}", built.err(), spilled.err()),
    }
    built
}

fn column<'r>(built: &'r TrainingSetRows, name: &str) -> &'r ArrayRef {
    built.rows.column_by_name(name).unwrap()
}

fn texts(built: &TrainingSetRows, name: &str) -> Vec<Option<String>> {
    column(built, name).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

fn labels(built: &TrainingSetRows) -> Vec<Option<bool>> {
    column(built, LABEL).as_boolean().iter().collect()
}

fn floats(built: &TrainingSetRows, name: &str) -> Vec<Option<f64>> {
    column(built, name).as_primitive::<arrow::datatypes::Float64Type>().iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_sees_what_was_known_then_and_never_itself() {
    let memory = MemoryStore::new();
    fill(&memory).await;
    let built = build(&memory, &plan(present(), 520)).await.unwrap();
    println!("{}", pretty_format_batches(std::slice::from_ref(&built.rows)).unwrap());
    let names: Vec<String> = built.rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["payment_id", "_at", "big", "who", "card__n", "card__sum", "card__last", "label"]);

    // Ordered by decision time, then key: p5 before p6, which came first.
    let ids: Vec<String> = texts(&built, "payment_id").into_iter().flatten().collect();
    assert_eq!(ids, ["p1", "p2", "p3", "p4", "p5", "p6"]);
    let who: Vec<String> = texts(&built, "who").into_iter().flatten().collect();
    assert_eq!(who, ["a!", "b!", "a!", "a!", "-!", "a!"]);
    let big: Vec<Option<bool>> = column(&built, "big").as_boolean().iter().collect();
    assert_eq!(big, [Some(false), Some(true), Some(true), None, Some(false), Some(true)]);

    // p4 at 12 sees p1 but not p3, which was paid at 5 and arrived at 15. p6 at 30 sees p1, p3 and p4, not itself.
    let counts: Vec<Option<i64>> =
        column(&built, "card__n").as_primitive::<arrow::datatypes::Int64Type>().iter().collect();
    assert_eq!(counts, [Some(0), Some(0), Some(1), Some(1), None, Some(3)]);
    // The 20 minutes before 30 hold p4 only, whose amount is null; p3 at 5 and p1 at 0 lie before.
    assert_eq!(floats(&built, "card__sum"), [None, None, Some(1.0), Some(1.0), None, None]);
    assert_eq!(floats(&built, "card__last"), [None, None, Some(1.0), Some(1.0), None, None]);

    // At 520 only payments up to 20 are old enough for "no chargeback"; the one of p6 comes after the build.
    assert_eq!(labels(&built), [Some(true), Some(true), Some(false), Some(false), None, None]);
    assert_eq!((built.fingerprint.rows, built.fingerprint.labelled), (6, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_can_be_the_value_of_the_first_outcome_known() {
    let memory = MemoryStore::new();
    fill(&memory).await;
    let reason = || LabelValue::Column("reason".into());
    let built = build(&memory, &plan(reason(), 520)).await.unwrap();
    let expected = [Some("first"), Some("stolen"), None, None, None, None].map(|text| text.map(str::to_owned));
    assert_eq!(texts(&built, LABEL), expected);
    let early = build(&memory, &plan(reason(), 110)).await.unwrap();
    assert_eq!(texts(&early, LABEL)[1], None, "what becomes available at the build is not known before it");
    assert_eq!(early.fingerprint.labelled, 1);
    let later = build(&memory, &plan(present(), 2_000)).await.unwrap();
    assert_eq!(labels(&later)[4..], [Some(false), Some(true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visibility_lag_hides_what_serving_could_not_have_seen() {
    let memory = MemoryStore::new();
    fill(&memory).await;
    let mut lagging = plan(present(), 520);
    lagging.training_set.visibility_lag = Span(5 * MINUTE);
    let built = build(&memory, &lagging).await.unwrap();
    let counts: Vec<Option<i64>> =
        column(&built, "card__n").as_primitive::<arrow::datatypes::Int64Type>().iter().collect();
    // p3 at 5: p1 became available at 0, and K is 0, so `available_at < K` fails.
    assert_eq!(counts, [Some(0), Some(0), Some(0), Some(1), None, Some(3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_inputs_give_equal_fingerprints_in_every_store() {
    let folder = tempfile::tempdir().unwrap();
    let (memory, files) = (MemoryStore::new(), DeltaStore::open(folder.path()).unwrap());
    fill(&memory).await;
    fill(&files).await;
    let in_memory = build(&memory, &plan(present(), 520)).await.unwrap();
    let in_files = build(&files, &plan(present(), 520)).await.unwrap();
    assert_eq!(in_memory.rows, in_files.rows);
    assert_eq!(in_memory.fingerprint, in_files.fingerprint);
    let pins: Vec<(&str, u64)> =
        in_files.fingerprint.inputs.iter().map(|pin| (pin.table.as_str(), pin.version.0)).collect();
    assert_eq!(pins, [("chargebacks", 1), ("payments", 1)]);
    assert_eq!(in_files.fingerprint.definitions.len(), 2);
    assert_eq!(in_files.fingerprint.content, content_hash(&[in_files.rows.slice(0, 1), in_files.rows.slice(1, 5)]));

    // Rows that come later do not change what is built at the pinned versions.
    let table = TableName::dataset("payments").unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["p7"])),
        Arc::new(StringArray::from(vec!["a"])),
        Arc::new(Float64Array::from(vec![9.0])),
        instants(&[10]),
    ];
    let later = rows(&payments(), columns, &[10]);
    let (from, until) = (Cut::of(Partition(0), Offset(6)), Cut::of(Partition(0), Offset(7)));
    files.append(&permit(), &table, Append { batches: vec![later], staged: vec![], from, until }).await.unwrap();
    let pinned = TrainingSetPlan { versions: vec![("payments".into(), TableVersion(1))], ..plan(present(), 520) };
    assert_eq!(build(&files, &pinned).await.unwrap().fingerprint, in_files.fingerprint);
    let newest = build(&files, &plan(present(), 520)).await.unwrap();
    assert_eq!(newest.fingerprint.rows, 7);
    assert_ne!(newest.fingerprint.content, in_files.fingerprint.content);
}

fn derived(name: &str, sql: &str, reads: &[&str]) -> DerivedFeature {
    let reads = reads.iter().map(|read| (*read).to_owned()).collect();
    DerivedFeature { name: name.to_owned(), sql: sql.to_owned(), reads }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_derived_reads_features_context_and_each_other() {
    let memory = MemoryStore::new();
    fill(&memory).await;
    let mut plan = plan(present(), 520);
    plan.training_set.derived = vec![
        derived("later", "coalesce(per_row, -1.0) + 1", &["per_row"]),
        derived("per_row", "card__sum / (card__n - 1)", &["card__n", "card__sum"]),
        derived("shouted", "upper(who) || cast(card__n as varchar)", &["card__n", "who"]),
        derived("failing", "10 / (card__n - 1)", &["card__n"]),
    ];
    let built = build(&memory, &plan).await.unwrap();
    let names: Vec<String> = built.rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names[7..], ["later", "per_row", "shouted", "failing", "label"]);
    // card__n is 0, 0, 1, 1, null, 3 and card__sum null, null, 1, 1, null, null.
    let infinite = Some(f64::INFINITY);
    assert_eq!(floats(&built, "per_row"), [None, None, infinite, infinite, None, None]);
    let filled = Some(0.0);
    assert_eq!(floats(&built, "later"), [filled, filled, infinite, infinite, filled, filled]);
    let shouted: Vec<Option<String>> =
        ["A!0", "B!0", "A!1", "A!1", "", "A!3"].map(|text| (!text.is_empty()).then(|| text.to_owned())).to_vec();
    assert_eq!(texts(&built, "shouted"), shouted);
    let failing: Vec<Option<i64>> =
        column(&built, "failing").as_primitive::<arrow::datatypes::Int64Type>().iter().collect();
    assert_eq!(failing, [Some(-10), Some(-10), None, None, None, Some(5)], "rows that fail have no value");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_takes_its_request_from_the_context_or_else_from_the_rows() {
    let memory = MemoryStore::new();
    fill(&memory).await;
    let plain = build(&memory, &plan(present(), 520)).await.unwrap();
    let mut bound = plan(present(), 520);
    let set = &mut bound.training_set;
    set.service = Some("fraud@1".parse().unwrap());
    set.features[0].entity = vec!["payer".into()];
    set.features[0].only = vec!["sum".into(), "n".into()];
    set.context = vec![("payer".into(), "card_id".into())];
    set.request = vec![RequestValue { name: "amount".into(), of: ValueType::Double }];
    set.derived = vec![derived("with_this", "card__sum + amount", &["amount", "card__sum"])];
    bound.views = vec![bound.training_set.features[0].narrow(&card())];
    let built = build(&memory, &bound).await.unwrap();
    let names: Vec<String> = built.rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["payment_id", "_at", "payer", "card__sum", "card__n", "with_this", "label"]);
    for name in ["card__sum", "card__n"] {
        assert_eq!(column(&built, name), column(&plain, name));
    }
    // p3 paid 4.0 when 1.0 was known, p4 paid an unknown amount.
    assert_eq!(floats(&built, "with_this")[2..4], [Some(5.0), None]);

    let missing = |plan: &mut TrainingSetPlan| {
        plan.training_set.service = Some("fraud@1".parse().unwrap());
        plan.training_set.request = vec![RequestValue { name: "amont".into(), of: ValueType::Double }];
        plan.training_set.derived = vec![derived("more", "amont + 1", &["amont"])];
    };
    check_refused(missing, codes::SPINE, "amont").await;
}

async fn check_refused(change: impl FnOnce(&mut TrainingSetPlan), code: &str, part: &str) {
    let memory = MemoryStore::new();
    fill(&memory).await;
    let mut plan = plan(present(), 520);
    change(&mut plan);
    let error = build(&memory, &plan).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, code), "{error}");
    assert!(error.to_string().contains(part), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_of_a_declaration_are_named() {
    check_refused(|plan| plan.datasets[0].primary_key.clear(), codes::SPINE, "no primary key").await;
    check_refused(|plan| plan.training_set.rows.at = "amount".into(), codes::SPINE, "Float64").await;
    check_refused(|plan| plan.training_set.rows.at = "when".into(), codes::SPINE, "\"when\"").await;
    check_refused(|plan| plan.views.clear(), codes::PLAN_INCOMPLETE, "card@1").await;
    check_refused(|plan| plan.training_set.features[0].entity.clear(), codes::PLAN_INCOMPLETE, "entity").await;
    let twice = |plan: &mut TrainingSetPlan| plan.training_set.features.push(plan.training_set.features[0].clone());
    check_refused(twice, codes::PLAN_INCOMPLETE, "card__n").await;
    for context in ["(select max(amount) from input)", "row_number() over ()", "amount > (select 1)"] {
        let change = |plan: &mut TrainingSetPlan| plan.training_set.context[0].1 = context.to_owned();
        check_refused(change, codes::CONTEXT, "row alone").await;
    }
    let total = |plan: &mut TrainingSetPlan| plan.training_set.context[0].1 = "sum(amount)".into();
    check_refused(total, codes::SQL_INVALID, "sum(input.amount)").await;
    let column = |plan: &mut TrainingSetPlan| plan.training_set.context[0].1 = "amont > 1".into();
    check_refused(column, codes::SQL_COLUMN_UNKNOWN, "amont").await;
    let join = |plan: &mut TrainingSetPlan| {
        let label = plan.training_set.label.as_mut().unwrap();
        label.join = vec!["reason".into()];
    };
    check_refused(join, codes::LABEL, "reason").await;
}

/// Against an oracle that looks at every pair of rows.
#[tokio::test(flavor = "multi_thread")]
async fn counts_agree_with_a_loop_over_all_pairs() {
    let rng = seawall_base::SeededRng::new(7);
    let next = |below: i64| {
        let mut bytes = [0u8; 8];
        seawall_base::Rng::fill(&rng, &mut bytes);
        (u64::from_le_bytes(bytes) % below as u64) as i64
    };
    let count = 120usize;
    let at: Vec<i64> = (0..count).map(|_| next(200)).collect();
    let available: Vec<i64> = at.iter().map(|at| at + next(30)).collect();
    let cards: Vec<i64> = (0..count).map(|_| next(4)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from((0..count).map(|i| format!("p{i:03}")).collect::<Vec<_>>())),
        Arc::new(StringArray::from(cards.iter().map(|card| format!("c{card}")).collect::<Vec<_>>())),
        Arc::new(Float64Array::from(vec![1.0; count])),
        instants(&at),
    ];
    let memory = MemoryStore::new();
    load(&memory, &payments(), rows(&payments(), columns, &available)).await;
    let mut unlabelled = plan(present(), 520);
    unlabelled.training_set.label = None;
    let built = build(&memory, &unlabelled).await.unwrap();
    assert!(built.rows.column_by_name(LABEL).is_none());
    let counts = column(&built, "card__n").as_primitive::<arrow::datatypes::Int64Type>().clone();
    for (row, id) in texts(&built, "payment_id").into_iter().enumerate() {
        let me: usize = id.unwrap()[1..].parse().unwrap();
        let sees = |other: usize| {
            other != me
                && cards[other] == cards[me]
                && at[other] <= at[me]
                && at[other] > at[me] - 60
                && available[other] < at[me]
        };
        let expected = (0..count).filter(|other| sees(*other)).count() as i64;
        assert_eq!(counts.value(row), expected, "payment {me}");
    }
}

/// `known: ignore` against an oracle that lists every row of the window, available or not.
#[tokio::test(flavor = "multi_thread")]
async fn availability_can_be_ignored_to_show_what_a_leak_is_worth() {
    let rng = seawall_base::SeededRng::new(11);
    let next = |below: i64| {
        let mut bytes = [0u8; 8];
        seawall_base::Rng::fill(&rng, &mut bytes);
        (u64::from_le_bytes(bytes) % below as u64) as i64
    };
    let count = 150usize;
    let at: Vec<i64> = (0..count).map(|_| next(200)).collect();
    let available: Vec<i64> = at.iter().map(|at| at + next(300)).collect();
    let cards: Vec<i64> = (0..count).map(|_| next(4)).collect();
    let amounts: Vec<f64> = (0..count).map(|_| next(50) as f64).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from((0..count).map(|i| format!("p{i:03}")).collect::<Vec<_>>())),
        Arc::new(StringArray::from(cards.iter().map(|card| format!("c{card}")).collect::<Vec<_>>())),
        Arc::new(Float64Array::from(amounts.clone())),
        instants(&at),
    ];
    let memory = MemoryStore::new();
    load(&memory, &payments(), rows(&payments(), columns, &available)).await;
    let mut in_time = plan(present(), 520);
    in_time.training_set.label = None;
    in_time.training_set.visibility_lag = Span(7 * MINUTE);
    let mut ignoring = in_time.clone();
    ignoring.training_set.known = Known::Ignore;
    let built = build(&memory, &ignoring).await.unwrap();

    let counts = column(&built, "card__n").as_primitive::<arrow::datatypes::Int64Type>().clone();
    let (sums, lasts) = (floats(&built, "card__sum"), floats(&built, "card__last"));
    for (row, id) in texts(&built, "payment_id").into_iter().enumerate() {
        let me: usize = id.unwrap()[1..].parse().unwrap();
        let seen: Vec<usize> = (0..count).filter(|i| *i != me && cards[*i] == cards[me] && at[*i] <= at[me]).collect();
        let times = &at;
        let inside = |window: i64| seen.iter().copied().filter(move |i| times[*i] > times[me] - window);
        assert_eq!(counts.value(row), inside(60).count() as i64, "payment {me}");
        let sum = inside(20).map(|i| amounts[i]).reduce(|a, b| a + b);
        assert_eq!(sums[row], sum, "payment {me}");
        let last = seen.iter().max_by_key(|i| (at[**i], available[**i], **i)).map(|i| amounts[*i]);
        assert_eq!(lasts[row], last, "payment {me}");
    }
    let honest = build(&memory, &in_time).await.unwrap();
    assert_ne!(honest.rows, built.rows, "a leak makes a difference");
    assert_ne!(honest.fingerprint.definitions[0], built.fingerprint.definitions[0]);
}

/// Labels are unchanged: what came of a decision counts as far as it was known when the set was built.
#[tokio::test(flavor = "multi_thread")]
async fn ignoring_availability_leaves_labels_alone() {
    let memory = MemoryStore::new();
    fill(&memory).await;
    let mut ignoring = plan(present(), 520);
    ignoring.training_set.known = Known::Ignore;
    let built = build(&memory, &ignoring).await.unwrap();
    assert_eq!(labels(&built), labels(&build(&memory, &plan(present(), 520)).await.unwrap()));
    let counts: Vec<Option<i64>> =
        column(&built, "card__n").as_primitive::<arrow::datatypes::Int64Type>().iter().collect();
    // p4 at 12 sees p3, which was paid at 5 and arrived at 15; no payment sees itself.
    assert_eq!(counts, [Some(0), Some(0), Some(1), Some(2), None, Some(3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_permit_builds_no_training_set() {
    use seawall_base::grant::{Grants, TableGrant};
    let memory = MemoryStore::new();
    fill(&memory).await;
    let (sessions, runtime) = (SessionFactory::new(1 << 26, None, None).unwrap(), QueryRuntime::start(1).unwrap());
    let plan = plan(present(), 520);
    let hidden = TableGrant { hidden: vec!["reason".into()], ..TableGrant::default() };
    for (chargebacks, is_allowed) in [(Some(TableGrant::default()), true), (Some(hidden), false), (None, false)] {
        let mut tables = BTreeMap::from([("payments".to_owned(), TableGrant::default())]);
        tables.extend(chargebacks.map(|grant| ("chargebacks".to_owned(), grant)));
        let permit = permit().restricted_by_policy(Grants::Tables(tables));
        let budget = Budget { bytes: 1 << 26, folder: None };
        match Builder::new(&memory, &sessions, &runtime, &permit, &budget).build(&plan).await {
            Ok(built) => assert!(is_allowed && built.fingerprint.rows == 6),
            Err(error) => {
                assert_eq!(
                    (is_allowed, error.kind(), error.code()),
                    (false, ErrorKind::Denied, codes::ROWS_RESTRICTED)
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_break_the_own_contract_are_left_out_or_refused() {
    let memory = MemoryStore::new();
    fill(&memory).await;
    let under = async |contract: serde_json::Value| {
        let mut plan = plan(present(), 520);
        plan.training_set.contract = Some(contract);
        build(&memory, &plan).await
    };
    let free = build(&memory, &plan(present(), 520)).await.unwrap();
    assert_eq!((free.gated, free.fingerprint.stopped), (None, 0));

    let cards = serde_json::json!({"properties": [{"name": "who", "logicalType": "string", "enum": ["a!", "b!"]}]});
    let held = under(cards).await.unwrap();
    let gated = held.gated.as_ref().unwrap();
    let ids: Vec<String> = texts(&held, "payment_id").into_iter().flatten().collect();
    assert_eq!(ids, ["p1", "p2", "p3", "p4", "p6"], "p5 has no card");
    let broken: Vec<(&str, &str, u64)> =
        gated.broken.iter().map(|broken| (broken.rule.as_str(), broken.mode.as_str(), broken.rows)).collect();
    assert_eq!(broken, [("enum", "quarantine", 1)]);
    assert_eq!(gated.stopped["payment_id"].as_string::<i32>().value(0), "p5");
    assert!(gated.stopped["_reasons"].as_string::<i32>().value(0).contains("\"rule\":\"enum\""));
    let labelled = labels(&held).iter().flatten().count() as u64;
    assert_eq!((held.fingerprint.rows, held.fingerprint.labelled, held.fingerprint.stopped), (5, labelled, 1));
    assert_eq!(held.fingerprint.content, content_hash(std::slice::from_ref(&held.rows)));

    let about_all = |quality: serde_json::Value| {
        let properties = [serde_json::json!({"name": "payment_id", "logicalType": "string"})];
        serde_json::json!({"properties": properties, "quality": [quality]})
    };
    let few = |mode: &str| {
        let mode = serde_json::json!([{"property": "seawall.mode", "value": mode}]);
        about_all(serde_json::json!({"metric": "rowCount", "mustBeGreaterThan": 100, "customProperties": mode}))
    };
    let warned = under(few("warn")).await.unwrap();
    assert_eq!((warned.rows.num_rows(), warned.gated.unwrap().broken[0].mode.as_str()), (6, "warn"));
    for mode in ["reject", "halt"] {
        let refused = under(few(mode)).await.unwrap_err();
        assert_eq!(refused.code(), "SW1511", "{refused}");
        assert!(refused.to_string().contains("rowCount"), "{refused}");
    }
    let sql = serde_json::json!({"type": "sql", "query": "select count(*) from {object}", "mustBe": 6});
    assert_eq!(under(about_all(sql)).await.unwrap_err().code(), "SW1513");
}
