//! A worker with functions in Rust. It takes the same arguments and settings as `rfx-worker`, and can
//! serve pools besides:
//!
//! ```sh
//! cargo run -p rfx-example-native-worker -- --group local
//! rfx-publish run examples/native-worker/ports.yaml
//! ```

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rfx_worker::native::{Context, NotPassed, Registry, fail, skip};
use rfx_worker::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// A port of a machine.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Port {
    /// A host name or an address.
    host: String,
    port: u16,
}

#[derive(Serialize, JsonSchema)]
struct Answered {
    /// How long the connection took.
    milliseconds: u128,
}

/// Passes if something listens.
async fn open(context: Context, Port { host, port }: Port) -> Result<Answered, NotPassed> {
    let started = Instant::now();
    context.log(format!("connecting to {host}:{port}"));
    match TcpStream::connect((host.as_str(), port)).await {
        Ok(_) => Ok(Answered { milliseconds: started.elapsed().as_millis() }),
        // The test says no. Any other error is one: it could not be found out.
        Err(refused) if refused.kind() == std::io::ErrorKind::ConnectionRefused => {
            Err(fail(format!("nothing listens on {host}:{port}")))
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Deserialize, JsonSchema)]
struct Greeting {
    #[serde(flatten)]
    port: Port,
    /// What it should begin with.
    begins: String,
}

/// Reads the first bytes that a service sends by itself, as SSH, SMTP and NATS servers do.
async fn greeting(context: Context, wanted: Greeting) -> Result<String, NotPassed> {
    let Greeting { port: Port { host, port }, begins } = wanted;
    if matches!(port, 80 | 443) {
        return Err(skip("HTTP servers wait to be asked"));
    }
    let mut stream = TcpStream::connect((host.as_str(), port)).await?;
    let mut bytes = vec![0; 512];
    let read = stream.read(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
    // Recorded whether it holds or not; if not, the function has failed when it returns.
    context.expect_eq(
        "it begins with",
        &text.chars().take(begins.chars().count()).collect::<String>(),
        &begins,
    );
    Ok(text)
}

fn main() -> ExitCode {
    let mut registry = Registry::default();
    let registered = registry
        .function("ports.open")
        .doc("Passes if something listens on a port.")
        .tags(["network"])
        .owner("example-team")
        .timeout(Duration::from_secs(10))
        .serve(open)
        .and_then(|registry| {
            registry
                .function("ports.greeting")
                .version("2")
                .doc("Reads what a service says first, and compares how it begins.")
                .tags(["network"])
                .timeout(Duration::from_secs(10))
                .serve(greeting)
        });
    registered.expect("the names are valid");
    rfx_worker::main(registry)
}
