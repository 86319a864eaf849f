//! Functions that every worker serves: to try a group out, and to measure rfx itself.

use std::time::Duration;

use rfx_schemas::name::NameError;
use serde::Deserialize;
use serde_json::Value;

use crate::native::{Failed, Registry};

#[derive(Deserialize)]
struct Sleep {
    seconds: f64,
}

/// Adds `rfx.noop`, `rfx.echo` and `rfx.sleep`.
pub fn add(registry: &mut Registry) -> Result<(), NameError> {
    registry.add("rfx.noop", "Does nothing, with any input.", |_, _: Value| async { Ok(()) })?;
    registry.add("rfx.echo", "Gives its input back.", |_, input: Value| async { Ok(input) })?;
    registry.add("rfx.sleep", "Waits for `seconds`.", |_, input: Sleep| async move {
        let wait = Duration::try_from_secs_f64(input.seconds).map_err(|e| Failed(format!("seconds: {e}")))?;
        tokio::time::sleep(wait).await;
        Ok(input.seconds)
    })?;
    Ok(())
}
