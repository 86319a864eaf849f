//! The JSON Schema against real flows: what rfx takes, it takes; what it refuses, rfx refuses too.

use std::path::{Path, PathBuf};

use rfx_flow::diagnostic::Source;
use rfx_flow::{check, schema};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// A flow's text as an editor sees it.
fn read(text: &str) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true, leading_zero_numbers_as_strings: true };
    serde_saphyr::from_str_with_options(text, options).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema::schema()).expect("a schema")
}

/// What the schema says against a flow.
fn errors(validator: &jsonschema::Validator, text: &str) -> Vec<String> {
    let flow = read(text);
    validator.iter_errors(&flow).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// YAML files below a folder of the project.
fn files(folder: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root().join(folder)).into_iter().flatten().filter_map(Result::ok);
    let yaml = entries.map(|entry| entry.path()).filter(|p| p.extension().is_some_and(|e| e == "yaml"));
    yaml.map(|path| (path.display().to_string(), std::fs::read_to_string(&path).expect("text"))).collect()
}

/// Flows in a page's fenced blocks.
fn documented(page: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join(page)).expect("a page");
    let blocks = text.split("\n```yaml").skip(1).filter_map(|rest| rest.split("\n```").next());
    let blocks = blocks.filter_map(|block| block.split_once('\n')).map(|(_, block)| block);
    let flows = blocks.filter(|block| block.lines().any(|line| line.starts_with("flow:")));
    flows.map(|block| (page.to_owned(), block.to_owned())).collect()
}

#[test]
fn the_schema_takes_every_flow_that_there_is() {
    let validator = validator();
    let folders = ["examples/flows", "examples/pool/flows", "flow/tests/cases"];
    let mut all: Vec<_> = folders.into_iter().flat_map(files).collect();
    all.extend(["docs/flows.md", "README.md"].into_iter().flat_map(documented));
    all.retain(|(_, text)| text.lines().any(|line| line.starts_with("flow:")));
    assert!(all.len() > 1, "found {} flows only", all.len());
    for (name, text) in all {
        assert_eq!(errors(&validator, &text), Vec::<String>::new(), "{name}\n{text}");
    }
}

#[test]
fn what_the_schema_refuses_rfx_refuses_too() {
    let validator = validator();
    for (what, text) in [
        ("a key that there is not", "flow: a\nstep: {}\nsteps: { a: { uses: f.a } }\n"),
        ("no name", "steps: { a: { uses: f.a } }\n"),
        ("a name with a minus", "flow: my-flow\nsteps: { a: { uses: f.a } }\n"),
        ("no steps", "flow: a\nsetup: { a: { uses: f.a } }\n"),
        ("no function", "flow: a\nsteps: { a: { with: { n: 1 } } }\n"),
        ("a step with a minus", "flow: a\nsteps: { a-b: { uses: f.a } }\n"),
        ("a duration without its unit", "flow: a\nsteps: { a: { uses: f.a, timeout: 30 } }\n"),
        ("no time at all", "flow: a\nsteps: { a: { uses: f.a, timeout: 0s } }\n"),
        ("a template for an expression", "flow: a\nsteps: { a: { uses: f.a, expect: \"${{ output }}\" } }\n"),
        ("each and matrix", "flow: a\nsteps: { a: { uses: f.a, each: [1], matrix: { b: [1] } } }\n"),
        ("a batch of nothing", "flow: a\nsteps: { a: { uses: f.a, batch: 3 } }\n"),
        ("count and for", "flow: a\nsteps: { a: { uses: f.a, repeat: { count: 3, for: 3s } } }\n"),
        (
            "until and expect_failure",
            "flow: a\nsteps: { a: { uses: f.a, until: output.a, expect_failure: true } }\n",
        ),
        ("polling for nothing", "flow: a\nsteps: { a: { uses: f.a, until: { every: 1s } } }\n"),
        ("more than all", "flow: a\nsteps: { a: { uses: f.a, allow_failure: 120% } }\n"),
        ("no attempt", "flow: a\nsteps: { a: { uses: f.a, retry: { max_attempts: 0 } } }\n"),
        ("a retry of what was lost", "flow: a\nsteps: { a: { uses: f.a, retry: { on: lost } } }\n"),
        ("a failure of another kind", "flow: a\nsteps: { a: { uses: f.a, expect_failure: lost } }\n"),
        ("steps of its own", "flow: a\nextends: f.b\nsteps: { a: { uses: f.a } }\n"),
        ("a type that there is not", "flow: a\ninputs: { n: { type: int } }\nsteps: { a: { uses: f.a } }\n"),
        ("a number for a label", "flow: a\nlabels: { n: 1 }\nsteps: { a: { uses: f.a } }\n"),
        ("a version of letters", "flow: a\nversion: v2\nsteps: { a: { uses: f.a } }\n"),
    ] {
        assert!(!errors(&validator, text).is_empty(), "{what}: the schema takes it\n{text}");
        assert!(check(Source::new("flow.yaml", text)).is_err(), "{what}: rfx takes it\n{text}");
    }
}
