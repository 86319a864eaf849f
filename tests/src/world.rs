//! A world for one test: a nats-server on its own port and store, and rfx's processes around it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rfx::server::{Recipe, Server, find};
use rfx_config::settings::{Nats, Settings};
use rfx_schemas::record::Presence;
use rfx_schemas::topology::Bucket;
use rfx_transport::Transport;
use rfx_transport::connect::connect;
use tempfile::TempDir;

use crate::eventually;
use crate::process::{Process, Ran, command, python, run, with};

/// One test's surroundings.
pub struct World {
    dir: TempDir,
    server: Option<Server>,
    recipe: Option<Recipe>,
    url: String,
    started: u32,
}

impl World {
    /// A world with a server.
    pub async fn new() -> Self {
        Self::with_config(None).await
    }

    /// A world whose server has a configuration file besides.
    pub async fn with_config(config: Option<PathBuf>) -> Self {
        let dir = tempfile::Builder::new().prefix("rfx-test-").tempdir().expect("a folder");
        let program = find().expect("a nats-server; `cargo xtask test` brings one");
        let recipe = Recipe { program, dir: dir.path().join("nats"), port: None, config, mark: None };
        let server = Server::start(recipe).await.expect("the server starts");
        let url = server.url().to_owned();
        Self { dir, server: Some(server), recipe: None, url, started: 0 }
    }

    /// Where the server listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The test's folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Kills the server, as a crash would.
    pub fn crash_server(&mut self) {
        self.recipe = Some(self.server.take().expect("the server is up").crash());
    }

    /// Starts the server again, on its store and port.
    pub async fn restart_server(&mut self) {
        let recipe = self.recipe.take().expect("the server was crashed");
        self.server = Some(Server::start(recipe).await.expect("the server starts again"));
    }

    /// Settings for this world's server: short leases, so that faults heal fast.
    pub fn nats(&self) -> Nats {
        let defaults = Settings::default().nats;
        Nats { url: self.url.clone(), ack_wait: Duration::from_secs(3), ..defaults }
    }

    /// A connection of the test's own, with everything set up.
    pub async fn transport(&self) -> Transport {
        let transport = connect(&self.nats(), "test").await.expect("the server is there");
        transport.ensure().await.expect("the topology is made");
        transport
    }

    /// A file in the test's folder.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("in the folder")).expect("a folder");
        std::fs::write(&path, text).expect("written");
        path
    }

    /// A command of rfx against this world.
    pub fn command(&self, name: &str) -> Command {
        let mut command = command(name);
        command.env("RFX_NATS__URL", &self.url).env("RFX_NATS__ACK_WAIT", "3s").current_dir(self.dir.path());
        command
    }

    /// Starts a process of rfx.
    pub fn start<'a>(&mut self, name: &str, args: impl IntoIterator<Item = &'a str>) -> Process {
        self.started += 1;
        let log = self.dir.path().join(format!("{name}-{}.log", self.started));
        Process::start(&mut with(self.command(name), args), &log)
    }

    /// Starts a worker and waits until it serves.
    pub async fn worker<'a>(&mut self, args: impl IntoIterator<Item = &'a str>) -> Process {
        let args: Vec<String> =
            args.into_iter().map(str::to_owned).chain(["--python".to_owned(), python()]).collect();
        let worker = self.start("rfx-worker", args.iter().map(String::as_str));
        worker.printed("serving").await;
        worker
    }

    /// Runs `rfx-publish` to its end.
    pub async fn publish<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Ran {
        run(with(self.command("rfx-publish"), args)).await
    }

    /// Workers that are up, as they say themselves.
    pub async fn workers(transport: &Transport) -> Vec<Presence> {
        transport.kv_list(Bucket::Presence, "worker.>").await.unwrap_or_default()
    }

    /// The report of a run that has ended, from the facts alone.
    pub async fn report(&self, run: &str) -> rfx_schemas::report::Report {
        let dir = self.dir.path().join(format!("report-{run}"));
        let path = dir.to_str().expect("a plain path").to_owned();
        let shown = self.publish(["show", run, "--report", &path]).await;
        assert_eq!(shown.code, 0, "{}", shown.stderr);
        let bytes = std::fs::read(dir.join("report.json")).expect("a report");
        rfx_report::json::read(&bytes).expect("a readable report")
    }

    /// Waits until the latest run has at least this many verdicts, and gives its id.
    pub async fn verdicts(&self, transport: &Transport, at_least: usize) -> String {
        let events = transport.clone();
        let run = eventually("a run is submitted", async || {
            events.runs().await.ok()?.last().map(|r| r.submitted.run)
        })
        .await;
        eventually("verdicts are recorded", async || {
            let ended = events.ended_of_run(run).await.ok()?;
            (ended >= at_least).then_some(())
        })
        .await;
        run.to_string()
    }
}

/// Every attempt's outcomes in a run, counted from the facts: to tell that nothing is doubled.
pub fn outcomes_by_attempt(report: &rfx_schemas::report::Report) -> BTreeMap<(String, u32), usize> {
    let mut counted = BTreeMap::new();
    for job in report.steps.iter().flat_map(|s| &s.jobs) {
        for attempt in &job.attempts {
            *counted.entry((job.job.to_string(), attempt.attempt.get())).or_default() += 1;
        }
    }
    counted
}
