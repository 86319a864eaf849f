//! Flows that other flows may use as functions: those beside the flow, those of pool folders, and
//! those that workers announce.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::check::{Checked, check};
use crate::diagnostic::{Problems, Source};
use crate::model::Use;

/// Flows by name. A flow is checked when it is first used: one that is wrong harms no other.
#[derive(Debug, Default)]
pub struct Library {
    flows: BTreeMap<String, Vec<Shelved>>,
}

/// A flow in the library.
#[derive(Debug)]
pub struct Shelved {
    source: Source,
    /// Where its data files lie; none for a flow that came without its folder.
    folder: Option<PathBuf>,
    checked: OnceCell<Result<Arc<Checked>, Problems>>,
}

impl Shelved {
    /// The flow, checked.
    pub fn checked(&self) -> Result<&Arc<Checked>, Problems> {
        let checked = self.checked.get_or_init(|| check(self.source.clone()).map(Arc::new));
        checked.as_ref().map_err(Clone::clone)
    }

    /// The file that it stands in.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// Where its data files lie.
    pub fn folder(&self) -> Option<&PathBuf> {
        self.folder.as_ref()
    }
}

impl Library {
    /// Adds a text, if it is a flow. The first of several with the same name and version is used.
    pub fn add(&mut self, source: Source, folder: Option<PathBuf>) {
        if let Some(name) = flow_name(source.text()).filter(|name| !is_reserved(name)) {
            let shelved = Shelved { source, folder, checked: OnceCell::new() };
            self.flows.entry(name).or_default().push(shelved);
        }
    }

    /// Names of all flows.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.flows.keys().map(String::as_str)
    }

    /// The flow that `uses` names; of several versions the one wanted, else the first.
    pub fn find(&self, uses: &Use) -> Option<&Shelved> {
        let all = self.flows.get(uses.name.as_str())?;
        let fits = |shelved: &&Shelved| match (&uses.version, shelved.checked()) {
            (Some(wanted), Ok(checked)) => version(checked) == wanted.as_str(),
            // What is wrong with it is said by whoever uses it.
            (None, _) | (Some(_), Err(_)) => true,
        };
        all.iter().find(fits)
    }

    /// The flow whose steps and data a flow takes over: the last one of those that it extends.
    pub fn base(&self, flow: &Checked) -> Option<&Shelved> {
        let (mut base, mut seen) = (None, BTreeSet::new());
        let mut next = flow.flow.extends.clone();
        while let Some(shelved) = next.take().and_then(|uses| self.find(&uses)) {
            base = Some(shelved);
            if seen.insert(shelved.source.name().to_owned()) {
                next = shelved.checked().ok().and_then(|checked| checked.flow.extends.clone());
            }
        }
        base
    }

    /// Another file of the same folder with the same flow in it: which of them is meant, nobody can tell.
    pub fn double(&self, uses: &Use) -> Option<(&str, &str)> {
        let found = self.find(uses)?;
        let own = version(found.checked().ok()?);
        let same = |other: &&Shelved| {
            found.folder.is_some()
                && other.folder == found.folder
                && other.source.name() != found.source.name()
                && other.checked().is_ok_and(|checked| version(checked) == own)
        };
        let other = self.flows.get(uses.name.as_str())?.iter().find(same)?;
        Some((found.source.name(), other.source.name()))
    }

    /// The versions of the flows with a name; none when there is no such flow.
    pub fn versions(&self, name: &str) -> Vec<String> {
        let all = self.flows.get(name).into_iter().flatten();
        all.filter_map(|shelved| Some(version(shelved.checked().ok()?).to_owned())).collect()
    }

    /// All flows that a flow uses, directly or by others; those that are wrong are left out, and those that
    /// are only extended: what extends them has taken them over.
    pub fn used_by(&self, flow: &Checked) -> Vec<&Shelved> {
        let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
        let mut open = uses(flow);
        while let Some((next, is_base)) = open.pop() {
            let shelved = self.find(&next).filter(|s| seen.insert((s.source.name().to_owned(), is_base)));
            let Some(shelved) = shelved else { continue };
            if let Ok(checked) = shelved.checked() {
                open.extend(uses(checked));
            }
            if !is_base {
                found.push(shelved);
            }
        }
        found
    }
}

/// What a flow's steps use, and, told apart, what it extends.
fn uses(flow: &Checked) -> Vec<(Use, bool)> {
    let steps = flow.flow.steps.iter().map(|step| (step.uses.clone(), false));
    steps.chain(flow.flow.extends.clone().map(|base| (base, true))).collect()
}

/// Whether a name belongs to the functions that are built in.
pub fn is_reserved(name: &str) -> bool {
    name == "rfx" || name.starts_with("rfx.")
}

/// The version that a flow is known by: 1, unless it says another one.
fn version(checked: &Checked) -> &str {
    checked.flow.version.as_ref().map_or("1", |version| version.as_str())
}

/// The name that a flow's text gives it, without reading the rest.
pub fn flow_name(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("flow:"))?;
    let value = line.split(" #").next()?.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_found_by_name_and_version() {
        let mut library = Library::default();
        library.add(Source::new("a.yaml", "flow: hosts.add\nversion: 2\nsteps:\n  a: { uses: f.a }\n"), None);
        library.add(Source::new("b.yaml", "flow: 'hosts.add'  # old\nsteps:\n  a: { uses: f.b }\n"), None);
        library.add(Source::new("c.yaml", "services: {}\n"), None);
        assert_eq!(library.names().collect::<Vec<_>>(), ["hosts.add"]);
        let find = |text: &str| {
            let (name, version) = rfx_schemas::record::parse_use(text).expect("a use");
            library.find(&Use { name, version, at: 0..1 }).map(|found| found.source.name().to_owned())
        };
        assert_eq!(find("hosts.add").as_deref(), Some("a.yaml"));
        assert_eq!(find("hosts.add@2").as_deref(), Some("a.yaml"));
        assert_eq!(find("hosts.add@3"), None);
    }
}
