//! What functions print: kept from the start and from the end, counted in between.

use std::collections::VecDeque;

use rfx_schemas::outcome::TAIL_LIMIT;

const HEAD: usize = TAIL_LIMIT / 4;

/// Printed bytes, shortened as they come.
#[derive(Debug, Default)]
pub struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Capture {
    /// Takes more.
    pub fn push(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(TAIL_LIMIT - HEAD);
        self.dropped += over as u64;
        self.tail.drain(..over);
    }

    /// The text, and a clean start.
    pub fn take(&mut self) -> String {
        let mut this = std::mem::take(self);
        let mut text = String::from_utf8_lossy(&this.head).into_owned();
        if this.dropped > 0 {
            text.push_str(&format!("\n… {} bytes left out …\n", this.dropped));
        }
        text.push_str(&String::from_utf8_lossy(this.tail.make_contiguous()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_keeps_its_start_and_end() {
        let mut capture = Capture::default();
        capture.push(b"start ");
        for _ in 0..100 {
            capture.push(&[b'x'; 1000]);
        }
        capture.push(b" end");
        let text = capture.take();
        assert!(text.starts_with("start xxx") && text.ends_with("xxx end"), "{text}");
        assert!(text.contains("bytes left out"), "{text}");
        assert!(text.len() < TAIL_LIMIT + 100);
        assert_eq!(capture.take(), "");
    }
}
