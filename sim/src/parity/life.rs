//! One history: what happens to a store, and what it answered meanwhile.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use seawall_base::declare::FeatureView;
use seawall_base::{Cut, FeatureRequest, Instant, Offset, OnlineStore, Partition, Span, VersionedName, ViewRequest};
use seawall_kernel::feature::key_hashes;
use seawall_storage::online::DurableStore;
use tempfile::TempDir;

use super::Tally;
use super::dice::Dice;
use super::rows::{CARDS, Payment, batch, dataset, happened};
use super::views::view;

const START: Instant = Instant(1_767_225_600_000_000);
/// Views that are kept at the same time.
const VIEWS: usize = 4;
/// Refusals that the store declares: a view that has not caught up, a decision time too far behind K, an own row that
/// was merged with others.
const REFUSALS: [&str; 4] = ["SW0422", "SW0424", "SW0320", "SW0321"];

/// Rows that became durable together, and the cut after them.
struct Frame {
    rows: Vec<Payment>,
    until: Cut,
}

/// What one view answered to one request.
pub(super) struct Served {
    pub view: FeatureView,
    pub entities: RecordBatch,
    pub at: Vec<Instant>,
    pub known_at: Vec<Instant>,
    pub own: Vec<Option<u128>>,
    pub cut: Arc<Cut>,
    pub values: RecordBatch,
}

/// A history.
pub(super) struct Life {
    pub seed: u64,
    pub dice: Dice,
    pub served: Vec<Served>,
    pub tally: Tally,
    clock: Instant,
    views: Vec<FeatureView>,
    /// Versions that are filled from the table while rows keep coming, with the cut up to which they are.
    filling: Vec<(FeatureView, Cut)>,
    versions: u32,
    log: Vec<Frame>,
    cut: Cut,
    numbers: u64,
    loads: u32,
    store: Option<DurableStore>,
    folder: TempDir,
}

impl Life {
    /// A history that has not begun.
    pub fn new(seed: u64) -> Result<Life> {
        Ok(Life {
            seed,
            dice: Dice::new(seed),
            served: Vec::new(),
            tally: Tally { histories: 1, ..Tally::default() },
            clock: START,
            views: Vec::new(),
            filling: Vec::new(),
            versions: 1,
            log: Vec::new(),
            cut: Cut::empty(),
            numbers: 0,
            loads: 0,
            store: None,
            folder: tempfile::tempdir()?,
        })
    }

    /// Every row that the log holds: the table.
    pub fn table(&self) -> Vec<Payment> {
        self.log.iter().flat_map(|frame| frame.rows.iter().cloned()).collect()
    }

    /// Lives.
    pub async fn live(&mut self, steps: u64) -> Result<()> {
        for number in 0..VIEWS {
            self.views.push(view(&mut self.dice, format!("v{number}"), 1));
        }
        self.open().await?;
        for _ in 0..steps {
            self.clock = self.clock + self.dice.stretch();
            match self.dice.below(100) {
                0..=34 => self.receive().await?,
                35..=39 => self.load().await?,
                40..=42 => self.release().await?,
                43..=49 => self.store()?.advance(self.clock).await?,
                50..=87 => self.ask().await?,
                88..=91 => self.checkpoint().await?,
                92..=95 => self.restart().await?,
                96 | 97 => self.redefine().await?,
                _ => self.fill_more().await?,
            }
        }
        Ok(())
    }

    fn store(&self) -> Result<&DurableStore> {
        self.store.as_ref().context("the store is open")
    }

    /// Opens the store and brings it to the log's end, as a start does.
    async fn open(&mut self) -> Result<()> {
        self.store = Some(DurableStore::open(self.folder.path())?);
        let known: Vec<FeatureView> = self.views.clone();
        for view in &known {
            self.store()?.define(view, &dataset()).await?;
            let until = self.store()?.store_cut();
            if !self.store()?.cut(&view.id())?.covers(&until) {
                self.backfill(&view.id(), &Cut::empty(), &until).await?;
            }
        }
        // A definition that was being filled begins anew.
        for (view, filled) in std::mem::take(&mut self.filling) {
            self.store()?.define(&view, &dataset()).await?;
            let kept = self.store()?.cut(&view.id())?;
            self.filling.push((view, if kept.covers(&filled) { filled } else { kept }));
        }
        let from = self.log.iter().position(|frame| !self.store_covers(&frame.until)).unwrap_or(self.log.len());
        // Some frames before that are read again as well.
        let again = self.dice.below(from as u64 + 1).min(3) as usize;
        self.tally.repeated += self.log[from - again..from].iter().map(|frame| frame.rows.len() as u64).sum::<u64>();
        for frame in &self.log[from - again..] {
            self.store()?.receive("payments", &batch(&frame.rows)?, &frame.until).await?;
        }
        Ok(())
    }

    fn store_covers(&self, cut: &Cut) -> bool {
        self.store.as_ref().is_some_and(|store| store.store_cut().covers(cut))
    }

    /// Rows of the table within `until` and not within `from`, in any order, in one go.
    async fn backfill(&mut self, view: &VersionedName, from: &Cut, until: &Cut) -> Result<()> {
        let id = |row: &Payment| seawall_base::RowId { partition: Partition(row.partition), offset: Offset(row.lsn) };
        let mut rows = self.table();
        rows.retain(|row| until.contains(id(row)) && !from.contains(id(row)));
        self.dice.shuffle(&mut rows);
        Ok(self.store()?.backfill(view, &[batch(&rows)?], until).await?)
    }

    /// Appends rows to the log and hands them to the store.
    async fn append(&mut self, partition: Partition, mut rows: Vec<Payment>) -> Result<()> {
        let first = self.cut.end(partition).0;
        for (lsn, row) in (first..).zip(&mut rows) {
            row.partition = partition.0;
            row.lsn = lsn;
        }
        self.cut.advance(partition, Offset(first + rows.len() as u64));
        self.tally.rows += rows.len() as u64;
        self.store()?.receive("payments", &batch(&rows)?, &self.cut).await?;
        self.log.push(Frame { rows, until: self.cut.clone() });
        if self.dice.percent(10) {
            let again = self.dice.below(self.log.len() as u64) as usize;
            let frame = &self.log[again];
            self.store()?.receive("payments", &batch(&frame.rows)?, &frame.until).await?;
            self.tally.repeated += frame.rows.len() as u64;
        }
        Ok(())
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Live rows: available on arrival or later, as declared.
    async fn receive(&mut self) -> Result<()> {
        let mut rows = Vec::new();
        for _ in 0..self.dice.between(1, 12) {
            let number = self.number();
            let paid_at = (!self.dice.percent(2)).then(|| happened(&mut self.dice, self.clock));
            let declared = if self.dice.percent(20) { self.clock + self.dice.stretch() } else { self.clock };
            self.tally.late += u64::from(paid_at.is_some_and(|at| at < self.clock - Span::HOUR));
            self.tally.pending += u64::from(declared > self.clock);
            let row = Payment::random(&mut self.dice, number, paid_at, declared);
            rows.push(Payment { arrival: self.clock, ..row });
        }
        self.append(Partition(0), rows).await
    }

    /// A bulk load in a partition of its own, which declares when its rows could have been known.
    async fn load(&mut self) -> Result<()> {
        self.loads += 1;
        let mut rows = Vec::new();
        for _ in 0..self.dice.between(1, 40) {
            let number = self.number();
            let around = self.clock - Span(self.dice.stretch().0 * 2);
            let paid_at = happened(&mut self.dice, around);
            let available_at = paid_at + self.dice.stretch();
            let row = Payment::random(&mut self.dice, number, Some(paid_at), available_at);
            rows.push(Payment { arrival: self.clock, ..row });
        }
        self.tally.loaded += rows.len() as u64;
        self.append(Partition(self.loads), rows).await
    }

    /// Rows out of quarantine: they happened and arrived long ago, and are known from now on.
    async fn release(&mut self) -> Result<()> {
        let mut rows = Vec::new();
        for _ in 0..self.dice.between(1, 5) {
            let number = self.number();
            let arrival = self.clock - self.dice.stretch();
            let paid_at = happened(&mut self.dice, arrival);
            let row = Payment::random(&mut self.dice, number, Some(paid_at), self.clock);
            rows.push(Payment { arrival, ..row });
        }
        self.tally.released += rows.len() as u64;
        self.append(Partition(0), rows).await
    }

    async fn checkpoint(&mut self) -> Result<()> {
        self.tally.checkpoints += 1;
        Ok(self.store()?.checkpoint().await?)
    }

    /// The process ends, without a word or after a checkpoint, and starts again.
    async fn restart(&mut self) -> Result<()> {
        if self.dice.percent(40) {
            self.checkpoint().await?;
        }
        self.tally.restarts += 1;
        self.store = None;
        self.open().await
    }

    /// A view gets its next version, which is filled from the table; the one before is served until then.
    async fn redefine(&mut self) -> Result<()> {
        if !self.filling.is_empty() {
            return Ok(());
        }
        self.versions += 1;
        let name = self.dice.pick(&self.views).name.clone();
        let next = view(&mut self.dice, name, self.versions);
        self.store()?.define(&next, &dataset()).await?;
        self.filling.push((next, Cut::empty()));
        self.tally.redefined += 1;
        Ok(())
    }

    /// Fills a new version up to some cut within the log, and lets the old one go when it has caught up.
    async fn fill_more(&mut self) -> Result<()> {
        let Some((view, filled)) = self.filling.pop() else { return Ok(()) };
        let end = self.store()?.store_cut();
        let whole = self.dice.percent(60);
        let mut until = filled.clone();
        for (partition, offset) in end.iter() {
            let from = filled.end(partition).0;
            let part = if whole { offset.0 - from } else { self.dice.below(offset.0 - from + 1) };
            until.advance(partition, Offset(from + part));
        }
        self.backfill(&view.id(), &filled, &until).await?;
        if self.store()?.cut(&view.id())?.covers(&end) {
            let old = self.views.iter().position(|other| other.name == view.name).context("a view of that name")?;
            self.store()?.forget(&self.views[old].id())?;
            self.views[old] = view;
        } else {
            self.filling.push((view, until));
        }
        Ok(())
    }

    /// Asks for some views of some entities, at the present or a little before it.
    async fn ask(&mut self) -> Result<()> {
        let decisions = self.dice.between(1, 17) as usize;
        let mut views: Vec<FeatureView> = self.views.clone();
        views.extend(self.filling.iter().filter(|_| self.dice.percent(5)).map(|(view, _)| view.clone()));
        self.dice.shuffle(&mut views);
        views.truncate(self.dice.between(1, views.len() as i64 + 1) as usize);
        let behind = |dice: &mut Dice| match dice.below(10) {
            0..=5 => Span::ZERO,
            6..=8 => Span(dice.between(0, Span::HOUR.0 + 1)),
            _ => Span(-dice.stretch().0),
        };
        let (mut at, mut now, mut own) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..decisions {
            if self.dice.percent(10) {
                self.clock = self.clock + Span(self.dice.between(0, 5 * Span::MINUTE.0));
            }
            now.push(self.clock);
            at.push(self.clock - behind(&mut self.dice));
            own.push(
                self.dice.percent(15).then(|| format!("r{}", self.numbers - self.dice.below(20).min(self.numbers))),
            );
        }
        let ids: ArrayRef = Arc::new(StringArray::from(own));
        let own = key_hashes(&RecordBatch::try_from_iter_with_nullable([("id", ids, true)])?, &["id".to_owned()])?;
        let mut requests = Vec::with_capacity(views.len());
        for view in &views {
            let entities = self.entities(view, decisions)?;
            requests.push(ViewRequest { view: view.id(), entities, own: own.clone() });
        }
        let request = FeatureRequest { views: requests, at, now };
        self.note(views, request).await
    }

    fn entities(&mut self, view: &FeatureView, decisions: usize) -> Result<RecordBatch> {
        let mut columns: Vec<(&str, ArrayRef, bool)> = Vec::new();
        for column in &view.entity {
            let array: ArrayRef = match column.as_str() {
                "card" => {
                    let mut card = || (!self.dice.percent(3)).then(|| *self.dice.pick(&CARDS));
                    Arc::new((0..decisions).map(|_| card()).collect::<StringArray>())
                }
                _ => {
                    let mut shop = || (!self.dice.percent(3)).then(|| *self.dice.pick(&[1, 3, 23, 4]));
                    Arc::new((0..decisions).map(|_| shop()).collect::<Int64Array>())
                }
            };
            columns.push((column, array, true));
        }
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
    }

    /// Serves, and keeps what a record of the answer keeps.
    async fn note(&mut self, views: Vec<FeatureView>, request: FeatureRequest) -> Result<()> {
        let served = match self.store()?.serve(&request).await {
            Ok(served) => served,
            Err(error) => {
                ensure!(REFUSALS.contains(&error.code()), "seed {}: refused with {}: {error}", self.seed, error.code());
                self.tally.refused += 1;
                return Ok(());
            }
        };
        self.tally.decisions += request.at.len() as u64;
        let cut = Arc::new(served.cut);
        for ((view, asked), answered) in views.into_iter().zip(request.views).zip(served.views) {
            self.served.push(Served {
                view,
                entities: asked.entities,
                at: request.at.clone(),
                known_at: served.known_at.clone(),
                own: asked.own,
                cut: cut.clone(),
                values: answered.values,
            });
        }
        Ok(())
    }
}
