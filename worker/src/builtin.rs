//! Functions that every worker serves: to try a group out, and to measure rfx itself.

use std::time::Duration;

use rfx_schemas::name::NameError;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::native::{Registry, error};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sleep {
    /// How long, at least 0.
    #[schemars(range(min = 0.0))]
    seconds: f64,
}

/// Adds `rfx.noop`, `rfx.echo` and `rfx.sleep`.
pub fn add(registry: &mut Registry) -> Result<(), NameError> {
    let noop = |_, _: Value| async { Ok(()) };
    registry.function("rfx.noop").doc("Does nothing, with any input.").serve(noop)?;
    let echo = |_, input: Value| async { Ok(input) };
    registry.function("rfx.echo").doc("Gives its input back.").serve(echo)?;
    let sleep = |_, Sleep { seconds }| async move {
        let wait = Duration::try_from_secs_f64(seconds).map_err(|_| {
            let message = format!("the input does not fit: seconds: {seconds} is no time to wait");
            error("InputError", message)
        })?;
        tokio::time::sleep(wait).await;
        Ok(seconds)
    };
    registry
        .function("rfx.sleep")
        .doc("Waits for `seconds`, and gives them back.")
        .example(json!({"seconds": 0.5}))
        .serve(sleep)?;
    Ok(())
}
