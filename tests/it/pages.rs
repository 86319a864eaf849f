//! The pages of docs/ as their tests read them: headings and fenced blocks, each with a note above it if need be.
//!
//! `<!-- run: --only a; exit: 1 -->` above a block is such a note; what its words mean is up to who reads the page.

/// A fenced block.
#[derive(Default)]
pub struct Block {
    /// Where it begins.
    pub line: usize,
    /// The first word behind the fence.
    pub language: String,
    /// The second one, or what the comment in its first line names: the file that it shows.
    pub path: Option<String>,
    /// What it holds.
    pub text: String,
    notes: Vec<(String, String)>,
}

impl Block {
    /// What the note above it says by this word.
    pub fn note(&self, word: &str) -> Option<&str> {
        self.notes.iter().find(|(name, _)| name == word).map(|(_, text)| text.as_str())
    }

    /// How what it shows ends: 0 unless said.
    pub fn exit(&self) -> i32 {
        self.note("exit").map_or(0, |code| code.parse().expect("an exit code"))
    }
}

/// What a page holds, in order.
pub enum Part {
    /// A heading, of whatever level.
    Heading,
    /// A fenced block.
    Block(Block),
}

/// Reads a page, whose notes use these words only.
pub fn parts(page: &str, words: &[&str]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut notes = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(note) = line.strip_prefix("<!-- ").and_then(|l| l.strip_suffix(" -->")) {
            for wish in note.split("; ") {
                let known = wish.split_once(": ").filter(|(word, _)| words.contains(word));
                let (word, text) = known.unwrap_or_else(|| panic!("line {}: what is {wish:?}?", number + 1));
                notes.push((word.to_owned(), text.to_owned()));
            }
        } else if let Some(info) = line.strip_prefix("```") {
            let text = lines.by_ref().take_while(|(_, line)| *line != "```");
            let text = text.fold(String::new(), |all, (_, line)| all + line + "\n");
            let (language, path) =
                info.split_once(' ').map_or((info, None), |(l, p)| (l, Some(p.to_owned())));
            let (language, path) = (language.to_owned(), path.or_else(|| named(&text)));
            let notes = std::mem::take(&mut notes);
            parts.push(Part::Block(Block { line: number + 1, language, path, text, notes }));
        } else if line.starts_with('#') {
            parts.push(Part::Heading);
        }
    }
    parts
}

/// The file that the comment in the first line names: `# pool/hosts.py`.
fn named(text: &str) -> Option<String> {
    let name = text.lines().next()?.strip_prefix("# ")?;
    let is_path = !name.contains(' ') && name.rsplit('/').next().is_some_and(|file| file.contains('.'));
    is_path.then(|| name.to_owned())
}
