//! Throughput of one run, beside what the server and its client library can do.

use crate::command::Result;

use super::bed::Bed;
use super::figure::Figure;

const FLOW: &str = "flow: bench\ndata: { items: items.json }\nsteps:\n  noop: { uses: rfx.noop, each: \"${{ data.items }}\" }\n";

/// Runs no-op native jobs through publisher, worker and collector.
pub fn measure(bed: &Bed, jobs: u32) -> Result<Vec<Figure>> {
    bed.numbers("items.json", jobs)?;
    bed.file("jobs.yaml", FLOW)?;
    let mut crew = bed.crew()?;
    // Around the measurement, so that a noisy machine shows.
    let before = bed.raw("jobs", jobs)?;
    let (times, peaks) = bed.run("jobs", &mut crew)?;
    let after = bed.raw("jobs", jobs)?;
    let rate = f64::from(jobs) / (times.micros() / 1e6);
    Ok(vec![
        Figure::ratio("jobs_per_second", rate, "jobs/s", f64::midpoint(before, after)),
        Figure::plain("raw_before", before, "jobs/s"),
        Figure::plain("raw_after", after, "jobs/s"),
        Figure::plain("publisher_peak_memory", peaks.publisher, "MiB"),
        Figure::plain("collector_peak_memory", peaks.collector, "MiB"),
        Figure::plain("worker_peak_memory", peaks.worker, "MiB"),
    ])
}
