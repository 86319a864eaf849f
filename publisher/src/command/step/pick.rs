//! Which job and attempt somebody means: an id, or a step with the key of its item.

use rfx_schemas::id::{Attempt, JobId};
use rfx_schemas::report::{JobReport, Report, StepReport};

/// Candidates that are listed.
const LISTED: usize = 20;

/// The job that a text means.
pub fn job(report: &Report, text: &str) -> Result<JobId, String> {
    if let Ok(id) = text.parse::<JobId>() {
        let found = all(report).find(|(_, job)| job.job == id);
        let (step, job) = found.ok_or_else(|| {
            format!(
                "the run has no job {id}; these are its jobs:\n{}",
                list(&all(report).collect::<Vec<_>>())
            )
        })?;
        return if step.composite { Err(composite(report, step)) } else { Ok(job.job) };
    }
    let (path, key) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((path, key)) => (path, Some(key)),
        None => (text, None),
    };
    let steps: Vec<_> = report.steps.iter().filter(|step| is_called(step, path)).collect();
    let Some(first) = steps.first() else {
        let paths: Vec<_> = report.steps.iter().filter(|s| !s.composite).map(|s| s.path.as_str()).collect();
        return Err(format!("the run has no step {path}; it has {}", paths.join(", ")));
    };
    if first.composite {
        return Err(composite(report, first));
    }
    let of_step = steps.iter().flat_map(|step| step.jobs.iter().map(|job| (*step, job)));
    let found: Vec<_> = of_step.filter(|(_, job)| key.is_none_or(|key| is_item(job, key))).collect();
    match found[..] {
        [(_, job)] => Ok(job.job),
        [] => {
            let jobs: Vec<_> =
                steps.iter().flat_map(|step| step.jobs.iter().map(|job| (*step, job))).collect();
            let wanted =
                key.map_or_else(|| format!("{path} has no job"), |key| format!("{path} has no job {key}"));
            Err(if jobs.is_empty() { wanted } else { format!("{wanted}; it has:\n{}", list(&jobs)) })
        }
        _ => Err(format!("{text} may be any of these; name one:\n{}", list(&found))),
    }
}

/// The attempt of a job: the one that is wanted, else the last one that is recorded, else the first.
pub fn attempt(report: &Report, job: JobId, wanted: Option<u32>) -> Result<Attempt, String> {
    let found = all(report).find(|(_, one)| one.job == job);
    let attempts: Vec<_> = found.iter().flat_map(|(_, job)| &job.attempts).map(|a| a.attempt).collect();
    let last = attempts.last().copied().unwrap_or(Attempt::FIRST);
    let Some(wanted) = wanted else { return Ok(last) };
    // Of polls only the last look is listed, and those before it are recorded all the same.
    match Attempt::new(wanted).filter(|attempt| *attempt <= last) {
        Some(attempt) => Ok(attempt),
        None => Err(format!("job {job} has no attempt {wanted}; its last one is {last}")),
    }
}

fn all(report: &Report) -> impl Iterator<Item = (&StepReport, &JobReport)> {
    report.steps.iter().flat_map(|step| step.jobs.iter().map(move |job| (step, job)))
}

/// `steps.device` is also called `device`.
fn is_called(step: &StepReport, path: &str) -> bool {
    step.path == path || step.path.strip_prefix("steps.").is_some_and(|rest| rest == path)
}

fn is_item(job: &JobReport, key: &str) -> bool {
    job.key.as_deref() == Some(key)
        || job.job.item.to_string() == key && job.key.as_deref().is_none_or(str::is_empty)
}

fn composite(report: &Report, step: &StepReport) -> String {
    let inside = format!("{}/", step.path);
    let steps: Vec<_> =
        report.steps.iter().map(|s| s.path.as_str()).filter(|p| p.starts_with(&inside)).collect();
    format!("{} is a flow, which has no code of its own; step into one of {}", step.path, steps.join(", "))
}

/// Those that did not pass first.
fn list(jobs: &[(&StepReport, &JobReport)]) -> String {
    let mut jobs: Vec<_> = jobs.iter().filter(|(step, _)| !step.composite).collect();
    jobs.sort_by_key(|(_, job)| job.verdict.is_some_and(|verdict| verdict.is_pass()));
    let mut text = String::new();
    for (step, job) in jobs.iter().take(LISTED) {
        let key = job.key.as_deref().map(|key| format!("[{key}]")).unwrap_or_default();
        let verdict = job.verdict.map_or_else(|| "no verdict yet".to_owned(), |verdict| verdict.to_string());
        text.push_str(&format!("  {}  {}{key}  {verdict}\n", job.job, step.path));
    }
    if jobs.len() > LISTED {
        text.push_str(&format!("  … and {} more\n", jobs.len() - LISTED));
    }
    text.trim_end().to_owned()
}
