//! What is to be undone: released at the run's teardown, the last thing done first, one after the
//! other. What setup did is undone behind the steps of teardown, all else before them: teardown is the
//! counterpart of setup.

use rfx_schemas::plan::Phase;
use rfx_schemas::verdict::Verdict;

use super::{ROOT, RunState};

impl RunState {
    /// Takes note of something that is to be undone.
    pub(super) fn note_undo(&mut self, at: u32) {
        let root = self.calls.all[at as usize].root();
        match self.outer_phase(root) {
            // What teardown itself did waits, too: whoever recorded it is not done yet.
            Phase::Setup | Phase::Teardown => self.calls.late.push(at),
            Phase::Main | Phase::OnFailure => self.calls.early.push(at),
        }
    }

    /// Whether teardown's steps have to wait for something to be undone.
    pub(super) fn undoes_first(&self) -> bool {
        self.calls.undoing.is_some() || !self.calls.early.is_empty()
    }

    /// Whether anything is left to be undone.
    pub(super) fn has_undos(&self) -> bool {
        self.undoes_first() || !self.calls.late.is_empty()
    }

    /// Begins to undo the next thing, if its turn has come. Whether anything may follow from it.
    pub(super) fn next_undo(&mut self) -> bool {
        let root = &self.frames[&ROOT];
        let after = root.phase().is_none();
        let now = after || root.phase() == Some(Phase::Teardown);
        // One at a time, and not before all that may still do something has ended.
        if !now || root.calls > 0 || !self.has_undos() {
            return false;
        }
        if self.asks > 1 {
            return self.leave_undone("teardown was skipped by a second cancel");
        }
        if self.calls.undoing.is_some() {
            return false;
        }
        let next = self.calls.early.pop();
        let next = if after { next.or_else(|| self.calls.late.pop()) } else { next };
        if let Some(at) = next {
            self.calls.undoing = Some(at);
            self.calls.due.push_back((at, self.calls.all[at as usize].job.attempt));
        }
        false
    }

    /// Gives up all that was not begun to be undone. Whether there was anything.
    pub(super) fn leave_undone(&mut self, why: &str) -> bool {
        let mut left = std::mem::take(&mut self.calls.early);
        left.append(&mut self.calls.late);
        for at in &left {
            self.calls.all[*at as usize].job.standing = super::Standing::Done(Verdict::Cancelled);
            self.end_undo(*at as usize, Verdict::Cancelled, Some(why.to_owned()));
        }
        !left.is_empty()
    }

    /// Gives up what is being undone, too.
    pub(super) fn abandon_undos(&mut self, why: &str) {
        if let Some(at) = self.calls.undoing {
            self.calls.all[at as usize].job.standing = super::Standing::Done(Verdict::Cancelled);
            self.end_undo(at as usize, Verdict::Cancelled, Some(why.to_owned()));
        }
        self.leave_undone(why);
    }

    /// Something was undone, or is a leak: what should be gone is still there.
    pub(super) fn end_undo(&mut self, at: usize, verdict: Verdict, why: Option<String>) {
        let child = &mut self.calls.all[at];
        if verdict.is_pass() || verdict == Verdict::Skipped {
            child.input = None;
        } else {
            child.leak = Some(why.unwrap_or_else(|| verdict.to_string()).into());
            self.calls.leaks += 1;
        }
        if self.calls.undoing.is_some_and(|undoing| undoing as usize == at) {
            self.calls.undoing = None;
        }
        self.dirty.insert(ROOT);
    }
}
