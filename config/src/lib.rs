//! What every rfx binary starts with: settings that are checked once before anything opens a
//! socket, the process entry with its signals, exit codes and one error printer, and telemetry.
//!
//! It knows nothing of NATS, flows or functions.

mod logging;
pub mod process;
pub mod secret;
pub mod settings;
pub mod telemetry;
#[cfg(test)]
mod testing;

pub use process::{Failure, Signal, Signals};
pub use secret::Secret;
pub use settings::{Settings, SettingsError, default_toml};
