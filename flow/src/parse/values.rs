//! Reading the values of keys: texts, durations, counts, shares, names.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use rfx_schemas::gate::Allowance;
use rfx_schemas::name::Local;

use super::{Fields, Reader};
use crate::diagnostic::{Problem, did_you_mean};
use crate::model::{At, Place, Use};
use crate::over::MOST_JOBS;
use crate::yaml::{Key, Kind, Node};

impl Reader<'_> {
    pub(super) fn problem(&mut self, at: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::new(self.source, at, message).help(help));
    }

    pub(super) fn expected(&mut self, node: &Node, what: &str, example: &str) {
        let problem =
            Problem::new(self.source, node.at.clone(), format!("expected {what}, got {}", node.what()));
        self.problems.push(problem.label(format!("expected {what}")).help(format!("write it as {example}")));
    }

    /// The fields of a map whose keys are fixed.
    pub(super) fn map<'n>(&mut self, node: &'n Node, known: &[&'static str], what: &str) -> Fields<'n> {
        let Kind::Map(entries) = &node.kind else {
            self.expected(node, "a map", &format!("{}: …", known[0]));
            return Fields::new();
        };
        let mut fields = Fields::new();
        for (key, value) in entries {
            if let Some(name) = known.iter().find(|name| **name == key.name) {
                fields.insert(name, (key, value));
            } else {
                let help = did_you_mean(&key.name, known.iter().copied())
                    .unwrap_or_else(|| format!("{what} takes {}", known.join(", ")));
                let message = format!("unknown key {:?} in {what}", key.name);
                let problem = Problem::new(self.source, key.at.clone(), message);
                self.problems.push(problem.label("not a key of rfx").help(help));
            }
        }
        fields
    }

    /// The entries of a map whose keys are names that the author gives.
    pub(super) fn named<T>(
        &mut self,
        node: &Node,
        mut read: impl FnMut(&mut Self, &Key, &Node) -> Option<T>,
    ) -> Vec<(Local, T)> {
        let Kind::Map(entries) = &node.kind else {
            self.expected(node, "a map of names", "name: value");
            return Vec::new();
        };
        let mut all = Vec::new();
        for (key, value) in entries {
            if let Some(name) = self.local(key)
                && let Some(value) = read(self, key, value)
            {
                all.push((name, value));
            }
        }
        all
    }

    pub(super) fn local(&mut self, key: &Key) -> Option<Local> {
        match key.name.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                let suggestion = key.name.to_lowercase().replace(['-', '.', ' '], "_");
                self.problem(key.at.clone(), error.to_string(), format!("write {suggestion}"));
                None
            }
        }
    }

    pub(super) fn text(&mut self, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Text(text) => Some(text.clone()),
            _ => {
                self.expected(node, "a text", "\"…\", in quotes if it looks like something else");
                None
            }
        }
    }

    /// One text or a list of them.
    pub(super) fn texts(&mut self, node: &Node) -> Vec<At<String>> {
        match &node.kind {
            Kind::List(items) => {
                items.iter().filter_map(|item| Some((item.at.clone(), self.text(item)?))).collect()
            }
            _ => self.text(node).map(|text| (node.at.clone(), text)).into_iter().collect(),
        }
    }

    pub(super) fn labels(&mut self, node: &Node) -> BTreeMap<String, String> {
        let Kind::Map(entries) = &node.kind else {
            self.expected(node, "a map of labels", "{ team: storage }");
            return BTreeMap::new();
        };
        entries.iter().filter_map(|(key, value)| Some((key.name.clone(), self.text(value)?))).collect()
    }

    pub(super) fn duration(&mut self, node: &Node) -> Option<Duration> {
        let example = "30s, 1m 30s or 2h";
        let Kind::Text(text) = &node.kind else {
            self.expected(node, "a duration with its unit", example);
            return None;
        };
        let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok());
        if parsed.is_none_or(|d| d.is_zero()) {
            let message = format!("{text:?} is not a duration above zero");
            self.problem(node.at.clone(), message, format!("write it as {example}"));
            return None;
        }
        parsed
    }

    pub(super) fn count(&mut self, node: &Node) -> Option<u32> {
        self.whole(node, 1)
    }

    /// A whole number from `least`.
    pub(super) fn whole(&mut self, node: &Node, least: u32) -> Option<u32> {
        let number = match &node.kind {
            Kind::Number(n) => {
                n.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (least..=MOST_JOBS).contains(n))
            }
            _ => None,
        };
        if number.is_none() {
            let what = match &node.kind {
                Kind::Number(n) => n.to_string(),
                _ => node.what().to_owned(),
            };
            let message = format!("expected a whole number from {least} to {MOST_JOBS}, got {what}");
            self.problem(node.at.clone(), message, format!("write one: {}", least.max(3)));
        }
        number
    }

    /// `3` or `5%`.
    pub(super) fn share(&mut self, node: &Node) -> Option<Allowance> {
        if let Kind::Text(text) = &node.kind {
            let percent = text.strip_suffix('%').and_then(|n| n.trim().parse::<f64>().ok());
            if let Some(percent) = percent.filter(|p| (0.0..=100.0).contains(p)) {
                return Some(Allowance::Percent(percent));
            }
            let message = format!("{text:?} is not a count or a share");
            self.problem(node.at.clone(), message, "write a number, or a share of 0% to 100%");
            return None;
        }
        self.whole(node, 0).map(Allowance::Count)
    }

    pub(super) fn boolean(&mut self, node: &Node) -> Option<bool> {
        match &node.kind {
            Kind::Bool(value) => Some(*value),
            _ => {
                self.expected(node, "true or false", "true");
                None
            }
        }
    }

    pub(super) fn place(&mut self, node: &Node) -> Place {
        let Kind::Map(entries) = &node.kind else {
            self.expected(node, "a map of labels", "{ provider: aws } or { group: aws-eu1 }");
            return Place::default();
        };
        let mut place = Place::default();
        for (key, value) in entries {
            let Some(text) = self.text(value) else { continue };
            if let Err(error) = place.set(&key.name, &text) {
                self.problem(value.at.clone(), error.to_string(), "name a group that workers pull for");
            }
        }
        place
    }

    pub(super) fn uses(&mut self, node: &Node) -> Option<Use> {
        let text = self.text(node)?;
        match rfx_schemas::record::parse_use(&text) {
            Ok((name, version)) => Some(Use { name, version, at: node.at.clone() }),
            Err(error) => {
                self.problem(node.at.clone(), error.to_string(), "write name or name@version");
                None
            }
        }
    }
}
