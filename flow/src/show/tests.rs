//! One plan with everything in all renderings, and the rules of the longest path.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use rfx_schemas::plan::{Does, Phase, Plan, PlannedStep, SubFlow};

use super::*;
use crate::diagnostic::Source;
use crate::{Catalogue, Library, Request, check};

const HOST: &str = "flow: hosts.check\nversion: 2\nextends: hosts.base\n";
const BASE: &str = "flow: hosts.base\n\
    inputs: { apps: { type: array } }\n\
    setup:\n  login: { uses: f.login }\n\
    steps:\n  seen: { uses: apps.seen, matrix: { app: \"${{ inputs.apps }}\", size: [1, 2] }, with: { login: \"${{ setup.login.output }}\" } }\n\
    teardown:\n  logout: { uses: f.logout }\n";
const SEEN: &str = "flow: apps.seen\n\
    inputs: { login: { required: false } }\n\
    steps:\n\
    \x20 report: { uses: f.report, with: { of: \"${{ steps.look.output }}\" } }\n\
    \x20 look: { uses: f.look, until: { expect: output.ready, every: 2s, within: 1m } }\n";
const MAIN: &str = "flow: fleet\ndescription: |\n  Checks the fleet.\n  Twice.\n\
    inputs: { deep: { type: boolean, default: true } }\n\
    setup:\n  tenant: { uses: tenants.create@1, where: { group: eu-1 }, queue: slow }\n\
    steps:\n\
    \x20 sum: { uses: f.sum, needs: host, if: 'inputs.deep && \"<b>\" != \"`end`; %%{x}\"', allow_failure: 10% }\n\
    \x20 host: { uses: hosts.check, each: [1, 2, 3], max_parallel: 2, with: { apps: [a, b] } }\n\
    \x20 load: { uses: f.load, repeat: { for: 5m }, max_parallel: 4 }\n\
    \x20 rows: { uses: f.row, each: \"${{ setup.tenant.output.rows }}\", batch: 10, retry: { max_attempts: 3 }, timeout: 90s, with: { rows: \"${{ items }}\" } }\n\
    \x20 off: { uses: f.off }\n\
    on_failure:\n  logs: { uses: f.logs }\n\
    teardown:\n  drop: { uses: tenants.drop, with: { id: \"${{ setup.tenant.output.id }}\" } }\n";

fn planned(text: &str, request: &Request) -> Plan {
    let mut library = Library::default();
    for (name, text) in [("host.yaml", HOST), ("base.yaml", BASE), ("seen.yaml", SEEN)] {
        library.add(Source::new(name, text), None);
    }
    let checked = check(Source::new("flow.yaml", text)).unwrap_or_else(|problems| panic!("{problems}"));
    let run = "0190b5b2-7c1e-7abc-8def-0123456789ab".parse().expect("a run id");
    let fallback = "local".parse().expect("a group");
    let catalogue = Catalogue {
        functions: Vec::new(),
        groups: Vec::new(),
        fallback,
        complete: false,
        broken: Vec::new(),
    };
    crate::plan(&checked, &library, run, request, &catalogue).unwrap_or_else(|problems| panic!("{problems}"))
}

fn fleet() -> Plan {
    let choice = crate::Choice { skip: vec!["off".parse().expect("a step")], ..Default::default() };
    planned(MAIN, &Request { choice, ..Request::default() })
}

static FLEET: LazyLock<Plan> = LazyLock::new(fleet);

#[test]
fn a_plan_with_everything_as_a_tree() {
    insta::assert_snapshot!("tree", tree(&fleet()));
}

#[test]
fn a_plan_with_everything_as_a_picture() {
    insta::assert_snapshot!("mermaid", mermaid(&fleet()));
}

#[test]
fn a_plan_with_everything_as_rows() {
    let lines: Vec<_> = rows(&fleet()).iter().map(|row| row.join(" | ")).collect();
    insta::assert_snapshot!("rows", format!("{}\n{}", HEADER.join(" | "), lines.join("\n")));
}

#[test]
fn the_same_flow_gives_the_same_bytes() {
    assert_eq!(json(&fleet()), json(&fleet()));
    assert_eq!(serde_json::from_str::<Plan>(&json(&fleet())).expect("a plan"), fleet());
    assert!(!json(&fleet()).contains("0123456789ab"), "no run's id");
}

#[test]
fn durations_are_written_as_flows_write_them() {
    let written = [0, 90_000, 600_000, 5_400_000, 86_400_000, 1_500, 20].map(Duration::from_millis).map(took);
    assert_eq!(written, ["0s", "1m 30s", "10m", "1h 30m", "24h", "1s 500ms", "20ms"]);
    let roughly = |micros| took(rounded(Duration::from_micros(micros)));
    assert_eq!([12_345_678, 1_234_567, 400].map(roughly), ["12s", "1s 235ms", "0s"]);
    assert!(!took(Duration::MAX).is_empty());
}

/// The path by the names that people use.
fn named(plan: &Plan, millis: &[(&str, u64)]) -> (Vec<String>, u64) {
    let known = |at: usize| millis.iter().find(|(name, _)| *name == plan.path(at)).map(|(_, ms)| *ms);
    let path = longest_path(plan, |at| known(at).map(Duration::from_millis));
    (path.steps.iter().map(|at| plan.path(*at)).collect(), path.total.as_millis() as u64)
}

#[test]
fn the_longest_path_is_by_time_then_by_number_of_steps() {
    let plan = fleet();
    let host = ["steps.host/setup.login", "steps.host/seen/look", "steps.host/seen/report"];
    let through_host =
        [&["setup.tenant"], &host[..], &["steps.host/teardown.logout", "steps.sum", "teardown.drop"]]
            .concat();
    assert_eq!(named(&plan, &[]), (through_host.iter().map(|s| (*s).to_owned()).collect(), 0));
    let times = [("setup.tenant", 10), ("steps.load", 100), ("steps.sum", 99), ("on_failure.logs", 900)];
    let short = ["setup.tenant", "steps.load", "teardown.drop"].map(str::to_owned);
    assert_eq!(named(&plan, &times), (short.to_vec(), 110));
    let overlapping = [("steps.host/seen/look", 70), ("steps.host/seen/report", 60), ("steps.host", 75)];
    assert_eq!(named(&plan, &overlapping).1, 75, "executions of a composite overlap");
    assert_eq!(named(&plan, &[("steps.off", 900)]).1, 0, "it is left out");
    let line = path_line(&plan, &longest_path(&plan, |_| None));
    assert!(line.starts_with("longest path: 7 steps, setup.tenant → steps.host/setup.login → "), "{line}");
}

/// A plan of steps told by small numbers: phase, whether it is a composite, which composite it is in,
/// which others it needs. Needs point backwards, or all forwards.
fn any_plan() -> impl Strategy<Value = Plan> {
    let step = (0..4_usize, prop::bool::weighted(0.3), any::<prop::sample::Index>(), any::<u16>());
    let bare = planned("flow: x\nsteps:\n  a: { uses: f.a }\n", &Request::default());
    (prop::collection::vec(step, 1..16), any::<bool>()).prop_map(move |(shapes, forwards)| {
        let one = bare.steps[0].clone();
        let inside = SubFlow {
            hands_on: false,
            uses: "f.x".parse().expect("a name"),
            version: None,
            extends: Vec::new(),
            inputs: Default::default(),
            data: Default::default(),
            output: serde_json::Value::Null,
        };
        let mut steps: Vec<PlannedStep> = Vec::new();
        for (at, (phase, composite, parent, _)) in shapes.iter().enumerate() {
            let composites = (0..at).filter(|at| shapes[*at].1).map(|at| Some(at as u32));
            let parents: Vec<_> = std::iter::once(None).chain(composites).collect();
            let does = if *composite { Does::Flow(inside.clone()) } else { one.does.clone() };
            let name = format!("s{at}").parse().expect("a name");
            let phase = Phase::ALL[*phase];
            steps.push(PlannedStep { name, phase, parent: *parent.get(&parents), does, ..one.clone() });
        }
        for (at, (.., bits)) in shapes.iter().enumerate() {
            let others = if forwards { at + 1..steps.len() } else { 0..at };
            let may = |other: &usize| {
                let (step, other) = (&steps[at], &steps[*other]);
                step.parent == other.parent && step.phase >= other.phase
            };
            let needs = others.filter(may).filter(|other| bits >> other & 1 == 1);
            steps[at].needs = needs.map(|other| other as u32).collect();
        }
        Plan { steps, ..bare.clone() }
    })
}

/// A step and the composites that it is in, the outermost first.
fn chain(plan: &Plan, at: usize) -> Vec<usize> {
    let mut chain = plan.steps[at].parent.map_or_else(Vec::new, |parent| chain(plan, parent as usize));
    chain.push(at);
    chain
}

/// Whether `later` can only begin when `earlier` has ended.
fn follows(plan: &Plan, earlier: usize, later: usize) -> bool {
    let (a, b) = (chain(plan, earlier), chain(plan, later));
    let Some((a, b)) = a.into_iter().zip(b).find(|(a, b)| a != b) else { return false };
    let (mut open, mut seen) = (vec![b], BTreeSet::new());
    while let Some(at) = open.pop() {
        if seen.insert(at) {
            open.extend(plan.steps[at].needs.iter().map(|needed| *needed as usize));
        }
    }
    seen.contains(&a) || plan.steps[a].phase < plan.steps[b].phase
}

proptest! {
    #[test]
    fn the_longest_path_keeps_its_rules(plan in any_plan(), times in prop::collection::vec(0..9_u64, 16)) {
        let time = |at: usize| plan.steps[at].call().map(|_| Duration::from_secs(times[at]));
        let path = longest_path(&plan, time);
        let calls: Vec<_> = counting(&plan).collect();
        let sum = |steps: &[usize]| steps.iter().filter_map(|at| time(*at)).sum::<Duration>();
        prop_assert_eq!(path.total, sum(&path.steps));
        prop_assert!(path.total <= sum(&calls));
        prop_assert!(path.steps.iter().all(|at| calls.contains(at)));
        for pair in path.steps.windows(2) {
            prop_assert!(follows(&plan, pair[0], pair[1]), "{:?} does not follow", pair);
        }
        for at in &calls {
            prop_assert!(path.total >= sum(&[*at]));
            for before in calls.iter().filter(|before| follows(&plan, **before, *at)) {
                prop_assert!(path.total >= sum(&[*before, *at]));
            }
        }
        let longest = longest_path(&plan, |_| None).steps.len();
        prop_assert!(longest >= path.steps.len());
    }

    #[test]
    fn renderings_lose_no_step(plan in any_plan()) {
        let (tree, chart) = (tree(&plan), mermaid(&plan));
        for (at, step) in plan.steps.iter().enumerate() {
            let shown = tree.contains(&format!("{}: {}", step.name, step.uses()));
            prop_assert!(shown, "{} is not in the tree", step.name);
            let frame = if step.flow().is_some() { "subgraph " } else { "" };
            let needle = format!("{frame}s{at}[\"");
            prop_assert_eq!(chart.matches(&needle).count(), 1);
        }
        let opened = chart.matches("subgraph").count();
        prop_assert_eq!(opened, chart.lines().filter(|line| line.trim() == "end").count());
    }

    #[test]
    fn no_text_breaks_the_picture(text in "\\PC{0,40}|[\"`#;%{}<>\\[\\]\\\\\n\r\t:]{0,20}") {
        let mut plan = FLEET.clone();
        plan.steps[1].condition = Some(text);
        let (chart, known) = (mermaid(&plan), mermaid(&FLEET));
        prop_assert_eq!(chart.lines().count(), known.lines().count());
        for line in chart.lines() {
            prop_assert!(matches!(line.matches('"').count(), 0 | 2), "{}", line);
            prop_assert!(!line.contains('`') && !line.contains("%%"), "{}", line);
        }
        prop_assert_eq!(tree(&plan).lines().count(), tree(&FLEET).lines().count());
    }
}
