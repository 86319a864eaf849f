//! `bench`: rfx beside the raw limit of the same message pattern, in one run; ratios, not times.

mod figure;
mod memory;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{Error, Result, cargo, io, run, target};
use crate::demo::start_server;
use crate::process::Process;
use crate::tools;
use figure::Figure;
use memory::Peak;

/// How to measure.
#[derive(clap::Args)]
pub struct Args {
    /// A line of JSON a figure: {"name","value","unit","raw","ratio"}
    #[arg(long)]
    json: bool,
    /// Jobs of the run
    #[arg(long, default_value_t = 100_000)]
    jobs: u32,
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
    std::fs::create_dir_all(&dir).map_err(io("target/bench"))?;
    let server = tools::nats_server()?;
    let (_server, url) = start_server(&server, &dir)?;
    // Around the measurement, so that a noisy machine shows.
    let before = raw(&url, args.jobs)?;
    let measured = many_jobs(&dir, &url, args.jobs)?;
    let after = raw(&url, args.jobs)?;
    let raw = f64::midpoint(before, after);
    let figures = [
        Figure::ratio("jobs_per_second", measured.rate, "jobs/s", raw),
        Figure::plain("raw_before", before, "jobs/s"),
        Figure::plain("raw_after", after, "jobs/s"),
        Figure::plain("publisher_peak_memory", measured.publisher, "MiB"),
        Figure::plain("collector_peak_memory", measured.collector, "MiB"),
        Figure::plain("worker_peak_memory", measured.worker, "MiB"),
    ];
    for figure in figures {
        figure.print(args.json);
    }
    Ok(0)
}

struct Measured {
    rate: f64,
    publisher: f64,
    collector: f64,
    worker: f64,
}

fn release(name: &str) -> PathBuf {
    target().join("release").join(name)
}

fn raw(url: &str, jobs: u32) -> Result<f64> {
    let output =
        Command::new(release("examples/raw")).args([url, &jobs.to_string()]).output().map_err(io("raw"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let failed = || Error::Failed(format!("raw: {}", String::from_utf8_lossy(&output.stderr)));
    text.trim().parse().map_err(|_| failed())
}

/// Runs no-op native jobs through publisher, worker and collector; the rate counts from the
/// submission to the last verdict, by the stream's own clock.
fn many_jobs(dir: &Path, url: &str, jobs: u32) -> Result<Measured> {
    let items: Vec<u32> = (0..jobs).collect();
    std::fs::write(dir.join("items.json"), serde_json::json!(items).to_string()).map_err(io("items.json"))?;
    let flow = "flow: bench\ndata: { items: items.json }\nsteps:\n  noop: { uses: rfx.noop, each: \"${{ data.items }}\" }\n";
    std::fs::write(dir.join("bench.yaml"), flow).map_err(io("bench.yaml"))?;
    let start = |name: &'static str, args: &[&str]| {
        Process::start(name, Command::new(release(name)).args(args).env("RFX_NATS__URL", url), dir)
    };
    let mut worker = start("rfx-worker", &["--slots", "256"])?;
    let reports = dir.join("reports");
    let mut collector = start("rfx-collector", &["--reports", &reports.display().to_string()])?;
    worker.ready("serving")?;
    collector.ready("collecting")?;
    let mut publish = Command::new(release("rfx-publish"));
    publish.args(["run", "--quiet", "--report"]).arg(dir.join("report")).arg(dir.join("bench.yaml"));
    let publish =
        publish.env("RFX_NATS__URL", url).stdout(Stdio::null()).spawn().map_err(io("rfx-publish"))?;
    let mut peaks = [Peak::of(publish.id()), Peak::of(collector.pid()), Peak::of(worker.pid())];
    let status = memory::watch(publish, &mut peaks)?;
    if !status.success() {
        return Err(Error::Failed(format!("rfx-publish run ({status})")));
    }
    let report = std::fs::read(dir.join("report/report.json")).map_err(io("report.json"))?;
    let report: serde_json::Value =
        serde_json::from_slice(&report).map_err(|e| Error::Failed(e.to_string()))?;
    let micros = report["duration"].as_f64().unwrap_or(f64::NAN);
    let [publisher, collector, worker] = peaks.map(|peak| peak.mebibytes());
    Ok(Measured { rate: f64::from(jobs) / (micros / 1e6), publisher, collector, worker })
}
