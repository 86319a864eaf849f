//! What plans decide: places, what is left out, what flows inside of flows take over.

use rfx_flow::diagnostic::Source;
use rfx_flow::model::Place;
use rfx_flow::{Catalogue, Choice, Library, LiveGroup, Request, plan};
use rfx_schemas::plan::{Over, Plan};
use rfx_schemas::rules::Retry;
use serde_json::json;

use crate::common::{checked, run, some_functions};

const INNER: &str = "flow: hosts.register\n\
    defaults: { where: { provider: own } }\n\
    inputs: { host: { type: string }, size: { type: integer, default: 1 } }\n\
    steps:\n  one: { uses: f.any }\n  two: { uses: f.any, needs: one, where: { cluster: eu1 } }\n\
    outputs: { host: \"${{ inputs.host }}\" }\n";

fn places() -> Catalogue {
    let group = |name: &str, labels: &[(&str, &str)]| LiveGroup {
        group: name.parse().expect("a group"),
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        pending: 0,
    };
    let groups = vec![
        group("aws-eu1", &[("provider", "aws"), ("cluster", "eu1")]),
        group("aws-us1", &[("provider", "aws"), ("cluster", "us1")]),
        group("own-eu1", &[("provider", "own"), ("cluster", "eu1")]),
    ];
    let known = some_functions();
    let functions = groups.iter().flat_map(|group| {
        known
            .functions
            .iter()
            .map(|f| rfx_schemas::record::FunctionRecord { group: group.group.clone(), ..f.clone() })
    });
    Catalogue { functions: functions.collect(), groups: groups.clone(), ..known }
}

fn planned(text: &str, request: &Request) -> Plan {
    let mut library = Library::default();
    library.add(Source::new("register.yaml", INNER), None);
    let flow = checked(text);
    plan(&flow, &library, run(), request, &places()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn groups(plan: &Plan) -> Vec<(String, String)> {
    let of = |at: usize| Some((plan.path(at), plan.steps[at].call()?.group.to_string()));
    (0..plan.steps.len()).filter_map(of).collect()
}

fn group(plan: &Plan, path: &str) -> String {
    groups(plan).into_iter().find(|(known, _)| known == path).unwrap_or_else(|| panic!("no {path}")).1
}

#[test]
fn a_caller_wins_over_what_is_inside_and_its_defaults_only_fill_gaps() {
    let by_default = planned(
        "flow: x\ndefaults: { where: { provider: aws } }\nsteps:\n  a: { uses: hosts.register, with: { host: h } }\n",
        &Request::default(),
    );
    assert_eq!(group(&by_default, "steps.a/one"), "own-eu1", "the inner flow says own");
    let text =
        "flow: x\nsteps:\n  a: { uses: hosts.register, with: { host: h }, where: { provider: aws } }\n";
    let by_caller = planned(text, &Request::default());
    assert_eq!(group(&by_caller, "steps.a/two"), "aws-eu1", "key by key");
    let us: Place = "cluster=us1".parse().expect("a place");
    let request = Request { places: vec![(Some("a/two".to_owned()), us)], ..Request::default() };
    assert_eq!(group(&planned(text, &request), "steps.a/two"), "aws-us1", "the command line wins over all");
}

#[test]
fn a_flow_is_laid_out_once_for_each_group_that_fits() {
    let text = "flow: x\ninputs: { n: { default: 3 } }\nsteps:\n  a: { uses: f.any, with: { n: \"${{ inputs.n }}\" } }\n  b: { uses: f.any, where: { group: own-eu1 } }\noutputs: { a: \"${{ steps.a.output }}\" }\n";
    let wanted = "provider=aws".parse().expect("a place");
    let plan = planned(text, &Request { each_group: Some(wanted), ..Request::default() });
    let expected = [
        ("steps.aws_eu1/a", "aws-eu1"),
        ("steps.aws_eu1/b", "own-eu1"),
        ("steps.aws_us1/a", "aws-us1"),
        ("steps.aws_us1/b", "own-eu1"),
    ];
    assert_eq!(groups(&plan), expected.map(|(path, group)| (path.to_owned(), group.to_owned())));
    assert_eq!(plan.outputs["aws_us1"], json!("${{ steps.aws_us1.output }}"));
}

#[test]
fn only_keeps_what_is_needed_and_skip_takes_out() {
    let text = "flow: x\nsetup:\n  s: { uses: f.any }\nsteps:\n  a: { uses: f.any, tags: [smoke] }\n  b: { uses: f.any, needs: a }\n  c: { uses: hosts.register, with: { host: h }, owner: storage }\nteardown:\n  t: { uses: f.any }\n";
    let left_out = |only: &[&str], skip: &[&str]| {
        let parse = |all: &[&str]| all.iter().map(|c| c.parse().expect("anything")).collect();
        let choice = Choice { only: parse(only), skip: parse(skip) };
        let plan = planned(text, &Request { choice, ..Request::default() });
        let out = (0..plan.steps.len()).filter(|at| plan.steps[*at].left_out.is_some());
        out.map(|at| plan.path(at)).collect::<Vec<_>>()
    };
    assert_eq!(left_out(&["b"], &[]), ["steps.c", "steps.c/one", "steps.c/two"]);
    assert_eq!(left_out(&["c/two"], &[]), ["steps.a", "steps.b"], "one is needed by two");
    assert_eq!(left_out(&["tag:smoke"], &[]), ["steps.b", "steps.c", "steps.c/one", "steps.c/two"]);
    assert_eq!(left_out(&[], &["owner:storage", "a"]), ["steps.a", "steps.c"]);
}

#[test]
fn a_function_is_extended_by_defaults_and_asks_for_the_rest() {
    let mut library = Library::default();
    let small =
        "flow: tenants.small\nextends: tenants.create\ninputs: { size: { type: integer, default: 1 } }\n";
    library.add(Source::new("small.yaml", small), None);
    let flow = checked(
        "flow: x\nsteps:\n  a: { uses: tenants.small, with: { name: t } }\n  b: { uses: f.any, with: { v: \"${{ steps.a.output.id }}\" } }\n",
    );
    let plan = plan(&flow, &library, run(), &Request::default(), &places()).expect("right");
    let composite = plan.steps[0].flow().expect("a flow");
    assert_eq!(composite.extends, ["tenants.create"]);
    assert_eq!(
        composite.inputs.keys().collect::<Vec<_>>(),
        ["name", "size"],
        "what the function asks for, too"
    );
    assert_eq!(composite.output, json!("${{ steps.call.output }}"), "it gives what the function gives");
    assert_eq!(plan.steps[1].uses(), "tenants.create@1");
}

#[test]
fn jobs_are_counted_where_lists_are_known_before_the_run() {
    let text = "flow: x\ninputs: { n: { default: [1, 2, 3] } }\nsteps:\n  a: { uses: f.any, each: \"${{ inputs.n }}\" }\n  b: { uses: f.any, matrix: { x: \"${{ inputs.n }}\", y: [1, 2] }, batch: 4 }\n  c: { uses: f.any, each: \"${{ steps.a.output }}\" }\n  d: { uses: hosts.register, each: [p, q], with: { host: \"${{ item }}\" } }\n  e: { uses: f.any, repeat: { for: 1m } }\n";
    let plan = planned(text, &Request::default());
    let jobs: Vec<_> = plan.steps.iter().map(|step| step.jobs).collect();
    assert_eq!(jobs, [Some(3), Some(2), None, Some(2), Some(2), Some(2), None]);
    assert!(matches!(plan.steps[6].over, Over::For(_)));
}

#[test]
fn the_target_as_a_whole_is_a_map() {
    let mut library = Library::default();
    let inner = "flow: inner\ninputs: { all: { type: object } }\nsteps:\n  a: { uses: f.any }\n";
    library.add(Source::new("inner.yaml", inner), None);
    let text = "flow: x\ntarget: { api: \"http://a\" }\nsteps:\n  a: { uses: inner, with: { all: \"${{ target }}\" } }\n";
    let planned = plan(&checked(text), &library, run(), &Request::default(), &places());
    planned.unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn versions_of_a_flow_have_data_of_their_own() {
    let flow = |version: &str| {
        checked(&format!("flow: x\nversion: {version}\nsteps:\n  a: {{ uses: f.any }}\n")).flow
    };
    let set = "hosts".parse().expect("a name");
    assert_ne!(rfx_flow::data_key(&flow("1"), &set), rfx_flow::data_key(&flow("2"), &set));
}

#[test]
fn what_a_function_says_of_itself_goes_before_the_flow_and_behind_the_step() {
    let mut known = some_functions();
    let record = &mut known.functions[0];
    let retry = |max_attempts| Retry { max_attempts, ..Retry::default() };
    (record.retry, record.secrets) = (Some(retry(5)), vec!["TOKEN".to_owned(), "KEY".to_owned()]);
    let text = "flow: x\ndefaults: { retry: { max_attempts: 2 } }\nsteps:\n\
        \x20 own: { uses: f.any, secrets: [TOKEN, MORE], retry: { max_attempts: 3 } }\n\
        \x20 its: { uses: f.any }\n  flows: { uses: stock.count }\n";
    let plan = plan(&checked(text), &Library::default(), run(), &Request::default(), &known);
    let plan = plan.unwrap_or_else(|problems| panic!("{problems}"));
    let calls: Vec<_> = plan.steps.iter().filter_map(|step| step.call()).collect();
    assert_eq!(calls.iter().map(|call| call.retry.max_attempts).collect::<Vec<_>>(), [3, 5, 2]);
    assert_eq!(calls[0].secrets, ["TOKEN", "MORE", "KEY"]);
    assert_eq!(calls[1].secrets, ["TOKEN", "KEY"]);
}
