//! Text from strangers made fit to show, and figures made fit for people. Knows no report.

use std::time::Duration;

use serde_json::Value;

/// The text without what steers a terminal, hides other text, or may not stand in XML: escape
/// sequences, control characters, bidirectional overrides and non-characters. Tabs become four
/// spaces (JUnit's writer would drop them), a carriage return alone ends the line.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' => shown.push('\n'),
            '\t' => shown.push_str("    "),
            '\r' if rest.peek() == Some(&'\n') => {}
            '\r' => shown.push('\n'),
            '\u{1b}' => skip_escape(&mut rest),
            '\u{9b}' => skip_sequence(&mut rest),
            c if is_unfit(c) => {}
            c => shown.push(c),
        }
    }
    shown
}

fn is_unfit(c: char) -> bool {
    let steers_direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_no_character = matches!(u32::from(c) & 0xffff, 0xfffe | 0xffff);
    c.is_control() || steers_direction || is_no_character
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Skips what follows an escape character.
fn skip_escape(rest: &mut Rest<'_>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_sequence(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => skip_string(rest),
        Some(c) if (' '..='/').contains(c) => {
            while rest.next_if(|c| (' '..='/').contains(c)).is_some() {}
            rest.next_if(|c| ('0'..='~').contains(c));
        }
        Some(c) if ('0'..='~').contains(c) => {
            rest.next();
        }
        _ => {}
    }
}

/// Skips parameters and the letter that ends a control sequence.
fn skip_sequence(rest: &mut Rest<'_>) {
    while rest.next_if(|c| (' '..='?').contains(c)).is_some() {}
    rest.next_if(|c| ('@'..='~').contains(c));
}

/// Skips a title or a link up to its end. One that never ends hides its own line at most.
fn skip_string(rest: &mut Rest<'_>) {
    while let Some(c) = rest.next_if(|c| *c != '\n') {
        if c == '\u{7}' || (c == '\u{1b}' && rest.next_if_eq(&'\\').is_some()) {
            return;
        }
    }
}

/// The text in one line of at most `most` characters.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    // What is far beyond the cut is not worth cleaning; escape sequences may fill the first part.
    let near: String = text.chars().take(most.saturating_mul(4)).collect();
    let line = plain(&near).split_whitespace().collect::<Vec<_>>().join(" ");
    let cut = near.len() < text.len() || line.chars().nth(most).is_some();
    if !cut {
        return line;
    }
    let mut short: String = line.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// A line of at most `most` characters, its spaces kept.
pub(crate) fn clip(line: &str, most: usize) -> String {
    let mut shown: String = line.chars().take(most).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}

/// The plain text in its lines, at most `lines` of at most `most` characters each; what is left out
/// is counted in a line of its own.
pub(crate) fn lines(text: &str, lines: usize, most: usize) -> Vec<String> {
    let text = plain(text);
    let all = || text.trim().lines().map(str::trim_end).filter(|line| !line.is_empty());
    let mut shown: Vec<String> = all().take(lines).map(|line| clip(line, most)).collect();
    let more = all().skip(lines).count();
    if more > 0 {
        shown.push(format!("… and {more} more {}", if more == 1 { "line" } else { "lines" }));
    }
    shown
}

/// The plain text in at most about `most` characters: the first quarter and the last three, since
/// what went wrong stands at the end more often.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    let text = plain(text);
    let count = text.chars().count();
    if count <= most {
        return text;
    }
    let (head, tail) = (most / 4, most - most / 4);
    let head: String = text.chars().take(head).collect();
    let tail: String = text.chars().skip(count - tail).collect();
    format!("{head}\n… {} characters left out …\n{tail}", count - most)
}

/// The last `most` lines of a text, trailing blank ones aside.
pub(crate) fn last_lines(text: &str, most: usize) -> Vec<&str> {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(most)..].to_vec()
}

/// A value as indented JSON, made fit to show.
pub(crate) fn value(value: &Value) -> String {
    plain(&format!("{value:#}"))
}

/// A duration as people read it: `820 ms`, `1.2 s`, `3 m 05 s`, `2 h 03 m`.
pub(crate) fn human(duration: Duration) -> String {
    let micros = duration.as_micros();
    let (millis, tenths, seconds) =
        ((micros + 500) / 1_000, (micros + 50_000) / 100_000, (micros + 500_000) / 1_000_000);
    if (1..500).contains(&micros) {
        "<1 ms".to_owned()
    } else if millis < 1_000 {
        format!("{millis} ms")
    } else if tenths < 600 {
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else if seconds < 3_600 {
        format!("{} m {:02} s", seconds / 60, seconds % 60)
    } else {
        format!("{} h {:02} m", seconds / 3_600, seconds / 60 % 60)
    }
}

/// A number with thin gaps between thousands: `100 000`.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_dropped_and_the_words_stay() {
        let cases = [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{9b}31mred", "red"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}]0;never ends\nnext", "\nnext"),
            ("\u{1b}(Btext", "text"),
            ("\u{1b}ctext", "text"),
            ("text\u{1b}", "text"),
            ("\u{1b}[31äb", "äb"),
            ("a\0b\u{8}c\u{7f}d\u{85}e", "abcde"),
            ("a\tb\r\nc\rd\n", "a    b\nc\nd\n"),
            ("\u{202e}evil\u{2066}", "evil"),
            ("\u{fffe}\u{ffff}\u{1ffff}ok \u{fffd} 😀", "ok \u{fffd} 😀"),
        ];
        for (text, shown) in cases {
            assert_eq!(plain(text), shown, "{text:?}");
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(one_line("a\n  b", 10), "a b");
        assert_eq!(one_line("äöüäöü", 4), "äöü…");
        assert_eq!(one_line("äöüä", 4), "äöüä");
        assert_eq!(shorten("0123456789", 10), "0123456789");
        assert_eq!(shorten("ä123456789€", 8), "ä1\n… 3 characters left out …\n56789€");
        assert_eq!(last_lines("a\nb\nc\n\n", 2), ["b", "c"]);
        assert_eq!(last_lines("", 2), Vec::<&str>::new());
    }

    #[test]
    fn lines_keep_their_indentation_and_are_bounded() {
        assert_eq!(lines("\n a \n\n  b\r\nc\n", 9, 9), ["a", "  b", "c"]);
        assert_eq!(lines("a\nb\nc\nd", 2, 9), ["a", "b", "… and 2 more lines"]);
        assert_eq!(lines("äöü\nb", 1, 2), ["äö…", "… and 1 more line"]);
        assert_eq!(lines(" \n", 2, 2), Vec::<String>::new());
    }

    #[test]
    fn durations_are_rounded_within_their_unit() {
        let cases = [
            (0, "0 ms"),
            (300, "<1 ms"),
            (820_400, "820 ms"),
            (999_600, "1.0 s"),
            (1_240_000, "1.2 s"),
            (59_960_000, "1 m 00 s"),
            (185_000_000, "3 m 05 s"),
            (3_599_600_000, "1 h 00 m"),
            (7_380_000_000, "2 h 03 m"),
        ];
        for (micros, shown) in cases {
            assert_eq!(human(Duration::from_micros(micros)), shown);
        }
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(count(7), "7");
        assert_eq!(count(100_000), "100\u{202f}000");
    }
}
