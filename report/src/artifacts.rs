//! Files that attempts left, and where they stand beside the report: `artifacts/<job>-<attempt>/<name>`.
//!
//! Names come from functions, so they are text from strangers: nothing in one can leave the folder.

use rfx_schemas::id::{Attempt, JobId};
use rfx_schemas::outcome::Artifact;
use rfx_schemas::report::{AttemptReport, Report};
use rfx_schemas::verdict::OutcomeKind;

/// Most files that are written beside a report, and most bytes of all of them.
const FILES: usize = 1_000;
const BYTES: u64 = 256 << 20;
/// Longest name of a file.
const NAME: usize = 100;

/// A file to be written.
pub(crate) struct Wanted<'a> {
    /// Where, from the report's folder.
    pub(crate) path: String,
    pub(crate) artifact: &'a Artifact,
}

/// The files to write, those of attempts that did not pass first, and how many are left out.
pub(crate) fn wanted(report: &Report) -> (Vec<Wanted<'_>>, usize) {
    let jobs = report.steps.iter().flat_map(|step| &step.jobs).map(|job| (job.job, &job.attempts));
    let calls = report.steps.iter().flat_map(|step| &step.calls).chain(&report.undos);
    let all = jobs.chain(calls.map(|call| (call.job, &call.attempts)));
    let mut attempts: Vec<(JobId, &AttemptReport)> =
        all.flat_map(|(job, attempts)| attempts.iter().map(move |attempt| (job, attempt))).collect();
    attempts.retain(|(_, attempt)| attempt.detail.as_ref().is_some_and(|d| !d.artifacts.is_empty()));
    attempts.sort_by_key(|(_, attempt)| attempt.kind == OutcomeKind::Passed);
    let (mut wanted, mut left_out, mut bytes) = (Vec::new(), 0, 0);
    for (job, attempt) in attempts {
        let artifacts = attempt.detail.iter().flat_map(|detail| &detail.artifacts);
        for (number, artifact) in artifacts.enumerate() {
            if wanted.len() >= FILES || bytes + artifact.size > BYTES {
                left_out += 1;
                continue;
            }
            bytes += artifact.size;
            let path = path(job, attempt.attempt, number, &artifact.name);
            wanted.push(Wanted { path, artifact });
        }
    }
    (wanted, left_out)
}

/// Where a file is, from the report's folder; its number is that among those of its attempt. As a link,
/// too: every character in it stands for itself.
pub(crate) fn path(job: JobId, attempt: Attempt, number: usize, name: &str) -> String {
    format!("artifacts/{job}-{attempt}/{}", safe(number, name))
}

/// A name that is one on every system. One that had to be changed keeps apart from others by its number.
fn safe(number: usize, name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let short: String = name.chars().map(plain).collect();
    // The end of a long name is what says its kind.
    let short = short[short.len().saturating_sub(NAME)..].trim_start_matches('.').to_owned();
    if short == name && !name.is_empty() { short } else { format!("{number}-{short}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_the_folder_or_hides_another() {
        let job = JobId { step: 3, item: 1 };
        let path = |number, name: &str| path(job, Attempt::FIRST, number, name);
        assert_eq!(path(0, "page.html"), "artifacts/3-1-1/page.html");
        assert_eq!(path(1, "../../etc/passwd"), "artifacts/3-1-1/1-_.._etc_passwd");
        assert_eq!(path(2, ".."), "artifacts/3-1-1/2-");
        assert_eq!(path(3, ""), "artifacts/3-1-1/3-");
        assert_eq!(path(4, "C:\\x\0é.txt"), "artifacts/3-1-1/4-C__x__.txt");
        assert!(path(5, &"x".repeat(400)).len() < 130);
    }
}
