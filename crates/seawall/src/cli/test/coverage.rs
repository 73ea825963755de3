//! Which rules some case broke: a rule that no case breaks may as well not be there.

use std::collections::BTreeSet;

use super::outcome::World;

/// The rules of every dataset.
pub(super) struct Coverage {
    datasets: Vec<Dataset>,
}

/// The rules of one dataset.
pub(super) struct Dataset {
    pub name: String,
    /// `maximum amount`, in the order of the contract.
    pub rules: Vec<String>,
    seen: BTreeSet<String>,
}

impl Coverage {
    pub(super) fn of(world: &World) -> Coverage {
        let datasets = world.gates().map(|(name, gate)| {
            let rules = gate.rules().iter().map(|rule| told(&rule.rule, rule.column.as_deref()));
            // A rule may stand there twice, as a type within a type.
            let mut distinct: Vec<String> = Vec::new();
            for rule in rules {
                if !distinct.contains(&rule) {
                    distinct.push(rule);
                }
            }
            Dataset { name: name.to_owned(), rules: distinct, seen: BTreeSet::new() }
        });
        Coverage { datasets: datasets.collect() }
    }

    pub(super) fn saw(&mut self, dataset: &str, rule: &str, column: Option<&str>) {
        if let Some(dataset) = self.datasets.iter_mut().find(|known| known.name == dataset) {
            dataset.seen.insert(told(rule, column));
        }
    }

    pub(super) fn datasets(&self) -> &[Dataset] {
        &self.datasets
    }

    pub(super) fn has_gaps(&self) -> bool {
        self.datasets.iter().any(|dataset| !dataset.never().is_empty())
    }
}

impl Dataset {
    pub(super) fn broken(&self) -> usize {
        self.rules.len() - self.never().len()
    }

    pub(super) fn never(&self) -> Vec<&str> {
        self.rules.iter().filter(|rule| !self.seen.contains(*rule)).map(String::as_str).collect()
    }
}

/// A rule with its column, as cases name it.
pub(super) fn told(rule: &str, column: Option<&str>) -> String {
    match column {
        Some(column) => format!("{rule} {column}"),
        None => rule.to_owned(),
    }
}
