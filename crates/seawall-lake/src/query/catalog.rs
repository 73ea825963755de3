//! The catalog of one query: the tables and views that the holder of a permit may see, opened when a statement names
//! them.
//!
//! A table that the permit does not show does not exist: not in listings, not in errors. Views are SQL text that is
//! planned with the caller's own catalog, so that a view never shows more than its reader could ask for. For a caller
//! with a restricted grant a view that cannot be planned does not exist either, because saying why would tell of tables
//! and columns that the caller may not see.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{CatalogProvider, MemTable, MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use seawall_base::Permit;
use seawall_base::error::{Error, ErrorKind, Result as SeawallResult};
use seawall_base::table::{TableName, TableVersion};

use super::errors;
use super::provider::{self, Tables};
use super::session::{self, SessionFactory};
use crate::codes;
use crate::policy::Salt;
use crate::table::unknown_table;

/// Views that may lie between a statement and a table.
const VIEW_DEPTH_MAX: usize = 8;
/// Steps of a view's plan, those of the views it reads included.
const VIEW_STEPS_MAX: usize = 2_000;

/// What the catalogs of a query and of its views share.
#[derive(Debug)]
pub(super) struct Scope {
    /// Where tables are read.
    pub(super) tables: Tables,
    /// For whom.
    pub(super) permit: Permit,
    /// Of the query, for masks that are local to it.
    pub(super) salt: Salt,
    /// Versions to read instead of the newest.
    pub(super) versions: BTreeMap<String, TableVersion>,
    /// Views by name.
    pub(super) views: BTreeMap<String, String>,
    /// Makes sessions to plan views in.
    pub(super) sessions: SessionFactory,
    /// Parallel parts of plans.
    pub(super) partitions: usize,
}

/// The catalog of one query.
#[derive(Debug)]
pub(super) struct QueryCatalog {
    tables: Arc<QueryTables>,
    system: Arc<MemorySchemaProvider>,
}

impl QueryCatalog {
    /// The tables and views of `scope`, and Seawall's own tables. `listed` tables are what `show tables` lists, with the
    /// views that can be planned; nothing is listed when absent.
    pub(super) async fn open(
        scope: Scope,
        system: Vec<(String, RecordBatch)>,
        listed: Option<Vec<String>>,
    ) -> Result<Self> {
        let own = MemorySchemaProvider::new();
        for (name, rows) in system {
            let table = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
            own.register_table(name, Arc::new(table))?;
        }
        let (scope, system) = (Arc::new(scope), Arc::new(own));
        let mut tables =
            QueryTables { scope, system: Arc::clone(&system), listed: Arc::new(Vec::new()), within: Vec::new() };
        if let Some(mut names) = listed {
            tables.listed = Arc::new(names.clone());
            for name in tables.scope.views.keys() {
                if matches!(tables.view(name).await, Ok(Some(_))) && !names.contains(name) {
                    names.push(name.clone());
                }
            }
            names.sort();
            tables.listed = Arc::new(names);
        }
        Ok(QueryCatalog { tables: Arc::new(tables), system })
    }
}

impl CatalogProvider for QueryCatalog {
    fn schema_names(&self) -> Vec<String> {
        vec![session::TABLES.to_owned(), session::SYSTEM.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match name {
            session::TABLES => Some(Arc::<QueryTables>::clone(&self.tables)),
            session::SYSTEM => Some(Arc::<MemorySchemaProvider>::clone(&self.system)),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct QueryTables {
    scope: Arc<Scope>,
    system: Arc<MemorySchemaProvider>,
    listed: Arc<Vec<String>>,
    /// The views that are being planned, outermost first.
    within: Vec<String>,
}

impl QueryTables {
    /// The view of a name; none when there is none, or none for this caller.
    async fn view(&self, name: &str) -> SeawallResult<Option<Arc<dyn TableProvider>>> {
        let Some(sql) = self.scope.views.get(name) else { return Ok(None) };
        let is_restricted = !self.scope.permit.grants().is_everything();
        match self.plan_view(name, sql).await {
            Ok(plan) => {
                let definition = (!is_restricted).then(|| sql.clone());
                Ok(Some(Arc::new(ViewTable::new(plan, definition))))
            }
            Err(e) if is_restricted && tells_of_names(e.kind()) => Ok(None),
            Err(e) => Err(of_view(name, e)),
        }
    }

    async fn plan_view(&self, name: &str, sql: &str) -> SeawallResult<LogicalPlan> {
        let refused = |why: String| {
            Error::invalid(codes::VIEW, why).hint("a view reads tables and other views, but never itself")
        };
        if self.within.iter().any(|outer| outer == name) {
            return Err(refused(format!("view {name} reads itself: {} -> {name}", self.within.join(" -> "))));
        }
        if self.within.len() >= VIEW_DEPTH_MAX {
            return Err(refused(format!("more than {VIEW_DEPTH_MAX} views lie between the statement and its tables")));
        }
        let plan = session::plan_select(&self.session_within(name), sql).await?;
        let mut steps = 0;
        let counted = plan.apply_with_subqueries(|_| {
            steps += 1;
            Ok(if steps > VIEW_STEPS_MAX { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        });
        counted.map_err(errors::planning)?;
        if steps > VIEW_STEPS_MAX {
            return Err(refused(format!("view {name} has more than {VIEW_STEPS_MAX} steps")));
        }
        Ok(plan)
    }

    /// A session whose catalog is that of this query, for the text of view `name`.
    fn session_within(&self, name: &str) -> SessionState {
        let mut within = self.within.clone();
        within.push(name.to_owned());
        // A view lists tables only: listing views while planning one would plan them all again.
        let is_view = |name: &String| self.scope.views.contains_key(name);
        let listed = self.listed.iter().filter(|name| !is_view(name)).cloned().collect();
        let (scope, system) = (Arc::clone(&self.scope), Arc::clone(&self.system));
        let tables = QueryTables { scope, system: Arc::clone(&system), listed: Arc::new(listed), within };
        let context = SessionContext::new_with_state(self.scope.sessions.session(self.scope.partitions));
        context.register_catalog(session::CATALOG, Arc::new(QueryCatalog { tables: Arc::new(tables), system }));
        context.state()
    }

    async fn open(&self, name: &str) -> SeawallResult<Option<Arc<dyn TableProvider>>> {
        if let Some(view) = self.view(name).await? {
            return Ok(Some(view));
        }
        let Ok(table) = TableName::new(name) else { return Ok(None) };
        let version = self.scope.versions.get(name).copied();
        let opened = match self.scope.permit.grants().table(name) {
            None => Err(unknown_table(&table)),
            Some(_) => provider::open(&self.scope, &table, version).await,
        };
        match opened {
            Ok(provider) => Ok(Some(provider)),
            Err(e) if e.kind() == ErrorKind::NotFound && version.is_none() => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// Whether an error of planning may name tables and columns.
fn tells_of_names(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Denied)
}

fn of_view(name: &str, error: Error) -> Error {
    let named = Error::new(error.kind(), error.code(), format!("view {name}: {error}"));
    match error.remedy() {
        Some(remedy) => named.hint(remedy),
        None => named,
    }
}

#[async_trait]
impl SchemaProvider for QueryTables {
    fn table_names(&self) -> Vec<String> {
        self.listed.as_ref().clone()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        // Planning a view comes back here for what it reads.
        let opening = Box::pin(self.open(name));
        opening.await.map_err(|e| DataFusionError::External(Box::new(e)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.listed.iter().any(|known| known == name)
    }
}
