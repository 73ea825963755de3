//! The codes of this crate's errors, each explained in `docs/errors/SW05.md`.

pub(crate) const TABLE_UNKNOWN: &str = "SW0500";
pub(crate) const VERSION_UNKNOWN: &str = "SW0501";
pub(crate) const SCHEMA_CHANGE: &str = "SW0502";
pub(crate) const COLUMN_TYPE: &str = "SW0503";
pub(crate) const CUT_CONFLICT: &str = "SW0504";
pub(crate) const ROWS_DO_NOT_FIT: &str = "SW0505";
pub(crate) const LOG_BROKEN: &str = "SW0506";
pub(crate) const PATH_ESCAPES: &str = "SW0507";
pub(crate) const FILE_DAMAGED: &str = "SW0508";
pub(crate) const STAGED_UNUSABLE: &str = "SW0509";
pub(crate) const COMMIT_FAILED: &str = "SW0510";
pub(crate) const TABLE_FEATURES: &str = "SW0511";
pub(crate) const STORAGE: &str = "SW0512";
pub(crate) const PARQUET: &str = "SW0513";
pub(crate) const CUT_BACKWARDS: &str = "SW0514";
pub(crate) const LEASE_HELD: &str = "SW0515";
pub(crate) const VERSION_MOVED: &str = "SW0516";
pub(crate) const VERSION_EXPIRED: &str = "SW0517";
pub(crate) const LEASE_LOST: &str = "SW0518";
pub(crate) const HOME: &str = "SW0519";

/// Explained in `docs/errors/SW13.md`.
pub(crate) const TABLES_MISSING: &str = "SW1308";

pub(crate) const SQL_INVALID: &str = "SW0520";
pub(crate) const SQL_NOT_READ_ONLY: &str = "SW0521";
pub(crate) const SQL_COLUMN_UNKNOWN: &str = "SW0522";
pub(crate) const SQL_TABLE_UNKNOWN: &str = "SW0523";
pub(crate) const SQL_FAILED: &str = "SW0524";
pub(crate) const ZONE_UNKNOWN: &str = "SW0525";
pub(crate) const MEMORY: &str = "SW0526";
pub(crate) const SQL_NOT_REPEATABLE: &str = "SW0527";
pub(crate) const MAP_INPUT: &str = "SW0528";
pub(crate) const ENGINE_STOPPED: &str = "SW0529";

pub(crate) const PLAN_INCOMPLETE: &str = "SW0530";
pub(crate) const SPINE: &str = "SW0531";
pub(crate) const LABEL: &str = "SW0532";
pub(crate) const CONTEXT: &str = "SW0533";
pub(crate) const SPILL: &str = "SW0535";

pub(crate) const MASK_UNFIT: &str = "SW0570";
pub(crate) const FILTER_INCOMPUTABLE: &str = "SW0571";
pub(crate) const EXPLAIN_ANALYZE: &str = "SW0572";
pub(crate) const ROWS_RESTRICTED: &str = "SW0573";
pub(crate) const VIEW: &str = "SW0574";
