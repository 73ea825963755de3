//! `kind: view`: named queries, whose names share a space with the tables.

use seawall_base::declare::View;

use super::super::parse::Declaration;
use super::super::sql::one_select;
use super::{Found, Resolver};

impl<'a> Resolver<'a> {
    pub(super) fn named_query(&mut self, declaration: &Declaration) -> Option<View> {
        self.free_name(declaration);
        let node = &declaration.node;
        let place = node.get("sql").or_else(|| node.get("file"))?.place;
        if self.report.has_error_at(place) {
            return None;
        }
        let sql = self.declared_sql(node)?;
        let Some(select) = one_select(&sql) else {
            self.report
                .error("SW0181", "a view is one select", place)
                .help("begin it with `select` or `with`, and leave out what comes after the first semicolon");
            return None;
        };
        Some(View { name: declaration.name.clone(), sql: select.to_owned() })
    }

    /// A view must not hide a table. Tables that Seawall makes, such as `payments__quarantine`, have two underscores in
    /// their names, which no declaration can have.
    fn free_name(&mut self, declaration: &Declaration) {
        let name = declaration.name.as_str();
        if let Found::Thing(entry) = self.contracts.dataset(name) {
            self.report
                .error("SW0180", format!("there is a dataset `{name}`"), declaration.name_place())
                .label(entry.place, "described here")
                .help("give the view another name: in SQL both are tables");
        }
    }
}
