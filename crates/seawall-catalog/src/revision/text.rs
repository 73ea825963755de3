//! A plan as text for people: a line for each change, with what it reaches, and who may see more or less.

use seawall_kernel::contract::Breaks;

use super::effect::Affected;
use super::evolution::sentence;
use super::{AccessLine, Change, ChangeKind, Effect};

/// Features that are named after one change; the rest is counted.
const FEATURES_MAX: usize = 8;

/// The changes, without those that change nothing, then who gains and loses access; lines end with a newline.
pub fn plan_text(changes: &[Change], access: &[AccessLine]) -> String {
    let mut text = String::new();
    let mut unchanged = 0;
    for change in changes {
        let sign = match change.what {
            ChangeKind::Added => '+',
            ChangeKind::Changed => '~',
            ChangeKind::Removed => '-',
            ChangeKind::Unchanged => {
                unchanged += 1;
                continue;
            }
        };
        let version = match (change.kind.as_str(), &change.version) {
            (_, None) => String::new(),
            ("feature_view" | "feature_service", Some(version)) => format!("@{version}"),
            (_, Some(version)) => format!(" ({version})"),
        };
        text.push_str(&format!("{sign} {} {}{version}: {}\n", change.kind, change.name, change.reason));
        for breaking in change.evolution.iter().filter(|one| one.breaks != Breaks::Nobody) {
            text.push_str(&format!("    {}\n", sentence(breaking)));
        }
        if let Some(line) = effect_line(&change.effect) {
            text.push_str(&format!("    reaches {line}\n"));
        }
    }
    if unchanged > 0 {
        text.push_str(&format!("  {unchanged} unchanged\n"));
    }
    for line in access {
        let signed = |sign: char, what: &String| format!("    {sign} {what}\n");
        text.push_str(&format!("access of {}:\n", line.principal));
        line.gains.iter().for_each(|what| text.push_str(&signed('+', what)));
        line.loses.iter().for_each(|what| text.push_str(&signed('-', what)));
    }
    text
}

/// For example `features card@1.sum_24h (owner payments); training set fraud; model fraud (owner risk)`.
fn effect_line(effect: &Effect) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(part("feature", &effect.features));
    parts.extend(part("feature service", &effect.feature_services));
    parts.extend(part("training set", &effect.training_sets));
    parts.extend(part("model", &effect.models));
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Things of one kind, neighbours of one owner together.
fn part(noun: &str, affected: &[Affected]) -> Option<String> {
    let plural = if affected.len() == 1 { "" } else { "s" };
    let shown = &affected[..affected.len().min(FEATURES_MAX)];
    let mut groups = Vec::new();
    for group in shown.chunk_by(|a, b| a.owner == b.owner) {
        let names: Vec<&str> = group.iter().map(|one| one.name.as_str()).collect();
        let names = names.join(", ");
        groups.push(match &group[0].owner {
            Some(owner) => format!("{names} (owner {owner})"),
            None => names,
        });
    }
    let more = match affected.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!groups.is_empty()).then(|| format!("{noun}{plural} {}{more}", groups.join(", ")))
}
