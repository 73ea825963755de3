//! Builds every component, in order: catalog, tables, engine; then log, online store and pipeline for commands that
//! move rows.
//!
//! The data folder: `catalog/` (SQLite and the signing key), `tables/` (Delta) or `tables.location`, `log/` (segments),
//! `keys/` (of sealed fields), `online/` (checkpoints), `state/` (checkpoints of what a start would read from the log), `models/` (artifacts by
//! content), `spill/` (what does not fit into memory, while a process lives), `serve.json` while a server runs.

pub mod spill;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_base::declare::{FeatureService, FeatureView};
use seawall_base::error::Result;
use seawall_base::{Clock, Dataset, Engine, Error, OsRng, Partition, Permit, Rng, SystemClock, VersionedName};
use seawall_catalog::policy::{Action, Principal, Role};
use seawall_catalog::project::{self, LoadOptions, Loaded, Project};
use seawall_catalog::revision::{expect_compatible, expect_permitted};
use seawall_catalog::{AccessLine, ActiveProject, Applied, Catalog, LineageEdge};
use seawall_kernel::contract::{self, Contract};
use seawall_lake::query::{DataFusionEngine, EngineOptions};
use seawall_lake::table::DeltaStore;
use seawall_model::Models;
use seawall_pipeline::pipeline::Options;
use seawall_pipeline::recovery::States;
use seawall_pipeline::revision::Declared;
use seawall_pipeline::{Parts, Pipeline};
use seawall_storage::keys::KeyRing;
use seawall_storage::log::DurableLog;
use seawall_storage::online::DurableStore;

use self::spill::SpillFolder;

/// Folder of the keys of sealed fields within the data folder.
pub const KEYS: &str = "keys";

/// Where things are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The project's folder.
    pub project: PathBuf,
    /// The data folder.
    pub data: PathBuf,
    /// Where tables lie, when the command says so.
    pub tables: Option<String>,
    /// `--set` variables.
    pub set: BTreeMap<String, String>,
}

/// The components that any command may use, also beside a running server.
pub struct Installation {
    /// Where things are.
    pub settings: Settings,
    /// System of record.
    pub catalog: Arc<Catalog>,
    /// Tables.
    pub tables: Arc<DeltaStore>,
    /// SQL and training sets.
    pub engine: Arc<DataFusionEngine>,
    /// Trains, keeps and loads models.
    pub models: Arc<Models>,
    _spill: SpillFolder,
}

impl Installation {
    /// Opens catalog, tables and engine; creates the data folder when missing.
    pub async fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Installation> {
        seawall_base::durable::create_dir_all(&settings.data)?;
        refuse_without_catalog(&settings.data)?;
        let rng: Arc<dyn Rng> = Arc::new(OsRng);
        let catalog = Arc::new(Catalog::open(&settings.data.join("catalog"), clock, rng).await?);
        let home = crate::tables::home(&settings.data, settings.tables.as_deref())?;
        let tables = Arc::new(DeltaStore::at(home, Arc::new(SystemClock)));
        let spill = SpillFolder::open(&settings.data)?;
        let options = EngineOptions { spill_folder: Some(spill.path().to_owned()), ..EngineOptions::default() };
        let engine = Arc::new(DataFusionEngine::new(tables.clone(), options)?);
        let work = settings.data.join("models").join("work");
        let models = Arc::new(Models::open(&settings.data.join("models"), &work, &settings.project)?);
        crate::governance::install(&catalog).await?;
        Ok(Installation { settings: settings.clone(), catalog, tables, engine, models, _spill: spill })
    }

    /// Whoever runs the command: the holder of the token in `SEAWALL_TOKEN`, or whoever holds the data folder, who holds
    /// every right.
    pub async fn principal(&self) -> Result<Principal> {
        match std::env::var("SEAWALL_TOKEN") {
            Ok(token) if !token.is_empty() => self.catalog.authenticate(&token).await,
            Ok(_) | Err(_) => Ok(local_principal()),
        }
    }

    /// A permit for whoever runs the command.
    pub async fn permit(&self, action: Action, resource: &str) -> Result<Permit> {
        self.catalog.authorize(&self.principal().await?, action, resource).await
    }

    /// Named queries of the applied project: name and SQL.
    pub async fn views(&self) -> Result<Vec<(String, String)>> {
        let views = self.catalog.active().await?.map(|active| active.project.views).unwrap_or_default();
        Ok(views.into_iter().map(|view| (view.name, view.sql)).collect())
    }

    /// The applied project.
    pub async fn active(&self) -> Result<ActiveProject> {
        self.catalog.active().await?.ok_or_else(|| {
            Error::not_found("SW0897", "nothing was applied to this data folder yet").hint(
                "run `seawall apply` in the project's folder, or name both: `seawall -C PROJECT --data-dir DIR apply`",
            )
        })
    }

    /// Loads the declarations and makes them the active revision.
    pub async fn apply(&self, loaded: &Loaded) -> Result<Applied> {
        let permit = self.permit(Action::ApplyProject, &loaded.project.name).await?;
        let base = self.catalog.active_revision().await?;
        self.refuse_breaking_changes(loaded).await?;
        let After { project, views } = self.after(loaded).await?;
        let edges = self.edges(loaded, &project, &views).await?;
        let policies = crate::governance::compiled(&project, &views, &edges)?;
        expect_permitted(&project, &views, &edges)?;
        let applied = self.catalog.apply(&permit, &loaded.project, base, &edges).await?;
        self.catalog.install_policies(policies);
        Ok(applied)
    }

    /// Who gains and who loses access when the declarations become active.
    pub async fn access_lines(&self, loaded: &Loaded) -> Result<Vec<AccessLine>> {
        let After { project, views } = self.after(loaded).await?;
        let edges = self.edges(loaded, &project, &views).await?;
        crate::governance::access_lines(&self.catalog, &project, &views, &edges).await
    }

    /// Makes an earlier revision active again.
    pub async fn roll_back_revision(&self, prefix: &str, reason: &str) -> Result<Applied> {
        let to = self.catalog.find_revision(prefix).await?;
        self.permit(Action::RollBack, &to.to_string()).await?;
        let permit = self.permit(Action::ApplyProject, &to.to_string()).await?;
        let base = self.catalog.active_revision().await?;
        let applied = self.catalog.roll_back_revision(&permit, to, reason, base, None).await?;
        crate::governance::install(&self.catalog).await?;
        Ok(applied)
    }

    /// What [`Installation::apply`] would do, with whom it reaches.
    pub async fn plan(&self, loaded: &Loaded) -> Result<Vec<seawall_catalog::Change>> {
        let After { project, views } = self.after(loaded).await?;
        let edges = self.edges(loaded, &project, &views).await?;
        expect_permitted(&project, &views, &edges)?;
        self.catalog.plan(&loaded.project, &edges).await
    }

    async fn edges(&self, loaded: &Loaded, project: &Project, views: &[FeatureView]) -> Result<Vec<LineageEdge>> {
        let engine: Arc<dyn Engine> = self.engine.clone();
        crate::lineage::edges(project, &loaded.datasets, views, &self.settings.project, &engine).await
    }

    /// Refuses contracts that break with what is applied: producers, readers or the tables could not follow.
    pub async fn refuse_breaking_changes(&self, loaded: &Loaded) -> Result<()> {
        match self.catalog.active().await? {
            Some(active) => expect_compatible(&active.project, &loaded.project),
            None => Ok(()),
        }
    }

    /// The project as it will be numbered, with the earlier versions that something is bound to.
    async fn after(&self, loaded: &Loaded) -> Result<After> {
        let changes = self.catalog.plan(&loaded.project, &[]).await?;
        let numbered = |kind: &str, name: &str| {
            let change = changes.iter().find(|change| change.kind == kind && change.name == name);
            change.and_then(|change| change.version.as_deref()).and_then(|version| version.parse().ok())
        };
        let mut views = Vec::new();
        for view in &loaded.project.feature_views {
            let version: u32 = numbered("feature_view", &view.name).unwrap_or(view.version);
            views
                .extend(self.catalog.view_versions(&view.name).await?.into_iter().filter(|old| old.version != version));
            views.push(FeatureView { version, ..view.clone() });
        }
        let mut project = loaded.project.clone();
        for service in &mut project.feature_services {
            service.version = numbered("feature_service", &service.name).unwrap_or(service.version);
        }
        let services = project.services_with(self.catalog.service_versions().await?);
        project.bind_training_sets(&services)?;
        project.feature_services = services;
        Ok(After { project, views })
    }

    /// Starts the pipeline on the applied project, and waits until it answers from everything that was acknowledged
    /// before. Refused while another process runs it.
    pub async fn start(&self, clock: Arc<dyn Clock>, options: Options) -> Result<Pipeline> {
        let pipeline = self.start_at_once(clock, options, seawall_storage::log::Options::default()).await?;
        match pipeline.features_ready().await {
            Ok(()) => Ok(pipeline),
            // What made the writer stop says more than that it has stopped.
            Err(stopped) => Err(pipeline.stop().await.err().unwrap_or(stopped)),
        }
    }

    /// Like [`Installation::start`], but features are refused until [`Pipeline::features_ready`].
    pub async fn start_at_once(
        &self,
        clock: Arc<dyn Clock>,
        options: Options,
        log: seawall_storage::log::Options,
    ) -> Result<Pipeline> {
        let active = self.active().await?;
        Pipeline::start(self.parts(clock, log)?, &declared(&active, &self.settings.project)?, options).await
    }

    /// Opens what a pipeline runs on.
    fn parts(&self, clock: Arc<dyn Clock>, log: seawall_storage::log::Options) -> Result<Parts> {
        let data = &self.settings.data;
        let log = DurableLog::open(&data.join("log"), Partition::LIVE, log)?;
        let online = DurableStore::open(&data.join("online"))?;
        Ok(Parts {
            clock,
            log: Arc::new(log),
            tables: self.tables.clone(),
            upkeep: self.tables.clone(),
            online: Arc::new(online),
            engine: self.engine.clone(),
            models: self.models.clone(),
            catalog: self.catalog.clone(),
            states: Arc::new(States::open(&data.join("state"))?),
            keys: KeyRing::open(&data.join(KEYS), Arc::new(OsRng))?,
            folder: self.settings.project.clone(),
        })
    }
}

/// What a project will be once it is applied.
struct After {
    /// Its services with those of earlier versions that something is bound to; its training sets with what their services
    /// bring.
    project: Project,
    /// Its views, with every earlier version.
    views: Vec<FeatureView>,
}

/// Refuses to make a new catalog for data that an old one described: it would know nothing of what is there.
fn refuse_without_catalog(data: &Path) -> Result<()> {
    let catalog = data.join("catalog").join("catalog.db");
    if catalog.exists() || !data.join("log").join("epoch").exists() {
        return Ok(());
    }
    let message = format!("the catalog {} is missing, though the folder has a log", catalog.display());
    Err(Error::corrupt("SW1415", message)
        .hint("put it back from a backup; without one move the folder away, restore, or load the sources again"))
}

/// Every dataset that the contracts describe. Contracts that do not compile any more describe none.
pub(crate) fn datasets_of(contracts: &[Contract]) -> Vec<Dataset> {
    let mut datasets = Vec::new();
    for contract in contracts {
        for object in contract.object_names() {
            if let Ok(gate) = contract::compile(contract, Some(&object)) {
                datasets.push(gate.dataset().clone());
            }
        }
    }
    datasets
}

/// Who answers for each dataset.
fn owners(contracts: &[Contract]) -> BTreeMap<String, String> {
    let mut owners = BTreeMap::new();
    for contract in contracts {
        if let Some(owner) = project::owner_of(contract) {
            owners.extend(contract.object_names().into_iter().map(|name| (name, owner.clone())));
        }
    }
    owners
}

/// The principal of commands run by hand.
pub fn local_principal() -> Principal {
    let name = std::env::var("USER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "local".into());
    Principal::new(name, Role::Owner)
}

/// The services that are served, those that are declared before earlier versions that something is bound to.
fn declared_first(active: &ActiveProject) -> Vec<FeatureService> {
    let declared: Vec<VersionedName> = active.project.feature_services.iter().map(FeatureService::id).collect();
    let mut services = active.services.clone();
    services.sort_by_key(|service| !declared.contains(&service.id()));
    services
}

/// What the pipeline compiles, of the applied project.
pub fn declared(active: &ActiveProject, folder: &Path) -> Result<Declared> {
    Ok(Declared {
        revision: active.revision,
        contracts: active.project.contracts.clone(),
        sources: active.project.sources.clone(),
        views: active.views.clone(),
        services: declared_first(active),
        training_sets: active.project.training_sets.clone(),
        models: active.project.models.clone(),
        monitors: active.project.monitors.clone(),
        corrections: active.project.corrections.clone(),
        queries: active.project.views.clone(),
        transforms: project::keep::transforms(&active.project)?,
        owners: owners(&active.project.contracts),
        log_retention: active.project.log_retention,
        tables: active.project.tables.unwrap_or_default(),
        folder: folder.to_owned(),
    })
}

/// Loads the declarations of a project; the diagnostics are the error.
pub fn load(settings: &Settings) -> std::result::Result<Loaded, project::Diagnostics> {
    project::load(&settings.project, LoadOptions { set: settings.set.clone() })
}

#[cfg(test)]
mod tests;
