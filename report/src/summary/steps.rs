//! The table of steps in the terminal summary.

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, TableStyle};
use rfx_schemas::report::{Report, StepReport};
use rfx_schemas::verdict::Verdict;

use super::{Paint, Style};
use crate::pick;
use crate::text;
use crate::tree::Tree;

/// Deepest indentation of a step; deeper ones stand below each other.
const DEPTH: usize = 8;

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
    let tree = Tree::of(report);
    for (at, step) in report.steps.iter().enumerate() {
        let allowed = tree.allows(at, step.verdict);
        table.add_row(row(style, step, tree.depth(at), allowed, &verdicts));
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

fn row(style: Style, step: &StepReport, depth: usize, allowed: bool, verdicts: &[Verdict]) -> Vec<Cell> {
    // A table that must be narrow breaks lines at spaces, and would drop those at their start.
    let indent = if style.width.is_some() { "\u{a0}\u{a0}" } else { "  " };
    let name = format!("{}{}", indent.repeat(depth.min(DEPTH)), pick::own_name(step));
    // Executions of a flow are no jobs: they stand in words where other steps say where they ran, and
    // their verdicts in no column, whose sums are those of the jobs.
    let (place, jobs) = match step.composite {
        true => (pick::executions(step), "·".to_owned()),
        false => (pick::place(step), step.jobs.len().to_string()),
    };
    let mut row = vec![
        cell(style, name, Paint::Plain),
        cell(style, text::one_line(&step.uses, 60), Paint::Plain),
        cell(style, place, Paint::Plain),
        cell(style, jobs, if step.composite { Paint::Faint } else { Paint::Plain }),
    ];
    row.extend(verdicts.iter().map(|verdict| match step.counts.get(*verdict) {
        some if some > 0 && !step.composite => cell(style, some.to_string(), Paint::of(Some(*verdict))),
        _ => cell(style, "·".into(), Paint::Faint),
    }));
    row.push(cell(style, pick::step_took(step), Paint::Plain));
    let paint = if allowed { Paint::Faint } else { Paint::of(step.verdict) };
    row.push(cell(style, pick::word(step.verdict, allowed), paint));
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
