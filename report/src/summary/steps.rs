//! The table of steps in the terminal summary.

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, TableStyle};
use rfx_schemas::report::{Report, StepReport};
use rfx_schemas::verdict::Verdict;

use super::{Paint, Style};
use crate::pick::{self, Mark};
use crate::text;

/// The table of steps. Verdicts that no step has get no column.
pub(super) fn table(report: &Report, style: Style) -> String {
    let verdicts = pick::columns(report);
    let mut table = Table::new();
    table.load_style(TableStyle::new()).force_no_tty();
    if style.color {
        table.enforce_styling();
    }
    if let Some(width) = style.width {
        table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    }
    let words = verdicts.iter().map(|verdict| verdict.as_str());
    let header = ["step", "uses", "where", "jobs"].into_iter().chain(words).chain(["time", "verdict"]);
    table.set_header(header.map(|word| cell(style, word.to_uppercase(), Paint::Faint)).collect::<Vec<_>>());
    for step in &report.steps {
        table.add_row(row(style, step, &verdicts));
    }
    let last = table.column_count() - 1;
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if place == last { 0 } else { 2 }));
        if (3..last).contains(&place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

fn row(style: Style, step: &StepReport, verdicts: &[Verdict]) -> Vec<Cell> {
    let mut row = vec![
        cell(style, pick::step_name(step), Paint::Plain),
        cell(style, text::one_line(&step.uses, 60), Paint::Plain),
        cell(style, pick::place(step), Paint::Plain),
        cell(style, step.jobs.len().to_string(), Paint::Plain),
    ];
    row.extend(verdicts.iter().map(|verdict| match step.counts.get(*verdict) {
        0 => cell(style, "·".into(), Paint::Faint),
        some => cell(style, some.to_string(), Paint::of(Some(*verdict))),
    }));
    row.push(cell(style, pick::step_took(step), Paint::Plain));
    row.push(cell(style, Mark::of(step.verdict).word.into(), Paint::of(step.verdict)));
    row
}

fn cell(style: Style, text: String, paint: Paint) -> Cell {
    let cell = Cell::new_owned(text);
    if style.color && paint != Paint::Plain { cell.fg(color(paint)) } else { cell }
}

fn color(paint: Paint) -> Color {
    match paint {
        Paint::Plain => Color::Reset,
        Paint::Faint => Color::DarkGrey,
        Paint::Good => Color::DarkGreen,
        Paint::Bad => Color::DarkRed,
        Paint::Odd => Color::DarkYellow,
        Paint::Ours => Color::DarkMagenta,
    }
}
