//! Where each step runs, and which version of its function.

use std::collections::BTreeMap;

use rfx_schemas::name::{Group, Version};
use rfx_schemas::record::FunctionRecord;

use super::{LiveGroup, Planner};
use crate::check::Checked;
use crate::diagnostic::{Problem, did_you_mean};
use crate::model::{Place, Step};

/// What is laid over a step's own `where`.
#[derive(Debug, Clone, Default)]
pub(super) struct Overlay {
    /// Defaults of the flows around it, the outermost last: for what its own flow leaves open.
    pub defaults: Place,
    /// What the callers say, the outermost last: they win.
    pub callers: Place,
    /// The group of `--each-group`, for steps that say nothing themselves.
    pub each: Option<Group>,
}

/// A step's group and the version that it serves.
pub(super) struct Placed {
    pub group: Group,
    pub version: Option<Version>,
}

impl Planner<'_> {
    /// What applies to a step: defaults, the nearest last, its own `where`, its callers', then the command
    /// line, key by key. `names` are what the command line may call it, the widest first.
    pub(super) fn wanted(
        &self,
        checked: &Checked,
        step: &Step,
        overlay: &Overlay,
        names: &[String],
    ) -> Place {
        let defaults = overlay.defaults.overlaid(&checked.flow.defaults.place);
        let mut own = defaults.overlaid(&step.place).overlaid(&overlay.callers);
        if let Some(group) = overlay.each.as_ref().filter(|_| own == Place::default()) {
            own.group = Some(group.clone());
        }
        let all = |named: bool| self.request.places.iter().filter(move |(s, _)| s.is_some() == named);
        let general = all(false).fold(own, |place, (_, over)| place.overlaid(over));
        let mine =
            |name: &String| all(true).filter(move |(s, _)| s.as_ref() == Some(name)).collect::<Vec<_>>();
        names.iter().flat_map(mine).fold(general, |place, (_, over)| place.overlaid(over))
    }

    /// Group and version of a step. Of several matching groups, the one with the least pending.
    pub(super) fn place(&mut self, checked: &Checked, step: &Step, wanted: Place) -> Option<Placed> {
        let catalogue = self.catalogue;
        let functions = catalogue.functions.iter().filter(|r| r.flow.is_none());
        let serving: Vec<_> = functions.filter(|r| r.name == step.uses.name).collect();
        if serving.is_empty() && catalogue.complete {
            return self.unknown_function(checked, step);
        }
        let fitting: Vec<_> = catalogue.groups.iter().filter(|g| fits(&wanted, g)).collect();
        if fitting.is_empty() && !wanted.labels.is_empty() && wanted.group.is_none() {
            return self.no_such_place(checked, step, &wanted);
        }
        let serves = |g: &&&LiveGroup| serving.iter().any(|r| r.group == g.group);
        let best = fitting.iter().filter(serves).min_by_key(|g| (g.pending, g.group.clone()));
        // Nobody serves it now: it waits in a place that was asked for, else where it was served last.
        let asked = !wanted.labels.is_empty() || wanted.group.is_some();
        let waits = fitting.first().filter(|_| asked).map(|g| g.group.clone());
        let served = serving.first().map(|r| r.group.clone());
        let group = best.map(|g| g.group.clone()).or(wanted.group).or(waits).or(served);
        let group = group.unwrap_or_else(|| catalogue.fallback.clone());
        self.version(checked, step, &serving, group)
    }

    fn version(
        &mut self,
        checked: &Checked,
        step: &Step,
        serving: &[&FunctionRecord],
        group: Group,
    ) -> Option<Placed> {
        let mut versions: Vec<_> =
            serving.iter().filter(|r| r.group == group).map(|r| r.version.clone()).collect();
        versions.sort_by_key(Version::numbers);
        match &step.uses.version {
            Some(version) if versions.is_empty() || versions.contains(version) => {
                Some(Placed { group, version: Some(version.clone()) })
            }
            Some(version) => {
                let all = versions.iter().map(Version::as_str).collect::<Vec<_>>().join(", ");
                let message = format!("{}@{version} is not served in group {group}", step.uses.name);
                let problem = Problem::new(&checked.source, step.uses.at.clone(), message);
                self.problems.push(problem.help(format!("versions served there: {all}")));
                None
            }
            None => Some(Placed { group, version: versions.pop() }),
        }
    }

    /// The live groups that `--each-group` means.
    pub(super) fn groups(&self, wanted: &Place) -> Vec<Group> {
        let fitting = self.catalogue.groups.iter().filter(|group| fits(wanted, group));
        let names: BTreeMap<_, _> = fitting.map(|group| (group.group.clone(), ())).collect();
        names.into_keys().collect()
    }

    fn unknown_function(&mut self, checked: &Checked, step: &Step) -> Option<Placed> {
        let known = self.catalogue.functions.iter().map(|r| r.name.as_str()).chain(self.library.names());
        let mut help = did_you_mean(step.uses.name.as_str(), known)
            .unwrap_or_else(|| "rfx-publish functions lists what there is".to_owned());
        if !self.catalogue.broken.is_empty() {
            help.push_str(&format!(
                "; it may be in a module that does not import: {}",
                self.catalogue.broken.join("; ")
            ));
        }
        let message = format!("no pool has a function {}", step.uses.name);
        let problem = Problem::new(&checked.source, step.uses.at.clone(), message).label("unknown function");
        self.problems.push(problem.help(help));
        None
    }

    fn no_such_place(&mut self, checked: &Checked, step: &Step, wanted: &Place) -> Option<Placed> {
        let message = format!("step {}: no live group has {wanted}", step.name);
        let problem = Problem::new(&checked.source, step.at.clone(), message).label("this step");
        self.problems.push(problem.help(self.live_groups()));
        None
    }

    pub(super) fn live_groups(&self) -> String {
        let live: Vec<_> = self
            .catalogue
            .groups
            .iter()
            .map(|g| {
                let labels: Vec<_> = g.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                if labels.is_empty() {
                    g.group.to_string()
                } else {
                    format!("{} ({})", g.group, labels.join(","))
                }
            })
            .collect();
        match live.is_empty() {
            true => "no worker is up; start one, or name a group: --where group=NAME".to_owned(),
            false => format!("live groups: {}; or name a group: --where group=NAME", live.join(", ")),
        }
    }
}

fn fits(wanted: &Place, group: &LiveGroup) -> bool {
    wanted.group.as_ref().is_none_or(|name| *name == group.group)
        && wanted.labels.iter().all(|(k, v)| group.labels.get(k) == Some(v))
}
