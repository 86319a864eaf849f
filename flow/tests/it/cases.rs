//! The table of cases, played in order and without faults.

#[allow(dead_code, reason = "the run on a real server reads the rest")]
#[path = "../cases/mod.rs"]
pub mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use rfx_flow::diagnostic::Source;
use rfx_flow::{Library, Request, check, plan};
use rfx_schemas::exit;
use rfx_schemas::plan::Plan;

use crate::answer::t_answer;
use crate::common::{nothing_known, run};
use crate::driver::Driver;
use crate::world::{Event, Fate, World};
use table::{Case, Expected};

/// The plan of a case.
pub fn planned(case: &Case) -> Arc<Plan> {
    let mut library = Library::default();
    for (path, text) in table::flows(&table::library()) {
        library.add(Source::new(&path.display().to_string(), &text), None);
    }
    let mut request = Request::default();
    for pair in case.args.chunks(2) {
        let [option, value] = pair else { panic!("{}: options have values", case.name) };
        let chosen = || value.parse().expect("anything goes");
        match option.as_str() {
            "--only" => request.choice.only.push(chosen()),
            "--skip" => request.choice.skip.push(chosen()),
            "--input" => {
                let (name, value) = value.split_once('=').expect("a value");
                request.inputs.insert(name.to_owned(), value.to_owned());
            }
            other => panic!("{}: {other} is not known here", case.name),
        }
    }
    let checked = check(Source::new(&case.name, &case.text)).unwrap_or_else(|e| panic!("{}\n{e}", case.name));
    let planned = plan(&checked, &library, run(), &request, &nothing_known());
    Arc::new(planned.unwrap_or_else(|e| panic!("{}\n{e}", case.name)))
}

/// How the run ended, in the words of the table.
pub fn ended(driver: &Driver, world: &World) -> Vec<Expected> {
    let mut outcomes: BTreeMap<(u32, u32), Vec<String>> = BTreeMap::new();
    for event in &world.events {
        if let Event::Recorded { job, kind, .. } = event {
            outcomes.entry((job.step, job.item)).or_default().push(kind.to_string());
        }
    }
    let step = |at: usize| {
        let jobs = outcomes.iter().filter(|((step, _), _)| *step as usize == at);
        let verdict = driver.state.verdict(at).map(|v| v.to_string()).unwrap_or_default();
        let mut jobs: Vec<_> = jobs.map(|(_, kinds)| kinds.clone()).collect();
        if world.plan.steps[at].parent.is_some() {
            jobs.sort();
        }
        Expected { path: world.plan.path(at), verdict, jobs }
    };
    let mut steps: Vec<_> = (0..world.plan.steps.len()).map(step).collect();
    let mut calls: BTreeMap<String, Expected> = BTreeMap::new();
    for (at, child) in driver.state.children().iter().enumerate() {
        let job = driver.state.child_id(at);
        let path = driver.state.path(job.step as usize);
        let verdict = child.job().verdict().map(|v| v.to_string()).unwrap_or_default();
        let call = || Expected { path: path.clone(), verdict, jobs: Vec::new() };
        let kinds = outcomes.get(&(job.step, 0)).cloned().unwrap_or_default();
        calls.entry(path.clone()).or_insert_with(call).jobs.push(kinds);
    }
    steps.extend(calls.into_values());
    steps
}

/// What the table says, in the order of the plan; inside of composites the order of jobs is that of
/// the facts, so they are compared without.
pub fn expected(case: &Case, plan: &Plan) -> Vec<Expected> {
    let find = |at: usize| {
        let path = plan.path(at);
        let mut step = case.steps.iter().find(|s| s.path == path).cloned();
        if let Some(step) = step.as_mut().filter(|_| plan.steps[at].parent.is_some()) {
            step.jobs.sort();
        }
        step.unwrap_or_else(|| panic!("{}: nothing is said about {path}", case.name))
    };
    let (mut calls, steps): (Vec<_>, Vec<_>) = case.steps.iter().cloned().partition(|s| s.path.contains(' '));
    assert_eq!(steps.len(), plan.steps.len(), "{}: steps that are not in the plan", case.name);
    calls.sort_by(|one, other| one.path.cmp(&other.path));
    (0..plan.steps.len()).map(find).chain(calls).collect()
}

/// Checks that each of the steps that a case names begins when those before it have ended.
pub fn assert_order(case: &Case, world: &World) {
    let path = |step: u32| world.path(step);
    let begins = |wanted: &String| {
        world.events.iter().position(|e| matches!(e, Event::Started { job, .. } if path(job.step) == *wanted))
    };
    let ends = |wanted: &String| {
        world
            .events
            .iter()
            .rposition(|e| matches!(e, Event::Recorded { job, .. } if path(job.step) == *wanted))
    };
    for pair in case.order.windows(2) {
        assert!(ends(&pair[0]) < begins(&pair[1]), "{}: {} before {}", case.name, pair[0], pair[1]);
    }
}

/// Checks all that a case says about a run that has ended.
pub fn assert_case(case: &Case, driver: &Driver, world: &World) {
    assert_eq!(ended(driver, world), expected(case, &world.plan), "{}", case.name);
    let verdict = driver.state.complete().unwrap_or_else(|| panic!("{}: it never ends", case.name));
    assert_eq!(verdict.to_string(), case.verdict, "{}", case.name);
    assert_eq!(i32::from(exit::of_verdict(verdict)), case.exit, "{}", case.name);
    let breaches = driver.state.breaches();
    let breach = breaches.first().and_then(|b| b.split(':').next());
    assert_eq!(breach, case.breach.as_deref(), "{}: {breaches:?}", case.name);
    assert_eq!(driver.state.leaks() as usize, case.leaks, "{}", case.name);
    assert_order(case, world);
}

/// All cases, also those whose jobs call others.
pub fn all() -> impl Iterator<Item = Case> {
    table::all().into_iter().chain(table::calls())
}

/// Plays a run in order, without faults.
fn play(plan: &Arc<Plan>, mut look: impl FnMut(&World)) -> (Driver, World) {
    let mut world = World::new(plan, false, t_answer);
    let mut driver = Driver::new(plan, 100, false);
    while !driver.state.is_finished() {
        driver.act(&mut world, &mut |_| true);
        look(&world);
        if !world.queue.is_empty() {
            world.deliver(0, Fate::Done);
        } else if world.go_on() {
        } else if let Some(timer) = driver.state.next_timer() {
            world.now = world.now.max(timer);
        }
        assert!(driver.read < world.facts.len() || driver.state.next_timer().is_some(), "it stands still");
        driver.read_all(&world);
    }
    (driver, world)
}

#[test]
fn every_case_ends_as_the_table_says() {
    for case in all() {
        let plan = planned(&case);
        let mut most = 0;
        let counted = case.most.as_ref().map(|(path, _)| path.as_str());
        let (driver, world) = play(&plan, |world| {
            let here = |m: &&crate::world::Message| Some(m.path.as_str()) == counted;
            most = most.max(world.queue.iter().filter(here).count());
        });
        assert_case(&case, &driver, &world);
        assert_eq!(most, case.most.as_ref().map_or(0, |(_, most)| *most), "{}", case.name);
    }
}
