//! Masks: their names in policies, which of several is used, and which types they fit.

use arrow::datatypes::DataType;
use seawall_base::grant::Mask;

/// Every mask with its name, the strictest first: when several apply to a column, the first of them is used.
pub(super) const STRICTEST_FIRST: [(Mask, &str); 9] = [
    (Mask::ReplaceWithNull, "replace-with-null"),
    (Mask::MaskToFixedValue, "mask-to-fixed-value"),
    (Mask::Sha256QueryLocal, "sha-256-query-local"),
    (Mask::Sha256Global, "sha-256-global"),
    (Mask::MaskAlphanum, "mask-alphanum"),
    (Mask::TruncateToYear, "truncate-to-year"),
    (Mask::TruncateToMonth, "truncate-to-month"),
    (Mask::ShowLast4, "show-last-4"),
    (Mask::ShowFirst4, "show-first-4"),
];

/// The mask that `@mask("NAME")` names.
pub(super) fn named(name: &str) -> Option<Mask> {
    STRICTEST_FIRST.iter().find(|(_, known)| *known == name).map(|(mask, _)| mask.clone())
}

/// The mask's name in policies.
pub(super) fn name(mask: &Mask) -> &'static str {
    STRICTEST_FIRST.iter().find(|(known, _)| known == mask).map_or("replace-with-null", |(_, name)| name)
}

/// Position in the order of strictness; 0 is the strictest.
pub(super) fn rank(mask: &Mask) -> usize {
    STRICTEST_FIRST.iter().position(|(known, _)| known == mask).unwrap_or(0)
}

/// The strictest of several masks; none when there is none.
pub(super) fn strictest(masks: impl IntoIterator<Item = Mask>) -> Option<Mask> {
    masks.into_iter().min_by_key(rank)
}

/// The mask itself when values of `data_type` can bear it, else null: a column that cannot be masked is not shown.
pub(super) fn fitting(mask: Mask, data_type: &DataType) -> Mask {
    let fits = match &mask {
        Mask::ReplaceWithNull => true,
        Mask::MaskToFixedValue => !data_type.is_nested(),
        Mask::TruncateToYear | Mask::TruncateToMonth => is_day_or_instant(data_type),
        Mask::MaskAlphanum | Mask::ShowFirst4 | Mask::ShowLast4 | Mask::Sha256Global | Mask::Sha256QueryLocal => {
            is_text(data_type)
        }
    };
    if fits { mask } else { Mask::ReplaceWithNull }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn is_day_or_instant(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64)
}
