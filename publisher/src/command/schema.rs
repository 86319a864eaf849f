//! `schema`: the JSON Schema of the flow format, for editors.

use rfx_config::process::{Failure, print};
use rfx_schemas::exit;

/// Prints the schema.
pub fn show() -> Result<u8, Failure> {
    print(&format!("{:#}\n", rfx_flow::schema::schema()))?;
    Ok(exit::PASSED)
}
