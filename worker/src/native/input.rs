//! The input of a native function, and what is wrong with one in plain words.

use serde::de::DeserializeOwned;

/// Reads an input; the error says where in it what was expected.
pub(super) fn read<I: DeserializeOwned>(text: &[u8]) -> Result<I, String> {
    let reader = &mut serde_json::Deserializer::from_slice(text);
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = error.path().to_string();
        let said = in_words(&error.into_inner());
        match path.as_str() {
            "." => format!("the input does not fit: {said}"),
            path => format!("the input does not fit: {path}: {said}"),
        }
    })
}

/// serde's words without Rust's names, and without positions in a text that nobody wrote.
fn in_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(said, _)| said);
    let (seen, expected) = match text.split_once(", expected ") {
        Some((seen, expected)) => (seen, expected),
        None => return text.replace('`', "\"").replace("missing field", "there is no"),
    };
    let expected = match expected {
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a string" | "string" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        other => other.strip_prefix("struct ").map_or(other, |_| "an object"),
    };
    let words = [
        ("invalid type: ", ""),
        ("invalid value: ", ""),
        ("string ", "the text "),
        ("integer ", ""),
        ("floating point ", ""),
        ("boolean ", ""),
        ("sequence", "a list"),
        ("map", "an object"),
    ];
    let mut seen = seen.to_owned();
    for (word, plain) in words {
        if let Some(rest) = seen.strip_prefix(word) {
            seen = format!("{plain}{rest}");
        }
    }
    format!("expected {expected}, got {}", seen.replace('`', ""))
}
