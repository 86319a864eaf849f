//! What functions say: as text, and within bounds.

use serde_json::Value;

/// A value as text: a string as it is, everything else as JSON; none for null.
pub fn text_of(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// At most `max` bytes of a text, with what was left out said.
pub fn shorten(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let head = &text[..text.floor_char_boundary(max / 2)];
    let tail = &text[text.ceil_char_boundary(text.len() - max / 2)..];
    format!("{head}\n… {} bytes left out …\n{tail}", text.len() - head.len() - tail.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_keep_both_ends_and_whole_characters() {
        let text = "é".repeat(100);
        let short = shorten(&text, 21);
        assert!(
            short.starts_with("éééé") && short.ends_with("éé") && short.contains("bytes left out"),
            "{short}"
        );
        assert_eq!(shorten("abc", 3), "abc");
    }
}
