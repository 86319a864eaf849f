//! Functions in Python: through the whole pipeline, beside two children without a server (the floor) and
//! beside the raw message pattern with a Python call in its loop, all with the same payload.

use std::fmt::Write as _;

use crate::command::{Error, Result, at_root, io, root};
use crate::pythons;

use super::bed::{Bed, median};
use super::figure::Figure;

/// Calls of the floor.
const CALLS: u32 = 400_000;
/// Jobs that get a process of their own.
const FRESH: u32 = 3_000;
const STEPS: u32 = 100;
const HOPS: u32 = 1_000;
const ROUNDS: usize = 7;
/// How often the SDK is imported.
const IMPORTS: usize = 15;
const IMPORT: &str = "import time; t = time.perf_counter(); import rfx; print(time.perf_counter() - t)";
/// As many runners as the floor and the raw pattern have children.
const SLOTS: &str = "2";
const POOL: &str = "import rfx\n\n\n@rfx.function\ndef noop(text: str) -> str:\n    return text\n\n\n\
    @rfx.function\nasync def wait(text: str) -> str:\n    return text\n";

/// Runs no-op Python jobs in each isolation, and a chain of them.
pub fn measure(bed: &Bed, jobs: u32) -> Result<Vec<Figure>> {
    let pool = bed.dir().join("pool");
    std::fs::create_dir_all(&pool).map_err(io("pool"))?;
    bed.file("pool/pool.toml", "name = \"bench\"\n")?;
    bed.file("pool/bench.py", POOL)?;
    for (name, function, count) in
        [("warm", "bench.noop", jobs), ("shared", "bench.wait", jobs / 2), ("fresh", "bench.noop", FRESH)]
    {
        bed.numbers(&format!("{name}.json"), count)?;
        bed.file(&format!("{name}.yaml"), &flow(name, function))?;
    }
    bed.file("python-chain.yaml", &chain())?;
    let pool = pool.display().to_string();
    let mut crew = bed.crew_with(&["--slots", SLOTS, "--pool", &pool])?;
    let floor = bed.raw("calls", CALLS)?;
    // Around the measurement, so that a noisy machine shows.
    let before = bed.raw("python-jobs", jobs)?;
    let mut rate = |name: &str, count: u32| {
        let (times, _) = bed.run_with(name, &["--isolation", name], &mut crew)?;
        Ok::<_, crate::command::Error>(f64::from(count) / (times.micros() / 1e6))
    };
    let (warm, shared, fresh) = (rate("warm", jobs)?, rate("shared", jobs / 2)?, rate("fresh", FRESH)?);
    let after = bed.raw("python-jobs", jobs)?;
    let raw = f64::midpoint(before, after);
    let (mut steps, mut hops) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        hops.push(bed.raw("hops", HOPS)?);
        steps.push(bed.run("python-chain", &mut crew)?.0.micros() / f64::from(STEPS));
    }
    let import = sdk_import()?;
    Ok(vec![
        Figure::ratio("python_jobs_per_second", warm, "jobs/s", raw).at_least(0.6),
        Figure::ratio("python_jobs_of_floor", warm, "jobs/s", floor),
        Figure::ratio("shared_jobs_per_second", shared, "jobs/s", raw),
        Figure::plain("fresh_jobs_per_second", fresh, "jobs/s").at_least(300.0),
        Figure::ratio("python_call", median(steps), "µs", median(hops)).at_most(3.0),
        Figure::plain("sdk_import", import, "ms").at_most(30.0),
        Figure::plain("python_raw_before", before, "jobs/s"),
        Figure::plain("python_raw_after", after, "jobs/s"),
    ])
}

/// What `import rfx` takes in a Python that has just started, in ms.
fn sdk_import() -> Result<f64> {
    let python = pythons::default()?.program;
    let failed = |what: &[u8]| Error::Failed(format!("import rfx: {}", String::from_utf8_lossy(what)));
    let mut times = Vec::new();
    for _ in 0..IMPORTS {
        let mut command = at_root(&python, ["-c", IMPORT]);
        let output = command.env("PYTHONPATH", root().join("python/src")).output().map_err(io("python"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let seconds = said.trim().parse::<f64>().map_err(|_| failed(&output.stderr))?;
        times.push(seconds * 1e3);
    }
    Ok(median(times))
}

fn flow(name: &str, function: &str) -> String {
    let text = "x".repeat(200);
    format!(
        "flow: {name}\ndata: {{ items: {name}.json }}\nsteps:\n  noop: {{ uses: {function}, \
         each: \"${{{{ data.items }}}}\", with: {{ text: {text} }} }}\n"
    )
}

fn chain() -> String {
    let mut flow = "flow: chain\nsteps:\n  s1: { uses: bench.noop, with: { text: x } }\n".to_owned();
    for step in 2..=STEPS {
        let needs = step - 1;
        writeln!(flow, "  s{step}: {{ uses: bench.noop, with: {{ text: x }}, needs: s{needs} }}")
            .expect("a string takes all");
    }
    flow
}
