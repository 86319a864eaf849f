//! `demo`: one of the example's flows through separate publisher, worker and collector processes, on a real
//! nats-server with file storage.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::command::{Error, Result, cargo, io, root, run, target};
use crate::process::{Process, announced, pause};
use crate::{pythons, tools};

/// How to run the demo.
#[derive(clap::Args)]
pub struct Args {
    /// Which flow of examples/flows
    #[arg(default_value = "host_vulnerabilities", value_parser = ["host_vulnerabilities", "fleet"])]
    flow: String,
    /// Have a service misbehave: devices, applications or vulnerabilities
    #[arg(long = "break", value_name = "SERVICE", value_parser = ["devices", "applications", "vulnerabilities"])]
    broken: Option<String>,
}

/// Runs the demo; its exit code is the run's.
pub fn demo(args: &Args) -> Result<u8> {
    step("building rfx");
    run(&mut cargo(["build", "--workspace", "--bins"]))?;
    let (python, server) = (pythons::default()?.program, tools::nats_server()?);
    let dir = target().join("demo");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(io("target/demo"))?;
    }
    std::fs::create_dir_all(&dir).map_err(io("target/demo"))?;
    step("starting nats-server, with JetStream on disk");
    let (_server, url) = start_server(&server, &dir)?;
    step("starting the systems under test: devices, applications, vulnerabilities");
    let services = root().join("examples/services/serve.py");
    let mut serve = Command::new(&python);
    serve.arg(services).args(["all", "--port", "0", "--exit-with-stdin", "--data"]).arg(dir.join("services"));
    serve.args(args.broken.iter().flat_map(|name| ["--break", name]));
    let (_services, targets) = announced(&mut serve, "examples/services")?;
    step("starting a worker and a collector");
    let reports = dir.join("reports");
    let pool = root().join("examples/pool");
    let mut worker = rfx("debug", "rfx-worker", &url);
    worker.arg("--python").arg(&python).arg("--pool").arg(pool);
    let mut worker = Process::start("worker", &mut worker, &dir)?;
    let mut collector = rfx("debug", "rfx-collector", &url);
    let mut collector = Process::start("collector", collector.arg("--reports").arg(&reports), &dir)?;
    worker.ready("serving")?;
    collector.ready("collecting")?;
    let flow = format!("examples/flows/{}.yaml", args.flow);
    step(&format!("running the flow {flow}\n"));
    let mut publish = rfx("debug", "rfx-publish", &url);
    publish.arg("run").arg(flow);
    for (name, address) in targets.as_object().into_iter().flatten() {
        publish.arg("--target").arg(format!("{name}={}", address.as_str().unwrap_or_default()));
    }
    let status = publish.current_dir(root()).status().map_err(io("rfx-publish"))?;
    show_report(&reports)?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

fn step(text: &str) {
    eprintln!("» {text}");
}

/// A binary of rfx, `debug` or `release`, free of settings that lie about.
pub fn rfx(profile: &str, name: &str, url: &str) -> Command {
    let mut command = Command::new(target().join(profile).join(name));
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("RFX_")) {
        command.env_remove(key);
    }
    command.env("RFX_NATS__URL", url);
    command
}

/// Starts a nats-server on a free port, and gives its address.
pub fn start_server(program: &Path, dir: &Path) -> Result<(Process, String)> {
    let mut command = Command::new(program);
    command.args(["-js", "-a", "127.0.0.1", "-p", "-1", "-sd"]).arg(dir.join("nats"));
    command.arg("--ports_file_dir").arg(dir);
    let mut server = Process::start("nats-server", &mut command, dir)?;
    server.ready("Server is ready")?;
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let ports = dir.join(format!("{name}_{}.ports", server.pid()));
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = std::fs::read(&ports).unwrap_or_default();
        if let Ok(ports) = serde_json::from_slice::<serde_json::Value>(&text)
            && let Some(url) = ports["nats"][0].as_str()
        {
            return Ok((server, url.to_owned()));
        }
        if Instant::now() > deadline {
            return Err(Error::Missing("nats-server does not say where it listens".to_owned()));
        }
        pause();
    }
}

/// Waits for the collector's report, and says where it lies.
fn show_report(reports: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        if let Some(dir) = finished(reports) {
            eprintln!("\nreport, by the collector:");
            for name in ["report.html", "junit.xml", "report.json"] {
                eprintln!("  {}", dir.join(name).display());
            }
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::Missing(format!("the collector wrote no report into {}", reports.display())));
        }
        pause();
    }
}

/// The folder of the one report there is, once it is final.
fn finished(reports: &Path) -> Option<PathBuf> {
    let dir = std::fs::read_dir(reports).ok()?.next()?.ok()?.path();
    let report = std::fs::read(dir.join("report.json")).ok()?;
    let report: serde_json::Value = serde_json::from_slice(&report).ok()?;
    report["finished"].is_number().then_some(dir)
}
