//! The world: what outlives a process. Log, tables, catalog, clock, the ledger, and the seed that all is drawn from.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use seawall_base::{Clock, DrivenClock, Hash, Instant, Partition, Rng, SeededRng};
use seawall_catalog::Catalog;
use seawall_catalog::project::{LoadOptions, parse_sources};
use seawall_pipeline::recovery::States;
use seawall_pipeline::revision::Declared;
use seawall_storage::keys::KeyRing;
use seawall_storage::log::MemoryLog;
use serde::Serialize;

use crate::faults::Faults;
use crate::ledger::{Findings, Ledger};
use crate::life;
use crate::tables::Tables;

/// When every history begins.
const START: Instant = Instant(1_767_225_600_000_000);

const CONTRACT: &str = "\
apiVersion: v3.2.0
kind: DataContract
id: events
version: 1.0.0
name: Events
status: active
schema:
  - name: events
    properties:
      - {name: event_id, logicalType: string, primaryKey: true, required: true}
      - {name: happened_at, logicalType: timestamp, required: true}
      - {name: user_id, logicalType: string, required: true}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 1000}}
      - {name: note, logicalType: string}
    customProperties:
      - {property: seawall.eventTime, value: happened_at}
";

const DECLARATIONS: &str = "\
kind: source
name: events
http: {}
contract: events@1
---
kind: feature_view
name: users
entity: user_id
from: events
time: happened_at
features:
  n_24h: {count: \"*\", window: 24h}
";

/// What one seed came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Hash of the whole history.
    pub trace: String,
    /// What was wrong.
    pub findings: Findings,
    /// Rows that were acknowledged.
    pub acknowledged: u64,
    /// Processes that were started.
    pub lives: u64,
    /// Calls that failed or killed.
    pub faults: u64,
    /// Seconds that the driven clock went.
    pub simulated_s: u64,
}

/// What outlives a process.
pub struct World {
    /// Draws everything that is not a fault.
    pub draw: SeededRng,
    /// Decides what calls become.
    pub faults: Arc<Faults>,
    /// The driven clock.
    pub clock: Arc<DrivenClock>,
    /// The log's entries.
    pub entries: Arc<MemoryLog>,
    /// The tables.
    pub tables: Arc<Tables>,
    /// What was sent.
    pub ledger: Ledger,
    /// What was wrong so far.
    pub findings: Findings,
    /// Starts so far.
    pub lives: u64,
    catalog: tempfile::TempDir,
}

impl World {
    fn new(seed: u64) -> Result<World> {
        let faults = Arc::new(Faults::new(seed));
        Ok(World {
            draw: SeededRng::new(seed),
            tables: Arc::new(Tables::new(faults.clone())),
            faults,
            clock: Arc::new(DrivenClock::starting_at(START)),
            entries: Arc::new(MemoryLog::new(Partition::LIVE)),
            ledger: Ledger::new(seed),
            findings: Findings::default(),
            lives: 0,
            catalog: tempfile::tempdir().context("making a folder for the catalog")?,
        })
    }

    /// A number below `end`.
    pub fn below(&self, end: u64) -> u64 {
        let mut bytes = [0; 8];
        self.draw.fill(&mut bytes);
        u64::from_le_bytes(bytes) % end
    }

    /// Opens the catalog, as each process does.
    pub async fn open_catalog(&self) -> seawall_base::Result<Catalog> {
        let rng: Arc<dyn Rng> = Arc::new(SeededRng::new(self.lives));
        let clock: Arc<dyn Clock> = self.clock.clone();
        Catalog::open(self.catalog.path(), clock, rng).await
    }

    /// Opens the checkpoints, as each process does.
    pub fn open_states(&self) -> seawall_base::Result<States> {
        States::open(&self.catalog.path().join("state"))
    }

    /// The keys as the next life opens them.
    pub fn open_keys(&self) -> seawall_base::Result<KeyRing> {
        KeyRing::open(&self.catalog.path().join("keys"), Arc::new(SeededRng::new(self.lives)))
    }

    /// The project, parsed.
    pub fn declared() -> Result<Declared> {
        let files = [
            (PathBuf::from("seawall.yaml"), "kind: project\nname: sim\n".to_owned()),
            (PathBuf::from("contracts/events.odcs.yaml"), CONTRACT.to_owned()),
            (PathBuf::from("declarations.yaml"), DECLARATIONS.to_owned()),
        ];
        let loaded = parse_sources(&files, LoadOptions::default());
        let project = loaded.map_err(|problems| anyhow!("the simulated project: {problems}"))?.project;
        Ok(Declared {
            revision: Hash::of(DECLARATIONS.as_bytes()),
            contracts: project.contracts,
            sources: project.sources,
            views: project.feature_views,
            services: Vec::new(),
            training_sets: Vec::new(),
            models: Vec::new(),
            monitors: Vec::new(),
            corrections: Vec::new(),
            queries: Vec::new(),
            transforms: Vec::new(),
            owners: std::collections::BTreeMap::default(),
            log_retention: None,
            tables: project.tables.unwrap_or_default(),
            folder: PathBuf::new(),
        })
    }
}

/// Lives through the history of a seed: `steps` things that happen, however many processes that takes.
pub fn simulate(seed: u64, steps: u64) -> Result<Outcome> {
    let mut world = World::new(seed)?;
    let mut left = steps;
    while left > 0 {
        left = life::live(&mut world, left)?;
    }
    life::last(&mut world)?;
    let acknowledged = |fates: &[crate::ledger::Fate]| {
        fates.iter().filter(|fate| **fate == crate::ledger::Fate::Acknowledged).count() as u64
    };
    Ok(Outcome {
        seed,
        trace: world.faults.hash(),
        findings: world.findings,
        acknowledged: acknowledged(&world.ledger.events) + acknowledged(&world.ledger.stopped),
        lives: world.lives,
        faults: world.faults.injected(),
        simulated_s: (world.clock.now().0 - START.0).unsigned_abs() / 1_000_000,
    })
}
