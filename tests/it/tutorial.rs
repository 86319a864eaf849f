//! docs/tutorial.md, done as it says, in a folder of its own. Of its fenced blocks
//!
//! - those with a file's name in their first line, or behind the fence, are written to that file;
//! - ` ```sh` is run by a shell, in the folder where the one before it ended. `rfx dev` goes on in the background;
//! - ` ```text` is what the commands before it print. `…` stands for any text, and for any lines on a line of its own;
//!   ids and times may differ;
//! - `<!-- exit: 1 -->` says an exit code other than 0, `<!-- types: a | b -->` what is typed, and `<!-- done: … -->`
//!   that a block is not run, and why. `<!-- serves: a.b -->` waits until a worker has that function: whoever reads is
//!   slower than a pool that is opened again.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rfx_tests::eventually;
use rfx_tests::process::{Process, Ran, bin, clean, command, python_with_pytest, root, run};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::pages::{Block, Part, parts};

/// Somebody who does what the page says.
struct Reader {
    /// Holds all that is made.
    dir: TempDir,
    /// Where the shell is.
    here: PathBuf,
    /// Where the server listens, in place of 4222.
    port: u16,
    /// `rfx dev`, once it is started.
    dev: Option<Process>,
    /// What the last shell printed that no text was compared with yet.
    printed: Option<String>,
}

impl Reader {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("rfx-tutorial-").tempdir().expect("a folder");
        let here = dir.path().to_owned();
        let reader = Self { here, dir, port: free_port(), dev: None, printed: None };
        // Not a link: a virtual environment is found by the path that its Python is started by.
        let python = reader.dir.path().join("bin/python3");
        std::fs::create_dir(reader.dir.path().join("bin")).expect("a folder");
        let text = format!("#!/bin/sh\nexec '{}' \"$@\"\n", python_with_pytest());
        std::fs::write(&python, text).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&python, mode).expect("made executable");
        reader
    }

    /// The surroundings that the page sets up at its beginning.
    fn surround(&self, command: Command) -> Command {
        let ours = [self.dir.path().join("bin"), bin("rfx").parent().expect("a folder").to_owned()];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(ours.into_iter().chain(std::env::split_paths(&path)));
        let mut command = clean(command);
        command.env("PATH", path.expect("plain paths")).env("PYTHONPATH", root().join("python/src"));
        command.env("PYTEST_ADDOPTS", "-p rfx.pytest_plugin -p no:cacheprovider");
        let server = rfx::server::find().expect("a nats-server; `cargo xtask test` brings one");
        command
            .env("RFX_NATS_SERVER", server)
            .env("RFX_NATS__URL", format!("nats://127.0.0.1:{}", self.port))
            .current_dir(&self.here);
        command
    }

    async fn take(&mut self, block: &Block) {
        match (&block.path, block.language.as_str()) {
            _ if block.note("done").is_some() => {}
            (Some(path), _) => self.write(path, &block.text),
            (None, "sh") if block.text.starts_with("rfx dev ") => self.start(&block.text).await,
            (None, "sh") => self.run(block).await,
            (None, "text") => {
                let printed = self.printed.take().expect("a text follows a shell's block");
                if let Err(missing) = agree(&block.text, &printed) {
                    panic!("line {}: {missing:?} is not printed, but\n{printed}", block.line);
                }
            }
            (None, other) => panic!("line {}: what is to be done with {other:?}?", block.line),
        }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.here.join(path);
        std::fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }

    /// Starts `rfx dev`.
    async fn start(&mut self, line: &str) {
        let mut dev = self.surround(command("rfx"));
        dev.args(line.split_whitespace().skip(1)).args(["--port", &self.port.to_string()]);
        let dev = self.dev.insert(Process::start(&mut dev, &self.dir.path().join("dev.log")));
        dev.printed("serving").await;
    }

    async fn stop(&mut self) {
        if let Some(mut dev) = self.dev.take() {
            dev.signal(Signal::INT);
            assert!(dev.ended().await.success(), "{}", dev.output());
        }
    }

    async fn run(&mut self, block: &Block) {
        if let Some(function) = block.note("serves") {
            eventually("the function is served", async || {
                let mut show = self.surround(command("rfx-publish"));
                show.args(["functions", "show", function]);
                (run(show).await.code == 0).then_some(())
            })
            .await;
        }
        let place = self.dir.path().join("place");
        let script = format!("set -e\nexec 2>&1\n{}pwd > '{}'\n", block.text, place.display());
        let mut shell = self.surround(Command::new("sh"));
        shell.args(["-c", &script]);
        if let Some(typed) = block.note("types") {
            let keys = self.dir.path().join("typed");
            std::fs::write(&keys, typed.replace(" | ", "\n") + "\n").expect("written");
            shell.stdin(Stdio::from(std::fs::File::open(keys).expect("just written")));
        }
        let Ran { code, stdout, .. } = run(shell).await;
        assert_eq!(code, block.exit(), "line {}:\n{stdout}", block.line);
        if code == 0 {
            self.here =
                Path::new(std::fs::read_to_string(place).expect("it says where it is").trim()).to_owned();
        }
        self.printed = Some(stdout);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Killed, it would leave its server behind.
        if let Some(dev) = &mut self.dev {
            dev.interrupt();
        }
    }
}

/// A port that is free, and outside of where systems look for one: another test's server gets none of those.
fn free_port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).expect("small");
    (first..).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("one is free")
}

/// Whether a text shows what was printed; else the first line that was not.
fn agree(shown: &str, printed: &str) -> Result<(), String> {
    let printed = printed.replace("(Pdb) ", "(Pdb)\n");
    let printed: Vec<_> = printed.lines().filter(|line| !is_progress(line)).map(plain).collect();
    let (mut at, mut skips) = (0, false);
    for line in shown.lines() {
        if line == "…" {
            skips = true;
            continue;
        }
        let wish = plain(if line.starts_with("(Pdb)") { "(Pdb)" } else { line });
        let most = if skips { printed.len() } else { printed.len().min(at + 1) };
        let found = (at..most).find(|at| fits(&wish, &printed[*at]));
        at = found.ok_or_else(|| line.to_owned())? + 1;
        skips = false;
    }
    let rest = printed[at..].iter().find(|line| !line.is_empty() && !skips);
    rest.map_or(Ok(()), |line| Err(format!("nothing, where there is {line:?},")))
}

/// What stands in the place of the live display where there is no terminal.
fn is_progress(line: &str) -> bool {
    let step = line.strip_prefix("steps.").and_then(|rest| rest.split_once(": "));
    let is_step = step.is_some_and(|(_, rest)| {
        ["passed (", "failed ("].iter().any(|verdict| rest.starts_with(verdict)) && rest.ends_with(')')
    });
    is_step || line.strip_prefix("run ").is_some_and(|id| id.len() == 36 && !id.contains(' '))
}

/// A line with its gaps made one blank, and its times `#`.
fn plain(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in line.split_whitespace() {
        let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
        let time = |unit: &str| word.strip_suffix(unit).is_some_and(is_number);
        if time("s") || time("ms") {
            words.push("#");
        } else if ["s", "ms", "min"].contains(&word) && words.last().is_some_and(|last| is_number(last)) {
            words.pop();
            words.push("#");
        } else {
            words.push(word);
        }
    }
    words.join(" ")
}

/// Whether a line is what is wished for, where `…` may be anything.
fn fits(wish: &str, line: &str) -> bool {
    let mut pieces = wish.split('…');
    let Some(mut rest) = line.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut open = false;
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
        open = piece.is_empty();
    }
    open || rest.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_works_as_it_is_written() {
    let mut reader = Reader::new();
    let page = std::fs::read_to_string(root().join("docs/tutorial.md")).expect("the page");
    // A port that only root may take stands for the one where nobody listens.
    let page = page.replace("4222", &reader.port.to_string()).replace("4223", "1");
    for part in parts(&page, &["exit", "types", "serves", "done"]) {
        if let Part::Block(block) = part {
            reader.take(&block).await;
        }
    }
    reader.stop().await;
}

#[test]
fn what_is_shown_is_told_from_what_is_not() {
    for (shown, printed, expected) in [
        ("one\ntwo\n", "one\ntwo\n", true),
        ("one\n", "one\ntwo\n", false),
        ("one\n…\n", "one\ntwo\n", true),
        ("…\ntwo\n", "one\ntwo\n", true),
        ("two\n", "one\ntwo\n", false),
        ("3 passed in 0.05s\n", "3 passed in 1.21s\n", true),
        ("a  42 ms  b\n", "a  3 ms  b\n", true),
        ("3 passed\n", "4 passed\n", false),
        ("run … ends\n", "run 17 ends\n", true),
        ("run … ends\n", "run 17 is on\n", false),
        ("run …\n", "run 17\n", true),
        ("(Pdb) c\nstopped\n(Pdb) q\n", "(Pdb) stopped\n(Pdb) ", true),
    ] {
        assert_eq!(agree(shown, printed).is_ok(), expected, "{shown:?} and {printed:?}");
    }
}
