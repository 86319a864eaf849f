//! What a measurement runs on: a server of its own, and rfx's processes in release mode.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{Error, Result, io, target};
use crate::demo::{rfx, start_server};
use crate::process::Process;
use crate::tools;

use super::memory::{Peak, watch};

/// A server with a folder; both are of one measurement, so that none reads what another left.
pub struct Bed {
    url: String,
    dir: PathBuf,
    _server: Process,
}

/// The long-lived processes. They end when dropped.
pub struct Crew {
    worker: Process,
    collector: Process,
}

/// Highest resident sets, in MiB.
pub struct Peaks {
    pub publisher: f64,
    pub collector: f64,
    pub worker: f64,
}

/// What a run's report says of its times, in microseconds of the stream's own clock.
pub struct Times {
    pub submitted: f64,
    pub finished: f64,
}

impl Times {
    /// From the submission to the last verdict.
    pub fn micros(&self) -> f64 {
        self.finished - self.submitted
    }
}

impl Bed {
    /// Starts a server whose folder is `target/bench/<name>`.
    pub fn start(name: &str) -> Result<Self> {
        let dir = target().join("bench").join(name);
        std::fs::create_dir_all(&dir).map_err(io("target/bench"))?;
        let (server, url) = start_server(&tools::nats_server()?, &dir)?;
        Ok(Self { url, dir, _server: server })
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a file beside the flows.
    pub fn file(&self, name: &str, text: &str) -> Result<()> {
        std::fs::write(self.dir.join(name), text).map_err(io(name))
    }

    /// Writes a list of the numbers below `count`, as a data set.
    pub fn numbers(&self, name: &str, count: u32) -> Result<()> {
        let numbers: Vec<u32> = (0..count).collect();
        self.file(name, &serde_json::json!(numbers).to_string())
    }

    /// A figure of the raw example: `jobs`, jobs/s, or `hops`, µs.
    pub fn raw(&self, what: &str, number: u32) -> Result<f64> {
        let mut command = Command::new(target().join("release/examples/raw"));
        let output = command.args([what, &self.url, &number.to_string()]).output().map_err(io("raw"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let failed = || Error::Failed(format!("raw: {}", String::from_utf8_lossy(&output.stderr)));
        text.trim().parse().map_err(|_| failed())
    }

    fn rfx(&self, name: &str) -> Command {
        rfx("release", name, &self.url)
    }

    /// Starts a worker with 256 slots, and a collector.
    pub fn crew(&self) -> Result<Crew> {
        self.crew_with(&["--slots", "256"])
    }

    /// Starts a worker with these arguments, and a collector.
    pub fn crew_with(&self, args: &[&str]) -> Result<Crew> {
        let mut command = self.rfx("rfx-worker");
        let mut worker = Process::start("rfx-worker", command.args(args), &self.dir)?;
        let mut command = self.rfx("rfx-collector");
        let command = command.arg("--reports").arg(self.dir.join("reports"));
        let mut collector = Process::start("rfx-collector", command, &self.dir)?;
        worker.ready("serving")?;
        collector.ready("collecting")?;
        Ok(Crew { worker, collector })
    }

    /// A publisher of the flow `<name>.yaml`, whose report goes to `<name>/`.
    pub fn publish(&self, name: &str) -> Command {
        let mut publish = self.rfx("rfx-publish");
        publish.args(["run", "--report"]).arg(self.dir.join(name));
        publish.arg(self.dir.join(format!("{name}.yaml")));
        publish
    }

    /// Runs the flow `<name>.yaml`, which must pass.
    pub fn run(&self, name: &str, crew: &mut Crew) -> Result<(Times, Peaks)> {
        self.run_with(name, &[], crew)
    }

    /// Runs the flow `<name>.yaml` with these arguments; it must pass.
    pub fn run_with(&self, name: &str, args: &[&str], crew: &mut Crew) -> Result<(Times, Peaks)> {
        // What the run says of its steps would fill the screen.
        let log = std::fs::File::create(self.dir.join("publish.log")).map_err(io("publish.log"))?;
        let mut publish = self.publish(name);
        let publish = publish.args(args).arg("--quiet").stdout(Stdio::null()).stderr(log).spawn();
        let publish = publish.map_err(io("rfx-publish"))?;
        let pids = [publish.id(), crew.collector.pid(), crew.worker.pid()];
        let mut peaks = pids.map(Peak::of);
        let status = watch(publish, &mut peaks)?;
        if !status.success() {
            let log = std::fs::read_to_string(self.dir.join("publish.log")).unwrap_or_default();
            return Err(Error::Failed(format!("{log}rfx-publish run {name} ({status})")));
        }
        // Without them a run may be faster than it should be.
        for process in [&mut crew.worker, &mut crew.collector] {
            process.still_up()?;
        }
        let [publisher, collector, worker] = peaks.map(|peak| peak.mebibytes());
        Ok((self.times(name)?, Peaks { publisher, collector, worker }))
    }

    /// What the report of the flow `<name>.yaml` says.
    pub fn times(&self, name: &str) -> Result<Times> {
        let report = std::fs::read(self.dir.join(name).join("report.json")).map_err(io("report.json"))?;
        let report: serde_json::Value =
            serde_json::from_slice(&report).map_err(|e| Error::Failed(e.to_string()))?;
        let stamp = |key: &str| {
            let missing = || Error::Failed(format!("the report of {name} says no time of {key}"));
            report[key].as_f64().ok_or_else(missing)
        };
        Ok(Times { submitted: stamp("submitted")?, finished: stamp("finished")? })
    }
}

/// The middle one of several measured values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
