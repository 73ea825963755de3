//! What a column reaches: features, training sets, models and who answers for them, out of the compiled revision.

use seawall_base::watch::Blast;

use crate::revision::{Revision, ServedSet};

/// Everything that depends on `column` of `dataset`, or on any of its columns.
pub(super) fn reach(revision: &Revision, dataset: &str, column: Option<&str>) -> Blast {
    let mut blast = Blast::default();
    for view in revision.views.iter().filter(|view| view.from == dataset) {
        let is_key = column.is_some_and(|column| view.entity.iter().any(|key| key == column) || view.time == column);
        for feature in &view.features {
            let depends = is_key || column.is_none_or(|column| view.reads(feature).contains(&column));
            if depends {
                blast.features.push(format!("{}.{}", view.id(), feature.name));
            }
        }
    }
    for set in revision.training_sets.values() {
        if set_depends(set, dataset, column, &blast.features) {
            blast.training_sets.push(set.training_set.name.clone());
        }
    }
    for model in revision.models.values() {
        if blast.training_sets.contains(&model.model.training_set) {
            blast.models.push(model.model.name.clone());
            blast.owners.extend(model.model.owner.clone());
        }
    }
    blast.owners.extend(revision.owners.get(dataset).cloned());
    blast.owners.sort();
    blast.owners.dedup();
    blast
}

fn set_depends(set: &ServedSet, dataset: &str, column: Option<&str>, features: &[String]) -> bool {
    let through_feature = set.training_set.features.iter().any(|reference| {
        let prefix = format!("{}.", reference.view);
        features.iter().any(|feature| feature.starts_with(&prefix))
    });
    let context_columns = set.context.iter().flat_map(|context| context.lineage());
    let through_context = set.spine.name == dataset
        && context_columns.into_iter().any(|edge| column.is_none_or(|column| edge.column == column));
    through_feature || through_context
}
