//! Latency: a chain of steps each of which waits for the one before, beside the raw hop.

use std::fmt::Write as _;

use crate::command::Result;

use super::bed::{Bed, median};
use super::figure::Figure;

const STEPS: u32 = 100;
const ROUNDS: usize = 9;
const HOPS: u32 = 1_000;

/// Runs the chain and the raw hops by turns, and takes the middle of each: both differ a lot from
/// moment to moment. A step takes its share of the time from the submission to the last verdict.
pub fn measure(bed: &Bed) -> Result<Vec<Figure>> {
    bed.file("chain.yaml", &flow())?;
    let mut crew = bed.crew()?;
    let (mut steps, mut hops) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        hops.push(bed.raw("hops", HOPS)?);
        steps.push(bed.run("chain", &mut crew)?.0.micros() / f64::from(STEPS));
    }
    let fastest = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let (best_step, best_hop) = (fastest(&steps), fastest(&hops));
    Ok(vec![
        Figure::ratio("chain_step", median(steps), "µs", median(hops)).at_most(2.0),
        Figure::ratio("chain_step_fastest", best_step, "µs", best_hop),
    ])
}

fn flow() -> String {
    let mut flow = "flow: chain\nsteps:\n  s1: { uses: rfx.noop }\n".to_owned();
    for step in 2..=STEPS {
        writeln!(flow, "  s{step}: {{ uses: rfx.noop, needs: s{} }}", step - 1).expect("a string takes all");
    }
    flow
}
