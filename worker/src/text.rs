//! Keeping what functions say within bounds.

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
