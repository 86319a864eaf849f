//! A short run beside a long one of the same group: it must wait for a window, not for the run.

use std::time::Duration;

use crate::command::{Error, Result};
use crate::process::Process;

use super::bed::{Bed, Crew, Times, median};
use super::figure::Figure;

const SHORT: u32 = 100;
/// Short runs alone.
const ALONE: usize = 7;
/// Most short runs beside the long one.
const BESIDE: usize = 11;
/// From the long run's submission to the first short one's, so that the long one's window is full.
const HEAD_START: Duration = Duration::from_millis(700);
/// The default of `publisher.window`, set for the long run so that both are sure to be the same.
const WINDOW: u32 = 2_000;
const FLOW: &str = "data: { items: FILE }\nsteps:\n  noop: { uses: rfx.noop, each: \"${{ data.items }}\" }\n";

/// Runs short runs alone, then beside the long one; the middle ones count.
pub fn measure(bed: &Bed, long: u32) -> Result<Vec<Figure>> {
    for (name, jobs) in [("short", SHORT), ("long", long)] {
        let data = format!("{name}.json");
        bed.numbers(&data, jobs)?;
        bed.file(&format!("{name}.yaml"), &format!("flow: {name}\n{}", FLOW.replace("FILE", &data)))?;
    }
    let mut crew = bed.crew()?;
    let alone = (0..ALONE).map(|_| Ok(bed.run("short", &mut crew)?.0.micros()));
    let alone = median(alone.collect::<Result<_>>()?) / 1e3;
    let (long_run, short_runs) = side_by_side(bed, &mut crew)?;
    // Only what lay inside the long run was beside it.
    let beside = short_runs.iter().filter(|short| short.finished < long_run.finished);
    let beside: Vec<_> = beside.map(Times::micros).collect();
    if beside.is_empty() {
        return Err(Error::Failed("no short run ended before the long one; take more --jobs".to_owned()));
    }
    let (count, beside) = (beside.len(), median(beside) / 1e3);
    let rate = f64::from(long) / (long_run.micros() / 1e6);
    let window = f64::from(WINDOW) / rate * 1e3;
    let bound = 3.0 * alone + window;
    Ok(vec![
        Figure::ratio("short_run_beside_long", beside, "ms", bound).at_most(1.0),
        Figure::plain("short_run_alone", alone, "ms"),
        Figure::plain("one_window", window, "ms"),
        Figure::plain("long_run", long_run.micros() / 1e3, "ms"),
        Figure::plain("short_runs_beside", count as f64, "runs"),
    ])
}

/// Times of the long run, and of the short ones that were submitted after it.
fn side_by_side(bed: &Bed, crew: &mut Crew) -> Result<(Times, Vec<Times>)> {
    let mut publish = bed.publish("long");
    publish.env("RFX_PUBLISHER__WINDOW", WINDOW.to_string());
    let mut long = Process::start("rfx-publish", &mut publish, bed.dir())?;
    long.ready("run ")?;
    std::thread::park_timeout(HEAD_START);
    let mut short = Vec::new();
    while short.len() < BESIDE && long.is_up() {
        short.push(bed.run("short", crew)?.0);
    }
    long.ended()?;
    Ok((bed.times("long")?, short))
}
