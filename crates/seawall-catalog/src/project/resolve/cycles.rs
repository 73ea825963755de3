//! Declarations that need each other's results: transforms over datasets, views over views.

use super::super::parse::Declaration;
use super::super::sql::tables_read;
use super::super::words::listed;
use super::super::yaml::Node;
use super::Resolver;

/// Something that makes one table of others.
struct Maker<'d> {
    declaration: &'d Declaration,
    reads: Vec<String>,
    to: &'d str,
}

impl<'a> Resolver<'a> {
    /// Reports transforms that need each other's results, and views that do.
    pub(super) fn cycles(&mut self) {
        let to_of = |declaration: &'a Declaration| declaration.node.get("to").and_then(Node::text).unwrap_or_default();
        for cycle in self.cycles_of("transform", to_of) {
            self.report_transforms(&cycle);
        }
        for cycle in self.cycles_of("view", |declaration| declaration.name.as_str()) {
            self.report_views(&cycle);
        }
    }

    /// The cycles among the sound declarations of a kind.
    fn cycles_of(&self, kind: &str, to: impl Fn(&'a Declaration) -> &'a str) -> Vec<Vec<Maker<'a>>> {
        let mut makers = Vec::new();
        let declarations = self.declarations;
        for declaration in declarations.iter().filter(|d| d.kind == kind && d.is_sound) {
            let sql = self.sql_quietly(&declaration.node).unwrap_or_default();
            makers.push(Maker { declaration, reads: tables_read(&sql).into_iter().collect(), to: to(declaration) });
        }
        let mut is_done = vec![false; makers.len()];
        let mut cycles = Vec::new();
        for start in 0..makers.len() {
            cycles.extend(find_cycle(&makers, start, &mut Vec::new(), &mut is_done));
        }
        let taken = |step: usize| Maker { reads: Vec::new(), ..makers[step] };
        cycles.into_iter().map(|cycle: Vec<usize>| cycle.into_iter().map(taken).collect()).collect()
    }

    fn report_transforms(&mut self, cycle: &[Maker<'a>]) {
        let [first, others @ ..] = cycle else { return };
        let message = match others {
            [] => format!("the transform `{}` reads the dataset that it makes", first.declaration.name),
            _ => format!("the transforms {} need each other's results", names(cycle)),
        };
        let draft = self.report.error("SW0140", message, first.declaration.name_place());
        for other in others {
            draft.label(other.declaration.name_place(), format!("makes `{}`", other.to));
        }
        draft.help("let one of them read what lies before: a table cannot depend on itself");
    }

    fn report_views(&mut self, cycle: &[Maker<'a>]) {
        let [first, others @ ..] = cycle else { return };
        let message = match others {
            [] => format!("the view `{}` reads itself", first.declaration.name),
            _ => format!("the views {} read each other", names(cycle)),
        };
        let draft = self.report.error("SW0182", message, first.declaration.name_place());
        for other in others {
            draft.label(other.declaration.name_place(), "and this one");
        }
        draft.help("let one of them read a dataset instead");
    }
}

fn names(cycle: &[Maker<'_>]) -> String {
    listed(cycle.iter().map(|maker| maker.declaration.name.as_str()), "and")
}

/// The first cycle that can be reached from `at` and was not found before, as indices.
fn find_cycle(makers: &[Maker<'_>], at: usize, path: &mut Vec<usize>, is_done: &mut [bool]) -> Option<Vec<usize>> {
    if let Some(start) = path.iter().position(|step| *step == at) {
        return Some(path[start..].to_vec());
    }
    if is_done[at] {
        return None;
    }
    path.push(at);
    let mut found = None;
    for (next, maker) in makers.iter().enumerate() {
        if found.is_none() && makers[at].reads.iter().any(|table| table == maker.to) {
            found = find_cycle(makers, next, path, is_done);
        }
    }
    path.pop();
    is_done[at] = true;
    found
}
