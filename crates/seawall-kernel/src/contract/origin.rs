//! Where the cells of nested columns come from: the row of each element, and its place on the way there, so that a
//! message can say `lines[3].price` or `prices["EUR"].value`.

use arrow::array::{Array, ArrayRef};

use super::raw;
use super::reason::shorten;

/// The elements of a list column, which is itself a column of the dataset or stands within another list.
pub(super) struct Origin<'a> {
    /// The row of each element.
    pub rows: Vec<u32>,
    /// The list of each element, as a cell of the list column.
    pub lists: Vec<u32>,
    /// The first element of each list.
    pub starts: Vec<u32>,
    /// The keys of a map, by element; they name an element better than its position.
    pub keys: Option<ArrayRef>,
    /// The lists that the list column itself stands in.
    pub above: Option<&'a Origin<'a>>,
}

impl Origin<'_> {
    /// `path`, in which every list is written `[]`, with the place of `cell` filled in.
    pub(super) fn located(&self, path: &str, cell: u32) -> String {
        let mut steps = Vec::new();
        let (mut level, mut cell) = (self, cell);
        loop {
            let list = level.lists[cell as usize];
            steps.push(level.step(cell, list));
            match level.above {
                Some(above) => (level, cell) = (above, list),
                None => break,
            }
        }
        fill(path, steps.into_iter().rev())
    }

    fn step(&self, cell: u32, list: u32) -> String {
        match &self.keys {
            Some(keys) if keys.is_valid(cell as usize) => {
                format!("[{}]", shorten(&raw::cell_json(keys.as_ref(), cell as usize)))
            }
            _ => format!("[{}]", cell - self.starts[list as usize]),
        }
    }
}

/// `path` with each `[]` replaced by the next of `steps`.
pub(super) fn fill(path: &str, steps: impl IntoIterator<Item = String>) -> String {
    let mut located = String::with_capacity(path.len() + 8);
    let mut rest = path;
    for step in steps {
        let Some(at) = rest.find("[]") else { break };
        located.push_str(&rest[..at]);
        located.push_str(&step);
        rest = &rest[at + 2..];
    }
    located.push_str(rest);
    located
}
