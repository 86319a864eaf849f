//! `--only` and `--skip`: which steps of the test a run executes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use rfx_schemas::plan::{Phase, PlannedStep};

use super::Planner;

/// What a run is limited to.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Only these, with what they need.
    pub only: Vec<Chosen>,
    /// Not these.
    pub skip: Vec<Chosen>,
}

/// Steps by name, tag or owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// `device`, or `host/device` inside a composite.
    Step(String),
    /// `tag:smoke`: the step's own tags, or those of its function.
    Tag(String),
    /// `owner:storage`
    Owner(String),
}

impl FromStr for Chosen {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once(':') {
            Some(("tag", tag)) => Self::Tag(tag.to_owned()),
            Some(("owner", owner)) => Self::Owner(owner.to_owned()),
            _ => Self::Step(text.to_owned()),
        })
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(name) => f.write_str(name),
            Self::Tag(tag) => write!(f, "tag:{tag}"),
            Self::Owner(owner) => write!(f, "owner:{owner}"),
        }
    }
}

impl Planner<'_> {
    /// Marks the steps that are left out. Setup and teardown always run.
    pub(super) fn choose(&mut self) {
        let choice = &self.request.choice;
        if choice.only.is_empty() && choice.skip.is_empty() {
            return;
        }
        let names: Vec<_> = (0..self.steps.len()).map(|at| self.short_path(at)).collect();
        // Laid out by group, a step is meant in each of them, too.
        let by_group = self.request.each_group.is_some();
        let inside =
            |name: &str| name.split_once('/').filter(|_| by_group).map(|(_, inside)| inside.to_owned());
        let inner: Vec<_> = names.iter().map(|name| inside(name)).collect();
        let fits = |chosen: &Chosen, at: usize| {
            chosen_by(chosen, &self.steps[at], &names[at])
                || inner[at].as_ref().is_some_and(|name| chosen_by(chosen, &self.steps[at], name))
        };
        for (option, all) in [("--only", &choice.only), ("--skip", &choice.skip)] {
            for chosen in all.clone() {
                if !(0..self.steps.len()).any(|at| self.is_main(at) && fits(&chosen, at)) {
                    let known: Vec<_> = (0..self.steps.len()).filter(|at| self.is_main(*at)).collect();
                    let known: Vec<_> = known.into_iter().map(|at| names[at].as_str()).collect();
                    let help = crate::diagnostic::did_you_mean(&chosen.to_string(), known.iter().copied())
                        .unwrap_or_else(|| {
                            format!("steps are {}; also tag:NAME, owner:NAME", known.join(", "))
                        });
                    let (text, message) = (chosen.to_string(), format!("no step of steps is {chosen}"));
                    let source = crate::diagnostic::Source::new(option, &text);
                    let problem = crate::diagnostic::Problem::new(&source, 0..text.len(), message);
                    self.problems.push(problem.help(help));
                    return;
                }
            }
        }
        let any = |all: &[Chosen], at: usize| all.iter().any(|chosen| fits(chosen, at));
        let skipped: Vec<_> =
            (0..self.steps.len()).filter(|at| self.is_main(*at) && any(&choice.skip, *at)).collect();
        let wanted = (!choice.only.is_empty()).then(|| {
            let chosen = (0..self.steps.len()).filter(|at| self.is_main(*at) && any(&choice.only, *at));
            self.with_needs(chosen.collect())
        });
        for at in skipped {
            self.steps[at].left_out = Some("left out by --skip".to_owned());
        }
        for at in 0..self.steps.len() {
            if self.is_main(at) && wanted.as_ref().is_some_and(|wanted| !wanted.contains(&at)) {
                self.steps[at].left_out.get_or_insert_with(|| "not named by --only".to_owned());
            }
        }
        self.expect_nothing_of_parts();
    }

    /// What is expected of a composite is expected of the whole: not when some of it is left out.
    fn expect_nothing_of_parts(&mut self) {
        for at in 0..self.steps.len() {
            if self.steps[at].left_out.is_none() {
                continue;
            }
            let mut parent = self.steps[at].parent;
            while let Some(outer) = parent {
                self.steps[outer as usize].expect.clear();
                parent = self.steps[outer as usize].parent;
            }
        }
    }

    /// Steps with all that they need: what they wait for, the composites that they are in, and, of a
    /// composite that is chosen as a whole or needed, all steps.
    fn with_needs(&self, chosen: BTreeSet<usize>) -> BTreeSet<usize> {
        let mut children: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (at, step) in self.steps.iter().enumerate() {
            if let Some(parent) = step.parent {
                children.entry(parent).or_default().push(at);
            }
        }
        let mut wanted = BTreeSet::new();
        let mut open: Vec<_> = chosen.into_iter().map(|at| (at, true)).collect();
        while let Some((at, inside)) = open.pop() {
            if inside {
                let inner = index(at).and_then(|at| children.get(&at)).into_iter().flatten();
                open.extend(inner.filter(|c| !wanted.contains(*c)).map(|c| (*c, true)));
            }
            if !wanted.insert(at) {
                continue;
            }
            open.extend(self.steps[at].needs.iter().map(|needed| (*needed as usize, true)));
            open.extend(self.steps[at].parent.map(|parent| (parent as usize, false)));
        }
        wanted
    }

    /// Whether it and all that it is in belong to the test itself.
    fn is_main(&self, at: usize) -> bool {
        let step = &self.steps[at];
        step.phase == Phase::Main && step.parent.is_none_or(|parent| self.is_main(parent as usize))
    }

    /// `device`, `host/device`.
    pub(super) fn short_path(&self, at: usize) -> String {
        let step = &self.steps[at];
        match step.parent {
            Some(parent) => format!("{}/{}", self.short_path(parent as usize), step.name),
            None => step.name.to_string(),
        }
    }
}

fn index(at: usize) -> Option<u32> {
    u32::try_from(at).ok()
}

fn chosen_by(chosen: &Chosen, step: &PlannedStep, name: &str) -> bool {
    match chosen {
        Chosen::Step(wanted) => wanted == name,
        Chosen::Tag(tag) => step.about.tags.contains(tag),
        Chosen::Owner(owner) => step.about.owner.as_ref() == Some(owner),
    }
}
