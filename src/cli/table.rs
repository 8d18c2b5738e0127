//! Plain tables: aligned columns without lines, as people know them from `kubectl get`.

use std::io::{self, Write};

use anstyle::Style;

/// A table being filled. Every cell may have a colour; whether it is shown is the output's business.
pub struct Table {
    rows: Vec<Vec<(String, Style)>>,
}

impl Table {
    /// A table with a header.
    pub fn new(header: &[&str]) -> Table {
        let bold = Style::new().bold();
        Table { rows: vec![header.iter().map(|title| ((*title).to_string(), bold)).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = (String, Style)>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Writes it. The last column is not padded.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|(text, _)| text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            for (column, (text, style)) in row.iter().enumerate() {
                let last = column + 1 == row.len();
                let gap = if last { 0 } else { widths[column] - text.chars().count() + 3 };
                write!(out, "{style}{text}{style:#}{:gap$}", "")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_without_trailing_blanks() {
        let mut table = Table::new(&["HOST", "STATE"]);
        table.row(["c1/hv1", "completed"].map(|text| (text.to_string(), Style::new())));
        let mut out = anstream::StripStream::new(Vec::new());
        table.print(&mut out).unwrap();
        assert_eq!(String::from_utf8(out.into_inner()).unwrap(), "HOST     STATE\nc1/hv1   completed\n");
    }
}
