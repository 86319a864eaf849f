//! The table of flows: each file beside this one is a flow, whose first comment says how it ends.
//! Unit tests, the simulation and a run on a real server read the same files.
//!
//! All steps use the function `t.answer`, whose input says what it answers: attempt n answers with
//! the n-th of `kinds` (the last one for all that follow; `passed` without any), and gives back
//! `output`, or the n-th of `outputs`.
//!
//! `# run: failed, exit 1` is the verdict and the exit code; `# args:` what the command line says
//! besides; `# order:` steps of which each begins when those named before it have ended; `# most:
//! PATH N` how many jobs of a step may be out at once; `# breach:` what the gate complains about.
//! Then each step of the plan: `# PATH: VERDICT | OUTCOMES; OUTCOMES`, the outcomes of the attempts of
//! each job, in order; a composite has none of its own.
//!
//! The flows in `calls` have jobs that call `t.answer` in turn, with each of the inputs in `calls`, and
//! say what undoes them by those in `undos`. Their paths say where they are from:
//! `steps.a/call-1 t.answer`. `# leaks: 1` is how many of the undos did not pass.

use std::path::{Path, PathBuf};

/// A flow and how it ends.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// Its file's name, without the ending.
    pub name: String,
    /// The flow.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// What the command line says besides.
    pub args: Vec<String>,
    /// The verdict of the run.
    pub verdict: String,
    /// The exit code of the command.
    pub exit: i32,
    /// The start of what the gate complains about.
    pub breach: Option<String>,
    /// Steps that end one before the other begins.
    pub order: Vec<String>,
    /// A step, and how many of its jobs may be out at once.
    pub most: Option<(String, usize)>,
    /// How many undos did not pass.
    pub leaks: usize,
    /// All steps.
    pub steps: Vec<Expected>,
}

/// How a step ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// `steps.host/device`
    pub path: String,
    /// Its verdict.
    pub verdict: String,
    /// The outcomes of each job's attempts.
    pub jobs: Vec<Vec<String>>,
}

/// The folder of the flows that the cases use.
pub fn library() -> PathBuf {
    folder().join("lib")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("flow/tests/cases")
}

/// YAML files in a folder, in order of their names, with their texts.
pub fn flows(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    paths.sort();
    let text = |path: PathBuf| (path.clone(), std::fs::read_to_string(path).expect("text"));
    paths.into_iter().map(text).collect()
}

/// All cases.
pub fn all() -> Vec<Case> {
    let cases: Vec<_> = flows(&folder()).into_iter().map(|(path, text)| read(path, text)).collect();
    assert!(cases.len() > 25, "found {} cases only", cases.len());
    cases
}

/// All cases whose jobs call others.
pub fn calls() -> Vec<Case> {
    let cases: Vec<_> =
        flows(&folder().join("calls")).into_iter().map(|(path, text)| read(path, text)).collect();
    assert!(cases.len() > 4, "found {} cases only", cases.len());
    cases
}

fn read(path: PathBuf, text: String) -> Case {
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let mut case = Case { name, path, ..Case::default() };
    for line in text.lines().map_while(|line| line.strip_prefix("# ")) {
        let (key, said) = line.split_once(": ").unwrap_or_else(|| panic!("{}: {line}", case.name));
        let words = |said: &str| said.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        match key {
            "run" => {
                let (verdict, exit) = said.split_once(", exit ").expect("a verdict and an exit code");
                (case.verdict, case.exit) = (verdict.to_owned(), exit.parse().expect("a number"));
            }
            "leaks" => case.leaks = said.parse().expect("a number"),
            "args" => case.args = words(said),
            "breach" => case.breach = Some(said.to_owned()),
            "order" => case.order = said.split(", ").map(str::to_owned).collect(),
            "most" => {
                let (path, most) = said.split_once(' ').expect("a step and a number");
                case.most = Some((path.to_owned(), most.parse().expect("a number")));
            }
            path => {
                let (verdict, jobs) = said.split_once(" | ").unwrap_or((said, ""));
                let jobs = jobs.split(';').map(words).filter(|job| !job.is_empty()).collect();
                case.steps.push(Expected { path: path.to_owned(), verdict: verdict.to_owned(), jobs });
            }
        }
    }
    Case { text, ..case }
}
