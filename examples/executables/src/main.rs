//! `files.sizes`: a function that is a program, with nothing of rfx in it. It stands for what one
//! would write in Go, C++ or any language that makes a binary. The contract: docs/executables.md.

use std::io::Read as _;
use std::process::ExitCode;

use serde_json::{Value, json};

/// The exit codes of the contract.
const FAILED: u8 = 1;
const ERROR: u8 = 2;
const SKIPPED: u8 = 77;

fn main() -> ExitCode {
    match sizes() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // The last line of stderr is why it did not pass.
            eprintln!("{error}");
            ExitCode::from(ERROR)
        }
    }
}

fn sizes() -> Result<u8, Box<dyn std::error::Error>> {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    let input: Value = serde_json::from_str(&input)?;
    let folder = input["folder"].as_str().ok_or("folder: expected a text")?;
    let limit = input["limit"].as_u64().unwrap_or(u64::MAX);
    if !std::path::Path::new(folder).exists() {
        eprintln!("there is no {folder} on this machine");
        return Ok(SKIPPED);
    }
    let mut sizes = serde_json::Map::new();
    for entry in std::fs::read_dir(folder)? {
        let (name, file) = entry.map(|entry| (entry.file_name(), entry.metadata()))?;
        let file = file?;
        if file.is_file() {
            sizes.insert(name.to_string_lossy().into_owned(), Value::from(file.len()));
        }
    }
    let largest = sizes.values().filter_map(Value::as_u64).max().unwrap_or(0);
    std::fs::write(std::env::var("RFX_OUTPUT")?, json!({"sizes": sizes, "largest": largest}).to_string())?;
    if largest > limit {
        eprintln!("the largest file has {largest} bytes, {limit} are allowed");
        return Ok(FAILED);
    }
    Ok(0)
}
