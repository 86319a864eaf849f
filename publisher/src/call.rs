//! One function as a run: a flow of one step, made in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rfx_flow::diagnostic::{Source, did_you_mean};
use rfx_flow::input::Input;
use rfx_flow::model::Use;
use rfx_flow::{Catalogue, check, input_schema};
use rfx_schemas::name::{Function, Version};
use rfx_schemas::record::FunctionRecord;
use serde_json::{Map, Value, json};

use crate::shelf;
use crate::submit::{Choices, Prepared, SubmitError, prepare};

/// The name of the one step, and of its output.
const STEP: &str = "call";
/// The flow's input and output.
const INPUT: &str = "input";
/// The name of the flow's output.
pub const OUTPUT: &str = "output";

/// What to call, and how.
#[derive(Debug, Clone)]
pub struct Call {
    /// The function, or a flow.
    pub name: Function,
    /// Which version of it; the newest otherwise.
    pub version: Option<Version>,
    /// Secrets to give to it.
    pub secrets: Vec<String>,
    /// Longest time that an attempt may take, as flows write it.
    pub timeout: Option<String>,
    /// The system under test.
    pub target: BTreeMap<String, String>,
}

/// Why there is nothing to call.
#[derive(Debug, thiserror::Error)]
#[error("no pool has {what}; {help}")]
pub struct Unknown {
    what: String,
    help: String,
}

impl Call {
    /// The schema of its input; none where nothing is known of the function.
    pub fn schema(&self, catalogue: &Catalogue, pools: &[PathBuf]) -> Result<Option<Value>, Unknown> {
        let uses = Use { name: self.name.clone(), version: self.version.clone(), at: 0..0 };
        let library = shelf::library(Path::new(""), pools, catalogue);
        if let Some(Ok(flow)) = library.find(&uses).map(|found| found.checked()) {
            // What extends another flow takes what that one takes, which the plan finds out.
            return Ok(flow.flow.extends.is_none().then(|| input_schema(&flow.flow)));
        }
        let named: Vec<_> = catalogue.functions.iter().filter(|f| f.name == self.name).collect();
        let fits = |record: &&&FunctionRecord| self.version.as_ref().is_none_or(|v| *v == record.version);
        match named.iter().filter(fits).max_by_key(|record| record.version.numbers()) {
            Some(record) => Ok(Some(record.input.clone())),
            None if library.find(&uses).is_some() || !catalogue.complete => Ok(None),
            None => Err(self.unknown(&named, catalogue, library.names())),
        }
    }

    fn unknown<'a>(
        &self,
        named: &[&FunctionRecord],
        catalogue: &'a Catalogue,
        flows: impl Iterator<Item = &'a str>,
    ) -> Unknown {
        let mut versions: Vec<_> = named.iter().map(|record| record.version.clone()).collect();
        versions.sort_by_key(Version::numbers);
        versions.dedup();
        if let (Some(version), false) = (&self.version, versions.is_empty()) {
            let all = versions.iter().map(Version::as_str).collect::<Vec<_>>().join(", ");
            let help = format!("it is there in version {all}");
            return Unknown { what: format!("{}@{version}", self.name), help };
        }
        let known = catalogue.functions.iter().map(|f| f.name.as_str());
        let mut help = did_you_mean(self.name.as_str(), known.chain(flows))
            .unwrap_or_else(|| "rfx-publish functions lists what there is".to_owned());
        if !catalogue.broken.is_empty() {
            let broken = catalogue.broken.join("; ");
            help.push_str(&format!("; it may be in a module that does not import: {broken}"));
        }
        Unknown { what: format!("a function {}", self.name), help }
    }

    /// Plans the run.
    pub fn prepare(
        &self,
        input: Input,
        choices: Choices,
        catalogue: &Catalogue,
    ) -> Result<Prepared, SubmitError> {
        let input = input.value();
        let source = Source::new("the flow of this call", &self.flow(&input).to_string());
        let checked = check(source)?;
        let inputs = BTreeMap::from([(INPUT.to_owned(), input.to_string())]);
        prepare(&checked, Path::new(""), &Choices { inputs, ..choices }, catalogue)
    }

    /// The flow. What is given goes by an input, not into the text: there it might be taken for a template.
    fn flow(&self, input: &Value) -> Value {
        let fields = input.as_object().into_iter().flat_map(Map::keys);
        let field = |name: &String| {
            let read = format!("${{{{ inputs.{INPUT}[{}] }}}}", Value::from(name.as_str()));
            (name.clone(), Value::from(read))
        };
        let version = self.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
        let mut step = json!({
            "uses": format!("{}{version}", self.name),
            "with": fields.map(field).collect::<Map<_, _>>(),
        });
        if !self.secrets.is_empty() {
            step["secrets"] = json!(self.secrets);
        }
        if let Some(timeout) = &self.timeout {
            step["timeout"] = json!(timeout);
        }
        let name = format!("call.{}", self.name);
        json!({
            // Runs are listed by it; names have a length that they must keep to.
            "flow": name.parse::<Function>().map_or_else(|_| "call".to_owned(), String::from),
            "inputs": {INPUT: {"type": "object"}},
            "target": self.target,
            "steps": {STEP: step},
            "outputs": {OUTPUT: format!("${{{{ steps.{STEP}.output }}}}")},
        })
    }
}

#[cfg(test)]
mod tests {
    use rfx_schemas::name::Group;

    use super::*;

    fn catalogue() -> Catalogue {
        let record = |version: &str, kind: &str| FunctionRecord {
            input: json!({"type": "object", "properties": {"n": {"type": kind}}, "required": ["n"],
                "additionalProperties": false}),
            ..FunctionRecord::new(
                "t.double".parse().expect("a name"),
                version.parse().expect("a version"),
                "main".parse().expect("a group"),
                "t",
            )
        };
        let fallback: Group = "main".parse().expect("a group");
        let functions = vec![record("9", "string"), record("10", "integer")];
        Catalogue { functions, groups: Vec::new(), fallback, complete: true, broken: Vec::new() }
    }

    fn call(text: &str) -> Call {
        let (name, version) = rfx_schemas::record::parse_use(text).expect("a name");
        Call { name, version, secrets: Vec::new(), timeout: None, target: BTreeMap::new() }
    }

    #[test]
    fn the_newest_version_is_called_unless_another_is_named() {
        let kind = |text: &str| {
            let schema = call(text).schema(&catalogue(), &[]).expect("known").expect("a schema");
            schema["properties"]["n"]["type"].clone()
        };
        assert_eq!((kind("t.double"), kind("t.double@9")), (json!("integer"), json!("string")));
    }

    #[test]
    fn what_is_not_there_says_what_is() {
        let said = |text: &str| call(text).schema(&catalogue(), &[]).expect_err(text).to_string();
        assert_eq!(said("t.duble"), "no pool has a function t.duble; did you mean t.double?");
        assert_eq!(said("t.double@3"), "no pool has t.double@3; it is there in version 9, 10");
    }

    #[test]
    fn what_looks_like_a_template_is_handed_on_as_it_is() {
        let mut input = Input::empty("t.double");
        input.set("n=${{ 1 + 1 }}", &Value::Null).expect("set");
        let call =
            Call { target: [("api".to_owned(), "http://here".to_owned())].into(), ..call("t.double@9") };
        let prepared = call.prepare(input, Choices::default(), &catalogue()).expect("a plan");
        assert_eq!(prepared.plan.flow, "call.t.double");
        assert_eq!(prepared.plan.inputs[INPUT], json!({"n": "${{ 1 + 1 }}"}));
        assert_eq!(prepared.plan.steps[0].with, json!({"n": "${{ inputs.input[\"n\"] }}"}));
        assert_eq!(prepared.plan.target["api"], "http://here");
        assert_eq!(prepared.plan.steps[0].uses(), "t.double@9");
    }
}
