//! A fan-out whose items come from an earlier step's output, and the step that reads them all: does
//! a job cost more when there are more of them?

use crate::command::Result;

use super::bed::{Bed, Peaks, Times};
use super::figure::Figure;

/// The most that a process may hold, in MiB.
const MEMORY: f64 = 250.0;
/// How much more a job may cost in the large fan-out than in the small one.
const GROWTH: f64 = 1.3;

/// Runs a fan-out of a tenth of the items, and one of all, each in processes of its own.
pub fn measure(items: u32) -> Result<Vec<Figure>> {
    let (small, _) = fan_out("fan_small", items / 10)?;
    let (large, peaks) = fan_out("fan_large", items)?;
    let per_job = |times: &Times, items: u32| times.micros() / f64::from(items);
    let (a_job, small_job) = (per_job(&large, items), per_job(&small, items / 10));
    Ok(vec![
        Figure::ratio(format!("fan_{items}_a_job"), a_job, "µs", small_job).at_most(GROWTH),
        Figure::plain(format!("fan_{}_total", items / 10), small.micros() / 1e6, "s"),
        Figure::plain(format!("fan_{items}_total"), large.micros() / 1e6, "s"),
        Figure::plain("fan_publisher_peak_memory", peaks.publisher, "MiB").at_most(MEMORY),
        Figure::plain("fan_collector_peak_memory", peaks.collector, "MiB").at_most(MEMORY),
        Figure::plain("fan_worker_peak_memory", peaks.worker, "MiB"),
    ])
}

fn fan_out(name: &str, items: u32) -> Result<(Times, Peaks)> {
    let bed = Bed::start(name)?;
    bed.numbers("items.json", items)?;
    bed.file("fan.yaml", &flow(items))?;
    let mut crew = bed.crew()?;
    bed.run("fan", &mut crew)
}

/// The join fails, and with it the run, unless each output is at its item's place.
fn flow(items: u32) -> String {
    let (middle, last) = (items / 2, items - 1);
    format!(
        r#"flow: fan
data: {{ items: items.json }}
steps:
  list: {{ uses: rfx.echo, with: {{ items: "${{{{ data.items }}}}" }} }}
  fan: {{ uses: rfx.echo, each: "${{{{ steps.list.output.items }}}}", with: {{ n: "${{{{ item }}}}" }} }}
  join:
    uses: rfx.echo
    with: {{ all: "${{{{ steps.fan.output }}}}" }}
    expect:
      - size(output.all) == {items}
      - output.all[0].n == 0 && output.all[{middle}].n == {middle} && output.all[{last}].n == {last}
"#
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_flow_reads_as_it_should() {
        let flow = super::flow(10);
        assert!(flow.contains(r#"each: "${{ steps.list.output.items }}", with: { n: "${{ item }}" } }"#));
        assert!(flow.contains("output.all[5].n == 5 && output.all[9].n == 9"));
    }
}
