//! Two versions of a contract compared: whom each change breaks, and whom it reaches.

use seawall_kernel::contract::{self, Bump, Contract, ContractChange, ContractDiff};
use serde_json::{Value, json};

use super::effect::{Effect, reached};
use crate::lineage::LineageEdge;
use crate::project::model::Project;

/// The difference of two versions of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Every change, and whom it breaks.
    pub diff: ContractDiff,
    /// What each change reaches, in the order of the changes; absent without a project.
    effects: Option<Vec<Effect>>,
}

impl Compared {
    /// Compares `old` with `new`. `downstream` is the project whose features, training sets and models may be reached, with
    /// its lineage.
    pub fn new(old: &Contract, new: &Contract, downstream: Option<(&Project, &[LineageEdge])>) -> Compared {
        let diff = contract::diff(old, new);
        let effects =
            downstream.map(|(project, edges)| diff.changes.iter().map(|one| effect(project, edges, one)).collect());
        Compared { diff, effects }
    }

    /// Whether it is known what the changes reach.
    pub fn in_project(&self) -> bool {
        self.effects.is_some()
    }

    /// Each change with what it reaches.
    pub fn changes(&self) -> impl Iterator<Item = (&ContractChange, Option<&Effect>)> {
        let effect = |at: usize| self.effects.as_ref().and_then(|effects| effects.get(at));
        self.diff.changes.iter().enumerate().map(move |(at, change)| (change, effect(at)))
    }

    /// `unchanged`, `compatible`, or `breaking` when a change breaks somebody.
    pub fn verdict(&self) -> &'static str {
        match (self.diff.changes.is_empty(), self.diff.breaking().next()) {
            (true, _) => "unchanged",
            (false, None) => "compatible",
            (false, Some(_)) => "breaking",
        }
    }

    /// For programs: `{"from", "to", "verdict", "needs", "moves", "ok", "in_project", "changes": [...]}`. `ok` says whether
    /// the version moves as far as the changes ask for.
    pub fn to_json(&self) -> Value {
        let change = |(change, effect): (&ContractChange, Option<&Effect>)| {
            let mut value = json!(change);
            if let Some(effect) = effect.filter(|effect| !effect.is_empty()) {
                value["reaches"] = json!(effect);
            }
            value
        };
        json!({
            "from": self.diff.from,
            "to": self.diff.to,
            "verdict": self.verdict(),
            "needs": self.diff.needs,
            "moves": self.diff.moves,
            "ok": self.diff.is_versioned(),
            "in_project": self.in_project(),
            "changes": self.changes().map(change).collect::<Vec<_>>(),
        })
    }
}

/// What is downstream of a change that is more than words.
fn effect(project: &Project, edges: &[LineageEdge], change: &ContractChange) -> Effect {
    let Some(object) = change.object.as_deref().filter(|_| change.needs > Bump::Patch) else {
        return Effect::default();
    };
    let column = change.column.as_deref().and_then(|path| path.split(['.', '[']).next());
    reached(project, edges, object, column)
}

/// The one of `contracts` that a new version of the contract `id` would take the place of: of the same id, the newest that
/// is not newer than `major`.
pub fn predecessor<'c>(contracts: &'c [Contract], id: &str, major: Option<u32>) -> Option<&'c Contract> {
    let same = contracts.iter().filter(|contract| contract.id == id && contract.major() <= major);
    same.max_by_key(|contract| contract.major())
}
