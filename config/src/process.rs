//! The entry of every rfx binary: runtime, signals, exit codes, and the one place that prints errors.
//!
//! A binary is `fn main() -> ExitCode { process::main("rfx-worker", run) }`; its `run` gets the
//! signals, answers with an exit code or a [`Failure`], and never ends the process itself.

mod failure;
mod signal;

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use rfx_schemas::exit;

pub use failure::Failure;
pub use signal::{Signal, Signals, shutdown_token, until_signal};

/// How long blocking work may go on after the run has its answer (a last export, a file being read).
const AFTERMATH: Duration = Duration::from_millis(500);

/// Where a bug is reported.
const ISSUES: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/issues");

/// Runs a binary called `service` on a runtime of its own.
///
/// `run` gets the signals and says the exit code, one of [`rfx_schemas::exit`]. A [`Failure`] is
/// printed to stderr with what caused it; a panic is a bug of rfx and ends with [`exit::BUG`].
pub fn main(service: &'static str, run: impl AsyncFnOnce(Signals) -> Result<u8, Failure>) -> ExitCode {
    main_on(Threads::Many, service, run)
}

/// How many threads a binary's tasks share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// One for each core.
    Many,
    /// One: tasks that hand each other small pieces need not wake threads for it. Nothing that runs on
    /// it may block for long.
    One,
}

/// Runs a binary as [`main`] does, on so many threads.
pub fn main_on(
    threads: Threads,
    service: &'static str,
    run: impl AsyncFnOnce(Signals) -> Result<u8, Failure>,
) -> ExitCode {
    std::panic::set_hook(Box::new(move |panic| {
        if !EXPECTED.get() {
            say(&describe_panic(service, panic));
        }
    }));
    ExitCode::from(answer(threads, service, run))
}

thread_local! {
    /// Whether what runs on this thread now may panic without that being a bug of rfx.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs code of users, whose panics the caller catches and makes outcomes of: they are not announced
/// as bugs of rfx.
pub fn expecting_panics<T>(body: impl FnOnce() -> T) -> T {
    /// Resets the mark however the body ends.
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            EXPECTED.set(self.0);
        }
    }
    let _reset = Reset(EXPECTED.replace(true));
    body()
}

/// The name of this machine, as presence records and spans show it.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Writes `text` to stdout.
///
/// A reader that went away (`rfx-publish … | head`) is not an error: the exit code stays the one of
/// the run, since what was asked for was done.
pub fn print(text: &str) -> Result<(), Failure> {
    print_to(&mut io::stdout().lock(), text)
}

fn print_to(stdout: &mut impl Write, text: &str) -> Result<(), Failure> {
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::usage(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

fn answer(threads: Threads, service: &str, run: impl AsyncFnOnce(Signals) -> Result<u8, Failure>) -> u8 {
    let failure = match on_runtime(threads, run) {
        Ok(Ok(code)) => return code,
        Ok(Err(failure)) => failure,
        Err(panic) => {
            // The panic hook has said it all; what was thrown could panic again when dropped.
            std::mem::forget(panic);
            return exit::BUG;
        }
    };
    say(&failure.text(service));
    failure.code()
}

/// What `run` answers, or what it threw.
fn on_runtime(
    threads: Threads,
    run: impl AsyncFnOnce(Signals) -> Result<u8, Failure>,
) -> Result<Result<u8, Failure>, Box<dyn Any + Send>> {
    let mut builder = match threads {
        Threads::Many => tokio::runtime::Builder::new_multi_thread(),
        Threads::One => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Ok(Err(Failure::caused(exit::UNAVAILABLE, "cannot start threads", error))),
    };
    let work = async {
        let signals = Signals::listen()
            .map_err(|error| Failure::caused(exit::UNAVAILABLE, "cannot listen to signals", error))?;
        run(signals).await
    };
    let answer = catch_unwind(AssertUnwindSafe(|| runtime.block_on(work)));
    // Dropping the runtime would wait for blocking work without limit.
    runtime.shutdown_timeout(AFTERMATH);
    answer
}

/// The one place that writes an error to stderr. If stderr is gone, nobody is left to tell.
fn say(text: &str) {
    if !text.is_empty() {
        drop(writeln!(io::stderr().lock(), "{}", text.trim_end()));
    }
}

fn describe_panic(service: &str, panic: &PanicHookInfo<'_>) -> String {
    let message = panic.payload_as_str().unwrap_or("a panic without a message");
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let trace = Backtrace::capture();
    let trace = match trace.status() {
        BacktraceStatus::Captured => format!("\n{trace}"),
        _ => String::new(),
    };
    format!("{service}: {message}\n  at {place}{trace}\n{}", plea())
}

/// What is said below every bug.
fn plea() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let report = format!("Please report it with the lines above at {ISSUES}");
    format!("This is a bug in rfx {version}. {report}; RUST_BACKTRACE=1 adds where it came from.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    struct Gone(io::ErrorKind);

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_not_an_error() {
        assert!(print_to(&mut Gone(io::ErrorKind::BrokenPipe), "report").is_ok());
        let full = print_to(&mut Gone(io::ErrorKind::StorageFull), "report").expect_err("a full disk");
        assert_eq!(full.text("rfx"), "rfx: cannot write to stdout: no storage space");
    }

    #[test]
    fn the_answer_becomes_the_exit_code() {
        assert_eq!(answer(Threads::Many, "test", async |_| Ok(exit::LOST)), exit::LOST);
        let refused = answer(Threads::Many, "test", async |_| Err(Failure::rendered(exit::USAGE, "")));
        assert_eq!(refused, exit::USAGE);
    }

    #[test]
    fn a_panic_is_a_bug_wherever_it_happens() {
        for threads in [Threads::Many, Threads::One] {
            assert_eq!(answer(threads, "test", async |_| panic!("in the run")), exit::BUG);
            let task = async |_| {
                let task = tokio::spawn(async { panic!("in a task") });
                task.await.map_err(Failure::from)?;
                Ok(exit::PASSED)
            };
            assert_eq!(answer(threads, "test", task), exit::BUG, "{threads:?}");
        }
    }

    #[test]
    fn blocking_work_does_not_hold_the_answer_up() {
        for threads in [Threads::Many, Threads::One] {
            let started = std::time::Instant::now();
            let (_keep, wait) = std::sync::mpsc::channel::<()>();
            let run = async |_| {
                drop(tokio::task::spawn_blocking(move || wait.recv_timeout(Duration::from_secs(30))));
                Ok(exit::PASSED)
            };
            assert_eq!(answer(threads, "test", run), exit::PASSED);
            assert!(started.elapsed() < Duration::from_secs(10), "{threads:?}");
        }
    }

    #[test]
    fn this_machine_has_a_name() {
        assert_ne!(host(), "");
    }

    #[expect(clippy::disallowed_methods, reason = "the child ends as a binary does, not as a test")]
    fn panic_as_a_binary() -> ! {
        let code = main("rfx-worker", async |_| panic!("no step {}", 4));
        std::process::exit(i32::from(code == ExitCode::from(exit::BUG)) + 10)
    }

    #[test]
    fn a_panic_is_said_once_with_its_place() {
        if testing::role().is_some() {
            panic_as_a_binary();
        }
        let mut child = testing::child("process::tests::a_panic_is_said_once_with_its_place", "binary");
        let said = testing::all(child.stderr.take());
        assert!(said.starts_with("rfx-worker: no step 4\n  at config/src/process.rs:"), "{said}");
        assert_eq!(said.matches("This is a bug in rfx").count(), 1, "{said}");
        assert_eq!(child.wait().expect("it ends").code(), Some(11), "{said}");
    }
}
