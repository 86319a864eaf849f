//! The fold under the broker's freedoms: facts late and repeated, drivers restarted or doubled at any
//! point, workers that die at any point, cancels and deadlines. Over random flows, and over each flow
//! of the table, the invariants hold (see `ARCHITECTURE.md`).

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rfx_flow::diagnostic::Source;
use rfx_flow::{Library, Request, plan};
use rfx_schemas::fact::Cause;
use rfx_schemas::plan::Plan;

use crate::answer::{by_seed, t_answer};
use crate::cases;
use crate::checks;
use crate::common::{checked, nothing_known, run};
use crate::driver::Driver;
use crate::random::{Flows, flows};
use crate::undos;
use crate::world::{Fate, World};

/// Turns without faults after which a run must have ended.
const BOUND: usize = 3_000;

/// How the world behaves.
#[derive(Debug, Clone)]
struct Script {
    /// What happens: which kind of thing, to which one, and how.
    moves: Vec<(u8, u8, u8)>,
    window: usize,
    drivers: usize,
    hides: bool,
    /// Whether somebody may end the run early.
    cancels: bool,
    /// At which delivery a worker does not die any more.
    deaths: u32,
}

fn script(cancels: bool) -> impl Strategy<Value = Script> {
    let moves = prop::collection::vec((0u8..64, any::<u8>(), any::<u8>()), 0..120);
    (moves, 1usize..12, 1usize..3, any::<bool>()).prop_map(move |(moves, window, drivers, hides)| Script {
        moves,
        window,
        drivers,
        hides,
        cancels,
        deaths: 7,
    })
}

/// A world with its drivers.
struct Simulation {
    world: World,
    drivers: Vec<Driver>,
    script: Script,
}

impl Simulation {
    fn new(world: World, script: &Script) -> Self {
        let two = script.drivers > 1;
        let driver = |n| Driver::new(&world.plan, script.window, two || n > 0);
        let drivers = (0..script.drivers).map(driver).collect();
        let mut simulation = Self { world, drivers, script: script.clone() };
        simulation.world.deaths = script.deaths;
        simulation
    }

    /// The script, and then everything in order until the run has ended.
    fn run(mut self) -> Result<Self, TestCaseError> {
        let moves = std::mem::take(&mut self.script.moves);
        for (kind, which, how) in moves {
            self.step(kind, usize::from(which), how);
        }
        for _ in 0..BOUND {
            if self.drivers.iter().all(|driver| driver.state.is_finished()) {
                break;
            }
            self.calm();
        }
        prop_assert!(self.drivers.iter().all(|driver| driver.state.is_finished()), "the run never ends");
        // What is still under way ends after the run.
        while !self.world.held.is_empty() {
            self.world.end_held(0, false);
        }
        while !self.world.queue.is_empty() {
            self.world.deliver(0, Fate::Done);
        }
        Ok(self)
    }

    /// One thing that may happen.
    fn step(&mut self, kind: u8, which: usize, how: u8) {
        let who = which % self.drivers.len();
        match kind {
            0 => self.drivers[who] = Driver::takes_over(&self.world, self.script.window),
            1 if self.script.cancels && how < 80 => self.world.cancel(Cause::Asked),
            1 if self.script.cancels && how < 120 => self.world.cancel(Cause::Deadline),
            2..=5 => self.world.wait(Duration::from_millis(u64::from(how) * 10)),
            6..=9 if self.drivers[who].read > 0 => {
                let (fact, at) = self.world.facts[which % self.drivers[who].read].clone();
                self.drivers[who].state.apply(&fact, at);
            }
            10..=24 => self.drive(who, usize::from(how % 5), how),
            25..=34 => self.drive(who, usize::MAX, how),
            35..=40 if !self.world.held.is_empty() => {
                let held = which % self.world.held.len();
                self.world.end_held(held, how < 60);
            }
            _ if !self.world.queue.is_empty() => {
                let fate = match how {
                    0..=24 => Fate::DiesBefore,
                    25..=49 => Fate::DiesAfter,
                    50..=74 => Fate::Slow,
                    75..=99 => Fate::Lapsed,
                    _ => Fate::Done,
                };
                self.world.deliver(which % self.world.queue.len(), fate);
            }
            _ => {}
        }
    }

    /// A driver reads some facts and does what follows; it may die while it ends the run.
    fn drive(&mut self, who: usize, facts: usize, how: u8) {
        let driver = &mut self.drivers[who];
        driver.read(&self.world, facts);
        let mut left = how % 16;
        let mut lives = |world: &mut World| {
            // Meanwhile workers go on.
            if left.is_multiple_of(3) && !world.held.is_empty() {
                world.end_held(0, left.is_multiple_of(2));
            }
            left = left.saturating_sub(1);
            left > 0 || how < 128
        };
        if !driver.act(&mut self.world, &mut lives) {
            *driver = Driver::takes_over(&self.world, self.script.window);
        }
    }

    /// Nothing goes wrong.
    fn calm(&mut self) {
        for driver in &mut self.drivers {
            driver.read_all(&self.world);
            driver.act(&mut self.world, &mut |_| true);
            driver.read_all(&self.world);
        }
        if !self.world.queue.is_empty() {
            self.world.deliver(0, Fate::Done);
        } else if self.world.go_on() {
        } else if let Some(timer) = self.drivers.iter().filter_map(|d| d.state.next_timer()).min() {
            self.world.now = self.world.now.max(timer);
        }
    }

    /// All that must hold.
    fn check(&self) -> Result<(), TestCaseError> {
        checks::executed_again_only_if_not_recorded(&self.world)?;
        for driver in &self.drivers {
            checks::one_verdict_each(&driver.state)?;
            checks::teardown_comes_last(&self.world, &driver.state)?;
            undos::each_is_undone_in_reverse(&self.world, &driver.state)?;
        }
        checks::readers_agree(&self.world, &self.drivers)
    }
}

fn planned(texts: &[String; 3]) -> Arc<Plan> {
    let mut library = Library::default();
    for text in &texts[1..] {
        library.add(Source::new("lib.yaml", text), None);
    }
    let planned = plan(&checked(&texts[0]), &library, run(), &Request::default(), &nothing_known());
    planned.unwrap_or_else(|problems| panic!("{problems}")).into()
}

/// How many random flows are run.
fn cases(of: u32) -> ProptestConfig {
    let wanted = std::env::var("RFX_SIM_CASES").ok().and_then(|n| n.parse().ok());
    let cases = wanted.unwrap_or(2_000) / of;
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn invariants(flows: &Flows, seed: u64, script: &Script) -> Result<(), TestCaseError> {
    let texts = flows.texts(true);
    let plan = planned(&texts);
    let world = World::new(&plan, script.hides, move |plan, message| by_seed(seed, plan, message));
    let checked = Simulation::new(world, script).run().and_then(|simulation| simulation.check());
    checked.map_err(|error| TestCaseError::fail(format!("{error}\n{}", texts.join("\n"))))
}

/// The table, planned once.
static TABLE: LazyLock<Vec<(cases::table::Case, Arc<Plan>)>> = LazyLock::new(|| {
    let planned = |case| {
        let plan = cases::planned(&case);
        (case, plan)
    };
    cases::all().map(planned).collect()
});

/// Ways through each flow of the table.
fn ways() -> ProptestConfig {
    ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(ways())]

    #[test]
    fn every_case_ends_as_the_table_says_whatever_dies_and_is_repeated(script in script(false)) {
        for (case, plan) in TABLE.iter() {
            let world = World::new(plan, script.hides, t_answer);
            let script = Script { deaths: 3, ..script.clone() };
            let simulation = Simulation::new(world, &script).run()?;
            simulation.check()?;
            simulation.drivers.iter().for_each(|driver| cases::assert_case(case, driver, &simulation.world));
        }
    }
}

proptest! {
    #![proptest_config(cases(3))]

    #[test]
    fn the_invariants_hold_whatever_dies_and_is_repeated(flows in flows(), seed in any::<u64>(), script in script(false)) {
        invariants(&flows, seed, &script)?;
    }

    #[test]
    fn other_interleavings_give_the_same_verdicts(flows in flows(), seed in any::<u64>(), script in script(false)) {
        let texts = flows.texts(false);
        let plan = planned(&texts);
        let ended = |script: &Script| {
            let world = World::new(&plan, false, move |plan, message| by_seed(seed, plan, message));
            let simulation = Simulation::new(world, script).run()?;
            Ok(checks::verdicts(&simulation.drivers[0].state))
        };
        // In order; and as the script has it, with workers that die, but not so often that a job is poison.
        let calm = Script { moves: Vec::new(), window: 1_000, drivers: 1, ..script.clone() };
        let other = Script { deaths: 3, hides: false, ..script };
        let ended: Result<Vec<_>, TestCaseError> = [calm, other].iter().map(ended).collect();
        let ended = ended?;
        prop_assert_eq!(&ended[0], &ended[1], "{}", texts.join("\n"));
    }

    #[test]
    fn a_run_that_is_ended_early_keeps_them_too(flows in flows(), seed in any::<u64>(), script in script(true)) {
        invariants(&flows, seed, &script)?;
    }
}
