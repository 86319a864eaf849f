//! Runs a test of this binary as a process of its own, to see how it ends and what it says.

use std::io::Read;
use std::process::{Child, Command, Stdio};

/// Starts the ignored test `name` as a child with its own stderr and stdout.
pub(crate) fn child(name: &str) -> Child {
    let binary = std::env::current_exe().expect("the test binary");
    Command::new(binary)
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
        .env_remove("RUST_BACKTRACE")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the test binary runs again")
}

/// Everything that a child's stream says until it closes.
pub(crate) fn all(stream: Option<impl Read>) -> String {
    let mut text = String::new();
    stream.expect("piped").read_to_string(&mut text).expect("text");
    text
}
