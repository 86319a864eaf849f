//! Calls, undos and leaks in the terminal summary.

use rfx_schemas::report::Report;

use super::{Lines, Paint, more};
use crate::calls;
use crate::pick::Mark;

/// Most leaks, and calls that did not pass, that are told about one by one.
const CALLS: usize = 10;

/// What steps have called, a line each, and which calls did not pass: without colour, since their
/// callers have judged them.
pub(super) fn called(out: &mut Lines, report: &Report) {
    let mut any = false;
    for (step, counted) in calls::by_step(report).take(CALLS) {
        out.indented(0, &format!("{step} made {counted}"), Paint::Faint);
        any = true;
    }
    let odd = calls::not_passed(report);
    for call in odd.iter().take(CALLS) {
        let mark = Mark::of(call.verdict);
        let said = calls::said(call).map(|said| format!("  {said}")).unwrap_or_default();
        out.indented(2, &format!("{} {}  {}{said}", mark.sign, mark.word, calls::name(call)), Paint::Faint);
    }
    more(out, odd.len());
    if !report.undos.is_empty() {
        out.indented(0, &calls::counted(&report.undos, "undo"), Paint::Faint);
        any = true;
    }
    if any {
        out.line("");
    }
}

/// What should have been undone, and was not.
pub(super) fn leaks(out: &mut Lines, report: &Report) {
    let all: Vec<_> = calls::leaks(report).collect();
    for leak in all.iter().take(CALLS) {
        let head = format!("! leak  {}", calls::name(leak));
        out.indented(0, &head, Paint::Bad);
        out.indented(4, &calls::said(leak).unwrap_or_default(), Paint::Bad);
        if let Some(input) = calls::input(leak) {
            out.indented(4, &format!("called with {input}"), Paint::Plain);
        }
        out.line("");
    }
    more(out, all.len());
}
