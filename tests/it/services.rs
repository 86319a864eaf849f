//! The example's systems under test, for real.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use rfx_tests::process::{python, root};
use rfx_tests::world::World;

/// The three services in one process; gone with the value.
pub struct Services {
    child: Child,
    /// `devices=http://…` and so on.
    pub targets: Vec<String>,
}

impl Services {
    /// Starts them, one misbehaving if it is named.
    pub async fn start(world: &World, broken: Option<&str>) -> Self {
        let data = world.dir().join(format!("services-{}", broken.unwrap_or("whole")));
        let mut command = Command::new(python());
        command.arg(root().join("examples/services/serve.py"));
        command.args(["all", "--port", "0", "--exit-with-stdin", "--data"]).arg(data);
        command.args(broken.iter().flat_map(|name| ["--break", name]));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
        let stdout = child.stdout.take().expect("it is piped");
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).map(|_| line)
        });
        let line = reading.await.expect("no panic").expect("a line");
        let urls: serde_json::Map<_, _> = serde_json::from_str(&line).expect("where they listen");
        let targets =
            urls.iter().map(|(name, url)| format!("{name}={}", url.as_str().expect("a URL"))).collect();
        Self { child, targets }
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
