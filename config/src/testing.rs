//! Runs a test of this binary once more as a process of its own, to see how that ends and what it says.
//! The test finds out by [`role`] which of the two it is.

use std::io::Read;
use std::process::{Child, Command, Stdio};

const ROLE: &str = "TEST_CHILD";

/// What the child is told; none in the test itself.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Starts the test `name` as a child with its own stderr and stdout.
pub(crate) fn child(name: &str, role: &str) -> Child {
    let binary = std::env::current_exe().expect("the test binary");
    Command::new(binary)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
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
