//! Calls under their step, and what was to be undone, on the page.

use rfx_schemas::report::CallReport;

use crate::pick::Mark;
use crate::{calls, pick, text};

/// Most calls of a step, and most undos, that the page lists: those that did not pass first.
const LISTED: usize = 200;

/// A list of calls or undos.
pub(super) struct CallsView {
    pub(super) counted: String,
    pub(super) calls: Vec<CallView>,
    pub(super) unlisted: Option<String>,
    /// Whether any of it is to be looked at.
    pub(super) open: bool,
}

/// One of them.
pub(super) struct CallView {
    pub(super) mark: Mark,
    pub(super) leak: bool,
    pub(super) name: String,
    pub(super) message: String,
    pub(super) input: Option<String>,
    pub(super) attempts: usize,
    pub(super) duration: String,
    pub(super) worker: String,
}

/// The view of a list; none when it is empty.
pub(super) fn view(all: &[CallReport], what: &str) -> Option<CallsView> {
    if all.is_empty() {
        return None;
    }
    let mut listed: Vec<&CallReport> = all.iter().collect();
    listed.sort_by_key(|call| (call.leak.is_none(), pick::rank(call.verdict)));
    listed.truncate(LISTED);
    let more = all.len() - listed.len();
    Some(CallsView {
        counted: calls::counted(all, what),
        calls: listed.into_iter().map(CallView::of).collect(),
        unlisted: (more > 0).then(|| text::count(more)),
        open: all.iter().any(|call| call.leak.is_some()),
    })
}

impl CallView {
    fn of(call: &CallReport) -> Self {
        let last = call.attempts.last();
        Self {
            mark: Mark::of(call.verdict),
            leak: call.leak.is_some(),
            name: calls::name(call),
            message: calls::said(call).unwrap_or_default(),
            input: calls::input(call),
            attempts: call.attempts.len(),
            duration: last.map(|_| text::human(calls::took(call))).unwrap_or_default(),
            worker: last.map(pick::worker).unwrap_or_default(),
        }
    }
}
