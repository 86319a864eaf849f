//! `rfx-worker`: the worker that serves pools and no native functions but rfx's own.

use std::process::ExitCode;

fn main() -> ExitCode {
    rfx_worker::main(rfx_worker::native::Registry::default())
}
