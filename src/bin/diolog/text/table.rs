//! Tables with aligned columns.

/// The side of its column that a cell is aligned to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// Rows of cells; a column is as wide as its widest cell.
pub(crate) struct Table {
    sides: Vec<Side>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(columns: &[(&str, Side)]) -> Table {
        let heading = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        Table { sides: columns.iter().map(|(_, side)| *side).collect(), rows: vec![heading] }
    }

    /// Adds a row with a cell for each column.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.sides.len());
        self.rows.push(cells);
    }

    /// Appends the table to `out`, each line after `indent` spaces; nothing if it has only headings.
    pub(crate) fn write(&self, indent: usize, out: &mut Vec<u8>) {
        if self.rows.len() == 1 {
            return;
        }
        let width = |column: usize| self.rows.iter().map(|row| width_of(&row[column])).max().unwrap_or(0);
        let widths: Vec<_> = (0..self.sides.len()).map(width).collect();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            for (column, cell) in row.iter().enumerate() {
                let gap = " ".repeat(widths[column] - width_of(cell));
                if column > 0 {
                    line.push_str("  ");
                }
                match self.sides[column] {
                    Side::Left => line.extend([cell.as_str(), &gap]),
                    Side::Right => line.extend([gap.as_str(), cell]),
                }
            }
            out.extend_from_slice(line.trim_end().as_bytes());
            out.push(b'\n');
        }
    }
}

/// The width of a cell on a terminal. Counts each character as one column, which is right for everything printed here.
fn width_of(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&[("name", Side::Left), ("p50", Side::Right)]);
        table.row(vec!["append".into(), "10.5 µs".into()]);
        table.row(vec!["clock".into(), "9 ns".into()]);
        let mut out = Vec::new();
        table.write(2, &mut out);
        let lines = ["  name        p50", "  append  10.5 µs", "  clock      9 ns", ""];
        assert_eq!(String::from_utf8(out).expect("UTF-8"), lines.join("\n"));
    }

    #[test]
    fn a_table_without_rows_prints_nothing() {
        let mut out = Vec::new();
        Table::new(&[("name", Side::Left)]).write(0, &mut out);
        assert!(out.is_empty());
    }
}
