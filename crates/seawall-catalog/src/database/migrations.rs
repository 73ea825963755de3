//! The schema, as one list of migrations. A migration that has been released is never edited; the next one is added.

use seawall_base::{Error, Instant, Result};

use super::{Connection, DuringResult, Fields, execute_all};

/// Every migration, in order; the schema version is the number of those that ran.
const MIGRATIONS: &[&str] = &[V1, V2, V3, V4, V5, V6, V7, V8];

/// Everything the first release keeps.
///
/// - `revision` holds each project once, by content hash; `activation` is the history of which was active.
/// - `view_version` never changes a row: that is what keeps `card@1` meaning the same for ever.
/// - `frame_position` holds, per dataset and partition, how many log entries are within the counts.
/// - `audit` is chained: `hash` covers the entry and `previous`.
const V1: &str = "
CREATE TABLE revision (
    hash TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE activation (
    seq BIGINT PRIMARY KEY,
    revision TEXT NOT NULL REFERENCES revision (hash),
    previous TEXT,
    at BIGINT NOT NULL,
    principal TEXT NOT NULL,
    permit TEXT NOT NULL,
    changes TEXT NOT NULL
);
CREATE TABLE view_version (
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    definition_hash TEXT NOT NULL,
    definition TEXT NOT NULL,
    revision TEXT NOT NULL REFERENCES revision (hash),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (name, version),
    UNIQUE (name, definition_hash)
);
CREATE TABLE revision_view (
    revision TEXT NOT NULL REFERENCES revision (hash),
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (revision, name),
    FOREIGN KEY (name, version) REFERENCES view_version (name, version)
);
CREATE TABLE lineage (
    revision TEXT NOT NULL REFERENCES revision (hash),
    from_object TEXT NOT NULL,
    from_column TEXT NOT NULL,
    to_object TEXT NOT NULL,
    to_column TEXT NOT NULL,
    via TEXT NOT NULL,
    PRIMARY KEY (revision, to_object, to_column, from_object, from_column, via)
);
CREATE TABLE audit (
    seq BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    principal TEXT NOT NULL,
    action TEXT NOT NULL,
    resource TEXT NOT NULL,
    permit TEXT NOT NULL,
    detail TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE TABLE token (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    salt TEXT NOT NULL,
    digest TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);
CREATE TABLE intent (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    expected TEXT NOT NULL,
    principal TEXT NOT NULL,
    permit TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    resolved_at BIGINT,
    outcome TEXT
);
CREATE TABLE table_version (
    table_name TEXT NOT NULL,
    version BIGINT NOT NULL,
    committed_at BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    cut TEXT NOT NULL,
    detail TEXT NOT NULL,
    permit TEXT NOT NULL,
    PRIMARY KEY (table_name, version)
);
CREATE TABLE frame_position (
    dataset TEXT NOT NULL,
    partition_id BIGINT NOT NULL,
    next_entry BIGINT NOT NULL,
    PRIMARY KEY (dataset, partition_id)
);
CREATE TABLE ingest_count (
    dataset TEXT PRIMARY KEY,
    received BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    deduplicated BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE TABLE quality (
    dataset TEXT NOT NULL,
    rule TEXT NOT NULL,
    column_name TEXT NOT NULL,
    mode TEXT NOT NULL,
    failed BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (dataset, rule, column_name, mode)
);
CREATE TABLE training_set_build (
    name TEXT NOT NULL,
    table_version BIGINT NOT NULL,
    fingerprint TEXT NOT NULL,
    content TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    permit TEXT NOT NULL,
    PRIMARY KEY (name, table_version)
);
CREATE TABLE certificate (
    hash TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    permit TEXT NOT NULL
);
CREATE INDEX intent_open ON intent (resolved_at, opened_at);
CREATE INDEX table_version_at ON table_version (table_name, committed_at);
";

/// Groups of a token's principal, a JSON list of names.
const V3: &str = "ALTER TABLE token ADD COLUMN groups TEXT NOT NULL DEFAULT '[]';";
/// What was done to keep the installation: backups, restores, scrubs, repairs, lifecycle runs. Bodies are JSON.
const V4: &str = "
CREATE TABLE maintenance (
    seq BIGINT PRIMARY KEY,
    kind TEXT NOT NULL,
    at BIGINT NOT NULL,
    body TEXT NOT NULL,
    permit TEXT NOT NULL
);
CREATE INDEX maintenance_kind ON maintenance (kind, seq);
";

/// Rows that left their quarantine.
///
/// - `lsn` is the row's offset in the quarantine, `released_lsn` that in the live partition of the table, null for a row
///   that was discarded. `entry` is the log entry that let it.
/// - The index is the promise that a row leaves once; a rollback that withdraws it sets `withdrawn_at`.
const V5: &str = "
CREATE TABLE quarantine_departure (
    dataset TEXT NOT NULL,
    partition_id BIGINT NOT NULL,
    lsn BIGINT NOT NULL,
    entry BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    arrived_at BIGINT NOT NULL,
    left_at BIGINT NOT NULL,
    released_lsn BIGINT,
    changed TEXT NOT NULL,
    contract TEXT NOT NULL,
    principal TEXT NOT NULL,
    permit TEXT NOT NULL,
    reason TEXT NOT NULL,
    withdrawn_at BIGINT,
    PRIMARY KEY (dataset, partition_id, lsn, entry)
);
CREATE UNIQUE INDEX quarantine_departure_once ON quarantine_departure (dataset, partition_id, lsn)
    WHERE withdrawn_at IS NULL;
CREATE INDEX quarantine_departure_order ON quarantine_departure (dataset, entry);
ALTER TABLE ingest_count ADD COLUMN released BIGINT NOT NULL DEFAULT 0;
ALTER TABLE ingest_count ADD COLUMN discarded BIGINT NOT NULL DEFAULT 0;
";
/// Models, decisions about them, and incidents.
///
/// - Bodies are JSON texts of the structs of the same names; the columns beside them are their keys, for queries.
/// - `decision.seq` is the number in `DEC-n`, `incident.seq` that in `INC-n`. `version` is 0 for none, `of_decision` is 0
///   for none, so that the unique key, by which a step that runs again finds what it wrote, holds no nulls.
/// - `reign` is the history of the alias champion and never changes a row; a reign ends where the next one begins.
///   `former` is the version to come back to.
/// - In `signal` the columns `column_name` and `slice` are empty for none.
const V2: &str = "
CREATE TABLE model_version (
    model TEXT NOT NULL,
    version BIGINT NOT NULL,
    digest TEXT NOT NULL,
    trained_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    permit TEXT NOT NULL,
    PRIMARY KEY (model, version),
    UNIQUE (model, digest, trained_at)
);
CREATE TABLE decision (
    seq BIGINT PRIMARY KEY,
    model TEXT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    version BIGINT NOT NULL,
    of_decision BIGINT NOT NULL,
    binds TEXT NOT NULL,
    required TEXT NOT NULL,
    body TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    permit TEXT NOT NULL,
    UNIQUE (model, at, kind, version, of_decision)
);
CREATE INDEX decision_of ON decision (of_decision);
CREATE TABLE approval (
    decision BIGINT NOT NULL REFERENCES decision (seq),
    position BIGINT NOT NULL,
    principal TEXT NOT NULL,
    role TEXT NOT NULL,
    member_of TEXT NOT NULL,
    binds TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    permit TEXT NOT NULL,
    PRIMARY KEY (decision, principal),
    UNIQUE (decision, position)
);
CREATE TABLE model_alias (
    model TEXT PRIMARY KEY,
    champion BIGINT,
    challenger BIGINT,
    former BIGINT,
    champion_since BIGINT,
    FOREIGN KEY (model, champion) REFERENCES model_version (model, version),
    FOREIGN KEY (model, challenger) REFERENCES model_version (model, version),
    FOREIGN KEY (model, former) REFERENCES model_version (model, version)
);
CREATE TABLE reign (
    model TEXT NOT NULL,
    position BIGINT NOT NULL,
    version BIGINT NOT NULL,
    former BIGINT,
    from_at BIGINT NOT NULL,
    decision BIGINT NOT NULL REFERENCES decision (seq),
    PRIMARY KEY (model, position),
    FOREIGN KEY (model, version) REFERENCES model_version (model, version)
);
CREATE TABLE signal (
    subject TEXT NOT NULL,
    at BIGINT NOT NULL,
    metric TEXT NOT NULL,
    column_name TEXT NOT NULL,
    slice TEXT NOT NULL,
    body TEXT NOT NULL,
    permit TEXT NOT NULL,
    PRIMARY KEY (subject, at, metric, column_name, slice)
);
CREATE INDEX signal_at ON signal (at);
CREATE TABLE incident (
    seq BIGINT PRIMARY KEY,
    incident_key TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    closed_at BIGINT,
    body TEXT NOT NULL,
    permit TEXT NOT NULL,
    UNIQUE (incident_key, opened_at)
);
CREATE INDEX incident_open ON incident (closed_at, incident_key);
CREATE TABLE control_position (
    name TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    permit TEXT NOT NULL
);
";

/// Quality by the hour of arrival: rows that came in, and rows that failed each rule. What had been counted before is in
/// the hour in which it was counted last.
const V6: &str = "
CREATE TABLE intake_hour (
    dataset TEXT NOT NULL,
    hour BIGINT NOT NULL,
    received BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    deduplicated BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    PRIMARY KEY (dataset, hour)
);
CREATE TABLE quality_hour (
    dataset TEXT NOT NULL,
    hour BIGINT NOT NULL,
    rule TEXT NOT NULL,
    column_name TEXT NOT NULL,
    mode TEXT NOT NULL,
    failed BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (dataset, hour, rule, column_name, mode)
);
INSERT INTO quality_hour (dataset, hour, rule, column_name, mode, failed, updated_at)
    SELECT dataset, updated_at - updated_at % 3600000000, rule, column_name, mode, failed, updated_at FROM quality;
DROP TABLE quality;
";

/// Runs of transforms.
const V7: &str = "
CREATE TABLE transform_run (
    seq BIGINT PRIMARY KEY,
    transform TEXT NOT NULL,
    dataset TEXT NOT NULL,
    revision TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    code TEXT,
    message TEXT,
    hint TEXT,
    attempts BIGINT NOT NULL,
    detail TEXT NOT NULL,
    permit TEXT NOT NULL,
    UNIQUE (transform, started_at, outcome)
);
CREATE INDEX transform_run_newest ON transform_run (transform, seq);
";

/// Versions of feature services, kept like those of feature views.
const V8: &str = "
CREATE TABLE service_version (
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    definition_hash TEXT NOT NULL,
    definition TEXT NOT NULL,
    revision TEXT NOT NULL REFERENCES revision (hash),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (name, version),
    UNIQUE (name, definition_hash)
);
CREATE TABLE revision_service (
    revision TEXT NOT NULL REFERENCES revision (hash),
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (revision, name),
    FOREIGN KEY (name, version) REFERENCES service_version (name, version)
);
";

/// Fails unless the schema is the one that this Seawall works with.
pub(super) async fn check_current(connection: &mut Connection) -> Result<()> {
    let row = sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM schema_version")
        .fetch_one(&mut *connection)
        .await
        .during("reading the catalog's schema version")?;
    let (present, known) = (row.count("version")?, MIGRATIONS.len() as u64);
    match present.cmp(&known) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(too_new(present, known)),
        std::cmp::Ordering::Less => {
            let message = format!("the catalog has schema version {present}, this Seawall works with version {known}");
            Err(Error::invalid("SW1402", message).hint("run `seawall status` once: it brings the schema up to date"))
        }
    }
}

fn too_new(present: u64, known: u64) -> Error {
    Error::invalid(
        "SW0604",
        format!("the catalog has schema version {present}, this Seawall knows versions up to {known}"),
    )
    .hint("start the Seawall release that last opened this catalog, or a newer one")
}

/// Brings the schema up to date, inside the caller's transaction.
pub(super) async fn run(connection: &mut Connection, now: Instant) -> Result<()> {
    let doing = "bringing the catalog's schema up to date";
    execute_all(
        connection,
        "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)",
    )
    .await
    .during(doing)?;
    let row = sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM schema_version")
        .fetch_one(&mut *connection)
        .await
        .during(doing)?;
    let present = row.count("version")?;
    let known = MIGRATIONS.len() as u64;
    if present > known {
        return Err(too_new(present, known));
    }
    for (version, statements) in (1i64..).zip(MIGRATIONS) {
        if version <= present as i64 {
            continue;
        }
        execute_all(connection, statements).await.during(doing)?;
        sqlx::query("INSERT INTO schema_version (version, applied_at) VALUES ($1, $2)")
            .bind(version)
            .bind(now.0)
            .execute(&mut *connection)
            .await
            .during(doing)?;
    }
    Ok(())
}
