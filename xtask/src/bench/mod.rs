//! `bench`: rfx beside the raw limit of the same message pattern, in one run; ratios, not times.

mod bed;
mod chain;
mod fair;
mod fan;
mod figure;
mod jobs;
mod memory;
mod python;

use crate::command::{Result, cargo, io, run, target};
use bed::Bed;
use figure::Figure;

/// How to measure.
#[derive(clap::Args)]
pub struct Args {
    /// What to measure [default: all]
    what: Vec<What>,
    /// A line of JSON a figure: {"name","value","unit","raw","ratio"}, and "aim" and "ok" where there is an aim
    #[arg(long)]
    json: bool,
    /// Jobs of the run of `jobs`, and of the long one of `fair`
    #[arg(long, default_value_t = 100_000)]
    jobs: u32,
    /// Items of the large fan-out; the small one has a tenth
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(10..))]
    items: u32,
}

/// A thing to measure, on a server and in processes of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Jobs a second of one run, and what memory they take
    Jobs,
    /// Time of a step in a chain of 100
    Chain,
    /// A fan-out from a step's output and its join: time a job, small and large
    Fan,
    /// A short run beside a long one
    Fair,
    /// Functions in Python, in each isolation
    Python,
}

impl What {
    const ALL: [Self; 5] = [Self::Jobs, Self::Chain, Self::Fan, Self::Fair, Self::Python];

    fn measure(self, args: &Args) -> Result<Vec<Figure>> {
        match self {
            Self::Jobs => jobs::measure(&Bed::start("jobs")?, args.jobs),
            Self::Chain => chain::measure(&Bed::start("chain")?),
            Self::Fan => fan::measure(args.items),
            Self::Fair => fair::measure(&Bed::start("fair")?, args.jobs),
            Self::Python => python::measure(&Bed::start("python")?, args.jobs),
        }
    }
}

/// Measures. Load stays on loopback and ends with the last job.
pub fn bench(args: &Args) -> Result<u8> {
    eprintln!("building rfx in release mode …");
    let packages = ["rfx-publisher", "rfx-worker", "rfx-collector", "rfx-transport"];
    let packages = packages.iter().flat_map(|name| ["--package", name]);
    run(&mut cargo(["build", "--release", "--bins", "--example", "raw"].into_iter().chain(packages)))?;
    let dir = target().join("bench");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(io("target/bench"))?;
    }
    let wanted = if args.what.is_empty() { &What::ALL[..] } else { &args.what };
    for what in wanted {
        for figure in what.measure(args)? {
            figure.print(args.json);
        }
    }
    Ok(0)
}
