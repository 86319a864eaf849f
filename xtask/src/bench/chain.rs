//! Latency: a chain of steps each of which waits for the one before, beside the raw hop.

use std::fmt::Write as _;

use crate::command::Result;

use super::bed::{Bed, median};
use super::figure::Figure;

const STEPS: u32 = 100;
const RUNS: usize = 7;
const HOPS: u32 = 1_000;

/// Runs the chain several times; a step takes its share of the time from the submission to the end.
pub fn measure(bed: &Bed) -> Result<Vec<Figure>> {
    bed.file("chain.yaml", &flow())?;
    let crew = bed.crew()?;
    let before = bed.raw("hops", HOPS)?;
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let (times, _) = bed.run("chain", &crew)?;
        runs.push(times.micros() / f64::from(STEPS));
    }
    let after = bed.raw("hops", HOPS)?;
    let step = median(runs);
    Ok(vec![
        Figure::ratio("chain_step", step, "µs", f64::midpoint(before, after)).at_most(2.0),
        Figure::plain("raw_hop_before", before, "µs"),
        Figure::plain("raw_hop_after", after, "µs"),
    ])
}

fn flow() -> String {
    let mut flow = "flow: chain\nsteps:\n  s1: { uses: rfx.noop }\n".to_owned();
    for step in 2..=STEPS {
        writeln!(flow, "  s{step}: {{ uses: rfx.noop, needs: s{} }}", step - 1).expect("a string takes all");
    }
    flow
}
