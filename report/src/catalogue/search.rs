//! Which functions somebody means, the best first.

use super::Entry;
use super::schema::takes;

/// What is looked for. Everything that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Words that its name, documentation, tags, owner or pool hold.
    pub text: Option<String>,
    /// Tags that it has, all of them.
    pub tags: Vec<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// A type of its input, or the name of a field there.
    pub input_type: Option<String>,
    /// The pool that it comes from.
    pub pool: Option<String>,
    /// A group that announced it.
    pub group: Option<String>,
}

impl Filter {
    /// Whether anything is looked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Those that fit: best first by the text, else in their order.
pub fn search<'a>(entries: &'a [Entry], filter: &Filter) -> Vec<&'a Entry> {
    let words: Vec<_> =
        filter.text.iter().flat_map(|text| text.split_whitespace()).map(str::to_lowercase).collect();
    let fitting = entries.iter().filter(|entry| fits(entry, filter));
    let mut found: Vec<_> = fitting.filter_map(|entry| Some((rank(entry, &words)?, entry))).collect();
    // Stable: what is equally good stays in the order of names.
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, entry)| entry).collect()
}

fn fits(entry: &Entry, filter: &Filter) -> bool {
    let record = &entry.record;
    let same = |own: &str, wanted: &str| own.eq_ignore_ascii_case(wanted);
    filter.tags.iter().all(|tag| record.tags.iter().any(|own| same(own, tag)))
        && filter.owner.as_ref().is_none_or(|owner| record.owner.as_ref().is_some_and(|own| same(own, owner)))
        && filter.pool.as_ref().is_none_or(|pool| same(&record.pool, pool))
        && filter.group.as_ref().is_none_or(|group| entry.places.iter().any(|p| p.group.as_str() == group))
        && filter.input_type.as_ref().is_none_or(|wanted| takes(&record.input, wanted))
}

/// How good a match is, less being better: the sum over the words. None when one is nowhere.
fn rank(entry: &Entry, words: &[String]) -> Option<u32> {
    let record = &entry.record;
    let name = record.name.as_str().to_lowercase();
    let (first, rest) = record.doc.split_once('\n').unwrap_or((&record.doc, ""));
    let (first, rest) = (first.to_lowercase(), rest.to_lowercase());
    let tags: Vec<_> = record.tags.iter().map(|tag| tag.to_lowercase()).collect();
    let others = [record.owner.as_deref().unwrap_or_default(), record.pool.as_str()].map(str::to_lowercase);
    let of_word = |word: &String| {
        let part = |part: &str| part == word;
        match () {
            () if name == *word => Some(0),
            () if name.split('.').any(part) => Some(1),
            () if name.contains(word.as_str()) => Some(2),
            () if first.contains(word.as_str()) => Some(10),
            () if rest.contains(word.as_str()) => Some(11),
            () if tags.iter().any(|tag| tag.contains(word.as_str())) => Some(20),
            () if others.iter().any(|other| other.contains(word.as_str())) => Some(30),
            () => None,
        }
    };
    words.iter().map(of_word).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::entries;
    use crate::catalogue::fixtures::record;

    fn found(filter: &Filter) -> Vec<String> {
        let mut all = vec![
            record("apps.push", "1", "aws", "Push an application.\n\nTo a host."),
            record("hosts.drop", "1", "aws", "Forget it."),
            record("push", "1", "own", "Ring a bell."),
            record("apps.list", "1", "aws", "What was pushed?"),
        ];
        all[1].tags = vec!["pushers".to_owned()];
        all[3].input = serde_json::Value::Null;
        search(&entries(all, &[]), filter).iter().map(|entry| entry.record.name.to_string()).collect()
    }

    #[test]
    fn names_come_before_documentation_and_that_before_tags() {
        let text = |text: &str| found(&Filter { text: Some(text.to_owned()), ..Filter::default() });
        assert_eq!(text("Push"), ["push", "apps.push", "apps.list", "hosts.drop"]);
        assert_eq!(text("apps push"), ["apps.push", "apps.list"], "every word is somewhere");
        assert_eq!(text("device-team").len(), 4);
        assert!(text("nothing").is_empty());
    }

    #[test]
    fn filters_narrow_down_also_without_a_text() {
        let filter = Filter { tags: vec!["Devices".to_owned()], ..Filter::default() };
        assert_eq!(found(&filter), ["apps.list", "apps.push", "push"]);
        assert_eq!(
            found(&Filter { input_type: Some("Host".to_owned()), ..filter.clone() }),
            ["apps.push", "push"]
        );
        assert_eq!(found(&Filter { group: Some("own".to_owned()), ..filter.clone() }), ["push"]);
        assert!(found(&Filter { pool: Some("other".to_owned()), ..filter }).is_empty());
    }
}
