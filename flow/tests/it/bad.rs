//! Wrong flows: each is refused with its place, the text marked, the reason and the way out. How that
//! looks is kept in snapshots.

use std::path::Path;

use rfx_flow::diagnostic::{Problems, Source};
use rfx_flow::{Library, Request, check, plan};

use crate::common::{run, some_functions};

/// File in `tests/bad`, `line:column` of the first problem, and parts of its message and of a help.
const BAD: &[(&str, &str, &str, &str)] = &[
    ("matrix_of_nothing", "3:29", "the matrix has no combinations", "exclude less, or take the step out"),
    ("gate_out_of_reach", "4:1", "min_jobs asks for 5 jobs, and there are 2 at most", "ask for fewer"),
    ("no_such_verdict", "4:25", "no verdict is \"pased\"", "did you mean passed?"),
    (
        "exclude_by_nothing",
        "3:29",
        "the matrix has no list size to exclude by",
        "exclude by names of the matrix's lists",
    ),
    ("reserved_name", "1:7", "rfx.echo is a name of rfx itself", "take another one"),
    ("unknown_flow_key", "2:1", "unknown key \"stpes\" in a flow", "did you mean steps?"),
    ("no_name", "1:1", "the flow has no name", "start with flow: my_flow"),
    ("no_steps", "1:7", "the flow has no steps", "add steps:"),
    ("steps_as_list", "3:3", "expected a map of steps, got a list", "my_step: { uses: … }"),
    ("unknown_step_key", "3:21", "unknown key \"timout\" in a step", "did you mean timeout?"),
    ("no_uses", "3:3", "step a does not say which function it uses", "add uses: my.function"),
    ("name_with_minus", "3:3", "CEL reads my-step as minus", "write my_step"),
    ("key_twice", "4:3", "duplicate", "check indentation"),
    ("not_yaml", "4:4", "this is not the YAML that flows use", "check indentation, quotes and brackets"),
    ("yes_is_a_text", "3:36", "expected true or false, got a text", "write it as true"),
    ("number_for_duration", "2:22", "expected a duration with its unit, got a number", "write it as 30s"),
    ("no_duration", "3:30", "\"soon\" is not a duration above zero", "30s, 1m 30s or 2h"),
    ("retry_as_number", "3:28", "expected a map, got a number", "max_attempts: …"),
    ("retry_on_lost", "3:60", "what was lost has a budget of its own", "lost: 3, in retry"),
    ("no_share", "3:50", "\"half\" is not a count or a share", "0% to 100%"),
    ("each_and_matrix", "3:32", "a step has each or matrix, not both", "all combinations"),
    ("matrix_of_a_number", "3:35", "expected a list, got a number", "[linux, windows]"),
    ("repeat_says_nothing", "3:29", "repeat does not say how often", "add count: 10, or for: 5m"),
    ("batch_without_list", "3:21", "batch without a list to take items from", "add each"),
    ("until_without_expect", "3:28", "until does not say what to wait for", "add expect: output.done"),
    ("until_and_expect_failure", "3:41", "cannot be expected to fail", "take until or expect_failure out"),
    ("needs_nothing", "4:29", "step a needs prepaer, which is no step of steps", "did you mean prepare?"),
    ("needs_each_other", "3:3", "steps wait for each other: a → b → c → a", "take one of the needs"),
    (
        "reads_what_runs_later",
        "3:38",
        "setup.up cannot read steps.a, which runs after it",
        "setup reads setup",
    ),
    (
        "item_without_each",
        "3:37",
        "there is no item to read here",
        "only a step with each, matrix or repeat has items",
    ),
    ("item_with_batch", "3:61", "there is no item to read here", "with batch, items is the list of them"),
    ("output_in_with", "3:37", "there is no output to read here", "name the step: steps.my_step.output"),
    ("unknown_input", "4:32", "there is no input host", "did you mean hosts?"),
    (
        "unknown_field_of_a_step",
        "4:37",
        "a step has output and verdict, not steps.a.outputs.id",
        "write steps.a.output",
    ),
    ("marks_around_a_bare_expression", "3:29", "this key takes a bare expression", "leave out ${{ and }}"),
    ("expression_cut_off", "3:40", "this expression cannot be read", "https://cel.dev"),
    ("unknown_cel_function", "3:29", "there is no function lenght", "size, contains"),
    ("expects_nothing", "3:29", "this expectation reads nothing", "compare something with it"),
    ("never_runs", "3:25", "step a never runs", "take the step out"),
    ("no_jobs", "3:27", "step a has no jobs", "give it items"),
    ("each_is_no_list", "3:27", "each must be a list, this is 5", "for a list from elsewhere"),
    (
        "shared_state",
        "4:29",
        "a and b may run at the same time, and both use the state inventory",
        "needs: a",
    ),
    ("shared_state_of_functions", "4:14", "both use the state stock", "needs: a"),
    ("unknown_function", "3:14", "no pool has a function tenants.craete", "did you mean tenants.create?"),
    (
        "version_not_served",
        "3:14",
        "tenants.create@7 is not served in group local",
        "versions served there: 1",
    ),
    ("parameter_missing", "3:14", "tenants.create needs name, a text", "add it: with: { name: … }"),
    ("parameter_unknown", "3:48", "tenants.create takes no sice", "did you mean size?"),
    (
        "parameter_of_wrong_type",
        "3:38",
        "name of tenants.create: expected a text, got",
        "rfx-publish functions show tenants.create",
    ),
    (
        "output_of_wrong_type",
        "5:38",
        "name of tenants.create: expected a text, got a whole number",
        "rfx-publish functions show",
    ),
    ("output_without_field", "5:37", "setup.t.output has no field ident", "it has id, size"),
    ("output_that_is_no_list", "5:27", "each must be a list, this is a map with id, size", "name a list"),
    (
        "default_of_wrong_type",
        "2:40",
        "input n: the default \"3\" is not of type integer",
        "change the type or the default",
    ),
    (
        "retry_of_a_flow",
        "3:49",
        "hosts.register is a flow, and takes no retry",
        "say retry on the steps inside it",
    ),
    ("input_of_a_flow_unknown", "3:14", "hosts.register needs host, a text", "add it"),
    ("flow_uses_itself", "3:14", "a flow uses itself: round → round", "give it an end"),
    (
        "extends_with_steps",
        "3:1",
        "a flow that extends another one takes no steps",
        "it takes the steps over",
    ),
    ("extends_unknown_input", "3:11", "hosts.register has no input hots", "did you mean host?"),
    ("gate_of_words", "4:21", "\"none\" is not a count or a share", "did you mean min_jobs?"),
    ("several_at_once", "2:22", "\"int\" is not a type of input", "did you mean uses?"),
];

fn problems(name: &str) -> Problems {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad").join(format!("{name}.yaml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut library = Library::default();
    for (file, text) in [
        (
            "register.yaml",
            "flow: hosts.register\ninputs: { host: { type: string } }\nsteps:\n  a: { uses: f.any }\n",
        ),
        ("again.yaml", "flow: round.again\nsteps:\n  b: { uses: round }\n"),
        ("round.yaml", "flow: round\nsteps:\n  a: { uses: round.again }\n"),
    ] {
        library.add(Source::new(file, text), None);
    }
    match check(Source::new(&format!("{name}.yaml"), &text)) {
        Err(problems) => problems,
        Ok(checked) => plan(&checked, &library, run(), &Request::default(), &some_functions())
            .expect_err(&format!("{name} is wrong")),
    }
}

#[test]
fn each_is_refused_with_place_reason_and_help() {
    assert!(BAD.len() >= 40);
    let mut wrong = Vec::new();
    for (name, place, says, helps) in BAD {
        let problems = problems(name);
        let shown = problems.render(false);
        let mut expect = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{name}: {what}\n{shown}"));
            }
        };
        expect(shown.starts_with(&format!("{name}.yaml:{place}:\n")), &format!("{place} is not where"));
        for part in [says, helps] {
            expect(shown.contains(part), &format!("{part:?} is not in"));
        }
        let (all, helped) = (problems.iter().count(), shown.matches("  help: ").count());
        expect(all == helped, "not every problem has a help");
        expect(shown.matches("╭─[").count() >= all, "nothing is marked");
        insta::assert_snapshot!(*name, shown);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_has_its_line_in_the_table() {
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad")).expect("a folder");
    let names =
        files.map(|file| file.expect("a file").path().file_stem().expect("a name").display().to_string());
    let known: Vec<_> = BAD.iter().map(|(name, ..)| (*name).to_owned()).collect();
    for name in names {
        assert!(known.contains(&name), "{name}.yaml is not in the table");
    }
}
