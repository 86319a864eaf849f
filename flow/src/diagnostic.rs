//! What is wrong with a flow or a data file: where, why, and what would be right.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// A text that users wrote, with the name that they know it by.
#[derive(Debug, Clone)]
pub struct Source {
    named: Arc<NamedSource<Arc<str>>>,
    text: Arc<str>,
}

impl Source {
    /// A text and its file name.
    pub fn new(name: &str, text: &str) -> Self {
        let text: Arc<str> = text.into();
        Self { named: Arc::new(NamedSource::new(name, Arc::clone(&text))), text }
    }

    /// The file name.
    pub fn name(&self) -> &str {
        self.named.name()
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte offset, both from 1; the column counts characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        (line, before[start..].chars().count() + 1)
    }

    /// Byte offset of a line and column, both from 1.
    pub fn offset(&self, line: u64, column: u64) -> usize {
        let index = |n: u64| usize::try_from(n.saturating_sub(1)).unwrap_or(0);
        let before: usize = self.text.split_inclusive('\n').take(index(line)).map(str::len).sum();
        let rest = &self.text[before..];
        before + rest.char_indices().nth(index(column)).map_or(rest.len(), |(at, _)| at)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Problem {
    source: Source,
    message: String,
    /// What is marked, and the words beside it; the first is where it is wrong.
    marks: Vec<(Range<usize>, String)>,
    help: Option<String>,
}

impl Problem {
    /// Something wrong at a place.
    pub fn new(source: &Source, at: Range<usize>, message: impl Into<String>) -> Self {
        let end = at.end.clamp(at.start, source.text.len().max(at.start));
        let at = at.start.min(source.text.len())..end.min(source.text.len());
        let marks = vec![(at, "here".to_owned())];
        Self { source: source.clone(), message: message.into(), marks, help: None }
    }

    /// What to write beside the marked text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.marks[0].1 = label.into();
        self
    }

    /// Marks another place that has to do with it: the other end of an edge.
    #[must_use]
    pub fn and(mut self, at: Range<usize>, label: impl Into<String>) -> Self {
        self.marks.push((at, label.into()));
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn start(&self) -> usize {
        self.marks[0].0.start
    }

    /// `file:line:column`.
    pub fn place(&self) -> String {
        let (line, column) = self.source.position(self.start());
        format!("{}:{line}:{column}", self.source.name())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source.named)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        // The place in the headline is that of the first mark, wherever the others stand.
        let span = |(nth, (at, label)): (usize, &(Range<usize>, String))| match nth {
            0 => LabeledSpan::new_primary_with_span(Some(label.clone()), at.clone()),
            _ => LabeledSpan::new_with_span(Some(label.clone()), at.clone()),
        };
        Some(Box::new(self.marks.iter().enumerate().map(span)))
    }
}

/// Everything that is wrong, in the order of the text; never empty.
#[derive(Debug, Clone)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// One problem.
    pub fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }

    /// All of them, if there are any.
    pub fn from_list(mut problems: Vec<Problem>) -> Result<(), Self> {
        problems.sort_by(|a, b| (a.source.name(), a.start()).cmp(&(b.source.name(), b.start())));
        problems.dedup_by(|a, b| a.place() == b.place() && a.message == b.message);
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// For terminals and logs: each problem with the marked text.
    pub fn render(&self, color: bool) -> String {
        let theme = match color {
            true => miette::GraphicalTheme::unicode(),
            false => miette::GraphicalTheme::unicode_nocolor(),
        };
        let handler = miette::GraphicalReportHandler::new_themed(theme).with_links(false).with_width(110);
        let mut text = String::new();
        for problem in &self.0 {
            let place = problem.place();
            text.push_str(&place);
            text.push_str(":\n");
            handler.render_report(&mut text, problem).expect("writing to a string cannot fail");
        }
        text
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{}: {problem}", problem.place())?;
            if let Some(help) = &problem.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The known name nearest to a wrong one, as a help text.
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let near = |name: &&str| strsim::damerau_levenshtein(wrong, name);
    let best = known.into_iter().min_by_key(near)?;
    let allowed = (wrong.len().max(best.len()) / 3).max(1);
    (near(&best) <= allowed).then(|| format!("did you mean {best}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_where_in_the_file() {
        let source = Source::new("a.yaml", "flow: x\nstäps: {}\n");
        let problem = Problem::new(&source, 15..17, "odd").help("mend it");
        assert_eq!(problem.place(), "a.yaml:2:7");
        let rendered = Problems::one(problem).render(false);
        assert!(rendered.starts_with("a.yaml:2:7:\n"), "{rendered}");
        assert!(rendered.contains("mend it"), "{rendered}");
    }

    #[test]
    fn only_near_names_are_offered() {
        assert_eq!(did_you_mean("stpes", ["steps", "setup"]).as_deref(), Some("did you mean steps?"));
        assert_eq!(did_you_mean("zzz", ["steps", "setup"]), None);
    }
}
