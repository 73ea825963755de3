//! Column lineage: which columns every column is made of, as of the active revision.
//!
//! An object is a source, dataset, feature view (`card@1`), feature service (`fraud@1`), training set or model. The column `*` stands for the rows of
//! an object as such: `count: "*"` depends on it. A walk from a column follows that column; a walk from `*` or from the
//! whole object follows every column of the object.

use std::collections::BTreeSet;

use seawall_base::{Hash, Result};
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields};

#[cfg(test)]
mod tests;

/// The column that stands for the rows of an object.
pub const ROWS: &str = "*";

/// How columns are made of others.
pub mod via {
    /// A dataset's column of a source's, by the source's SQL.
    pub const MAP: &str = "map";
    /// A derived dataset's column of those that its transform reads, computed.
    pub const TRANSFORM: &str = "transform";
    /// The same, with its values as they are.
    pub const COPY: &str = "transform, copied";
    /// A dataset's column of a source's, as it comes.
    pub const GATE: &str = "gate";
    /// A dataset's column of a source's, mended by a correction; the correction's name follows.
    pub const CORRECTION: &str = "correction ";
    /// A feature of a dataset's columns.
    pub const FEATURE: &str = "feature";
    /// A feature service's column of a feature.
    pub const FEATURE_SERVICE: &str = "feature service";
    /// A derived feature of other columns of the same vector.
    pub const DERIVED: &str = "derived";
    /// A training set's column of a feature, or of a feature service's column.
    pub const TRAINING_SET: &str = "training set";
    /// A training set's label of a dataset's columns.
    pub const LABEL: &str = "label";
    /// A training set's column of its rows.
    pub const CONTEXT: &str = "context";
    /// A training set's decision time of its rows.
    pub const DECISION_TIME: &str = "decision time";
    /// A model's score of a training set's columns, its label among them.
    pub const MODEL: &str = "model";
}

/// The column of a model: what it predicts.
pub const SCORE: &str = "score";

/// One column is made of another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LineageEdge {
    /// Object that is read.
    pub from_object: String,
    /// Its column, or `*` for its rows.
    pub from_column: String,
    /// Object that is made.
    pub to_object: String,
    /// Its column, or `*` for its rows.
    pub to_column: String,
    /// How: one of [`via`].
    pub via: String,
}

/// Where a walk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Towards the sources: what is this made of?
    Up,
    /// Towards the models: who is affected by this?
    Down,
}

impl Catalog {
    /// The edges that are reached from `object`, or from one column of it, in at most `depth` steps, nearest first. The
    /// edges are those of the active revision; none when nothing was applied.
    pub async fn lineage(
        &self,
        object: &str,
        column: Option<&str>,
        direction: Direction,
        depth: u32,
    ) -> Result<Vec<LineageEdge>> {
        let mut reader = self.read().await?;
        let Some(revision) = crate::revision::active_hash(&mut reader).await? else { return Ok(Vec::new()) };
        let edges = of_revision(&mut reader, revision).await?;
        Ok(walk(&edges, object, column, direction, depth))
    }
}

impl Catalog {
    /// Every edge of a revision, ordered.
    pub async fn lineage_of(&self, revision: Hash) -> Result<Vec<LineageEdge>> {
        let mut reader = self.read().await?;
        of_revision(&mut reader, revision).await
    }
}

/// Every edge of a revision, ordered.
pub(crate) async fn of_revision(connection: &mut Connection, revision: Hash) -> Result<Vec<LineageEdge>> {
    let rows = sqlx::query(
        "SELECT from_object, from_column, to_object, to_column, via FROM lineage WHERE revision = $1
         ORDER BY to_object, to_column, from_object, from_column, via",
    )
    .bind(revision.to_string())
    .fetch_all(connection)
    .await
    .during("reading lineage")?;
    let mut edges = Vec::with_capacity(rows.len());
    for row in rows {
        edges.push(LineageEdge {
            from_object: row.text("from_object")?,
            from_column: row.text("from_column")?,
            to_object: row.text("to_object")?,
            to_column: row.text("to_column")?,
            via: row.text("via")?,
        });
    }
    Ok(edges)
}

/// Replaces the edges of a revision, within the caller's transaction.
pub(crate) async fn replace(connection: &mut Connection, revision: Hash, edges: &[LineageEdge]) -> Result<()> {
    let revision = revision.to_string();
    sqlx::query("DELETE FROM lineage WHERE revision = $1")
        .bind(revision.as_str())
        .execute(&mut *connection)
        .await
        .during("replacing lineage")?;
    let distinct: BTreeSet<&LineageEdge> = edges.iter().collect();
    for edge in distinct {
        sqlx::query(
            "INSERT INTO lineage (revision, from_object, from_column, to_object, to_column, via)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(revision.as_str())
        .bind(edge.from_object.as_str())
        .bind(edge.from_column.as_str())
        .bind(edge.to_object.as_str())
        .bind(edge.to_column.as_str())
        .bind(edge.via.as_str())
        .execute(&mut *connection)
        .await
        .during("recording lineage")?;
    }
    Ok(())
}

/// A breadth-first walk; every edge is given once, however many ways lead to it, so cycles end it.
pub(crate) fn walk(
    edges: &[LineageEdge],
    object: &str,
    column: Option<&str>,
    direction: Direction,
    depth: u32,
) -> Vec<LineageEdge> {
    let near = |edge: &LineageEdge| match direction {
        Direction::Up => (edge.to_object.clone(), edge.to_column.clone()),
        Direction::Down => (edge.from_object.clone(), edge.from_column.clone()),
    };
    let far = |edge: &LineageEdge| match direction {
        Direction::Up => (edge.from_object.clone(), edge.from_column.clone()),
        Direction::Down => (edge.to_object.clone(), edge.to_column.clone()),
    };
    let mut found = Vec::new();
    let mut taken = vec![false; edges.len()];
    let mut frontier = BTreeSet::from([(object.to_owned(), column.unwrap_or(ROWS).to_owned())]);
    for _ in 0..depth {
        let mut next = BTreeSet::new();
        for (edge, taken) in edges.iter().zip(&mut taken) {
            let (near_object, near_column) = near(edge);
            let whole = frontier.contains(&(near_object.clone(), ROWS.to_owned()));
            if *taken || !(whole || frontier.contains(&(near_object, near_column))) {
                continue;
            }
            *taken = true;
            next.insert(far(edge));
            found.push(edge.clone());
        }
        if next.is_empty() {
            break;
        }
        frontier = next;
    }
    found
}
