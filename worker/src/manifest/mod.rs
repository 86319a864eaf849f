//! `pool.toml`: what a pool says about itself, read and checked before anything of it is started.
//!
//! Everything that is wrong is said at once, each with its place in the file. It opens no other file
//! than the pool's own, and the JSON Schemas that it names.

mod function;
mod reader;
mod runner;

use std::ops::Range;
use std::path::{Path, PathBuf};

use rfx_flow::diagnostic::{Problem, Problems, Source};
use rfx_schemas::rules::Isolation;
use toml::de::DeTable;

pub use function::Declared;
use reader::Reader;
pub use runner::{Limits, Runner};

/// The file's name.
pub const FILE: &str = "pool.toml";

const KEYS: [&str; 11] = [
    "name",
    "description",
    "version",
    "owner",
    "modules",
    "python",
    "requirements",
    "env",
    "isolation",
    "runner",
    "function",
];

/// A value, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Its bytes in the file.
    pub at: Range<usize>,
}

/// What a pool's functions need installed.
#[derive(Debug, Clone, PartialEq)]
pub enum Requirements {
    /// As the pool lists them.
    Listed(Vec<Placed<String>>),
    /// A requirements file or a `pyproject.toml`, relative to the pool's folder.
    File(Placed<String>),
}

/// A pool's checked manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Its text: what is found wrong later is shown in it, too.
    pub source: Source,
    /// The pool's name.
    pub name: String,
    /// The modules that hold functions; without it, they are looked for.
    pub modules: Option<Vec<String>>,
    /// A version such as `3.12`, or an interpreter.
    pub python: Option<Placed<String>>,
    /// What has to be installed.
    pub requirements: Option<Requirements>,
    /// In what process its functions are executed unless they or the run say otherwise.
    pub isolation: Option<Isolation>,
    /// How its runners are started, and when they are given up.
    pub runner: Runner,
    /// The executables that are functions.
    pub functions: Vec<Declared>,
}

/// Reads the manifest in a pool's folder.
pub fn read(folder: &Path) -> Result<Manifest, Problems> {
    let path = folder.join(FILE);
    let shown = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&shown, &text, folder),
        Err(error) => {
            let message = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    format!("{} is not a pool: it has no {FILE}", folder.display())
                }
                _ => format!("it cannot be read: {error}"),
            };
            let problem = Problem::new(&Source::new(&shown, ""), 0..0, message);
            Err(Problems::one(problem.help(r#"write it with the line name = "my-pool""#)))
        }
    }
}

/// Files that a manifest may name, whether they are there or not: all its texts that could be paths. What is
/// wrong with the manifest makes no difference, so that mending one of them is noticed.
pub fn named(folder: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(folder.join(FILE)).unwrap_or_default();
    let (table, _) = DeTable::parse_recoverable(&text);
    let mut texts = Vec::new();
    reader::texts_in(table.get_ref(), &mut texts);
    let path = |text: String| {
        let path = Path::new(&text);
        folder.join(path.strip_prefix(".").unwrap_or(path))
    };
    texts.into_iter().filter(|text| !text.is_empty() && text.len() < 256).map(path).collect()
}

/// Reads a manifest's text. Files that it names are relative to the folder.
pub fn parse(shown: &str, text: &str, folder: &Path) -> Result<Manifest, Problems> {
    let source = Source::new(shown, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader::new(&source, folder);
    for error in errors {
        reader.problem(error.span().unwrap_or(0..0), error.message().to_owned(), None);
    }
    // What a broken text seems to lack may only be lost in it: one kind of error at a time.
    Problems::from_list(std::mem::take(&mut reader.problems))?;
    let manifest = manifest(&mut reader, &table.into_inner());
    Problems::from_list(reader.problems)?;
    Ok(manifest)
}

fn manifest(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Manifest {
    reader.keys(table, &KEYS, "a pool");
    let owner = reader.get(table, "owner", Reader::text);
    // Kept by the Python side alone; checked here all the same, since this side speaks first.
    reader.get(table, "description", Reader::any_text);
    reader.get(table, "version", Reader::text);
    let manifest = Manifest {
        source: reader.source.clone(),
        name: name(reader, table),
        modules: reader.get(table, "modules", Reader::texts),
        python: reader.get(table, "python", Reader::placed_text),
        requirements: reader.get(table, "requirements", requirements),
        isolation: reader.get(table, "isolation", Reader::parsed),
        runner: reader.get(table, "runner", runner::read).unwrap_or_default(),
        functions: function::all(reader, table, owner.as_deref()),
    };
    environment(reader, table, &manifest);
    runner::check(reader, table, &manifest);
    manifest
}

fn name(reader: &mut Reader<'_>, table: &DeTable<'_>) -> String {
    let Some(value) = table.get("name") else {
        reader.problem(0..0, "the pool has no name", Some(r#"write name = "my-pool""#.to_owned()));
        return String::new();
    };
    let name = reader.text(value).unwrap_or_default();
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = name.chars().all(valid) && name.starts_with(ends) && name.ends_with(ends);
    if !name.is_empty() && (!good || name.len() > rfx_schemas::name::MAX_LEN) {
        let message = format!("{name:?} is not a pool name");
        let help = "use lower-case letters, digits, inner hyphens and underscores, such as my-pool";
        reader.problem(value.span(), message, Some(help.to_owned()));
    }
    name
}

fn requirements(
    reader: &mut Reader<'_>,
    value: &toml::Spanned<toml::de::DeValue<'_>>,
) -> Option<Requirements> {
    if value.get_ref().is_array() {
        reader.placed_texts(value).map(Requirements::Listed)
    } else {
        reader.placed_text(value).map(Requirements::File)
    }
}

/// `env = "current"` takes the worker's interpreter as it is, so nothing may be wished of it.
fn environment(reader: &mut Reader<'_>, table: &DeTable<'_>, manifest: &Manifest) {
    let Some(value) = table.get("env") else { return };
    if reader.text(value).is_some_and(|env| env != "current") {
        let help = r#"write env = "current", or leave it out and list requirements"#;
        reader.problem(value.span(), "an environment is \"current\" or none", Some(help.to_owned()));
    }
    let wishes = [("python", manifest.python.is_some()), ("requirements", manifest.requirements.is_some())];
    for (key, _) in wishes.into_iter().filter(|(_, wished)| *wished) {
        let message = format!("env = \"current\" is the worker's own Python, which cannot have {key}");
        reader.problem(value.span(), message, Some(format!("leave out env or {key}")));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn wrong(text: &str) -> String {
        parse("pool.toml", text, Path::new(".")).expect_err("it is wrong").to_string()
    }

    #[test]
    fn everything_that_can_be_said_is_read() {
        let text = r#"
            name = "example"
            description = ""
            version = "1.2"
            owner = "team"
            modules = ["a", "b.c"]
            python = "3.12"
            requirements = ["httpx>=0.27", "rich"]
            isolation = "fresh"
            [runner]
            max_jobs = 1_000
            memory = "1.5 GiB"
            start_timeout = "5s"
            [[function]]
            name = "disks.check"
            exec = ["./check.sh", "--all"]
            timeout = "1min 30s"
            retry = { max_attempts = 3, backoff = 2, on = ["error"] }
            secrets = ["API_TOKEN"]
            examples = [{ disk = "/dev/sda", least = 0.5, deep = [true, 7] }]
            input = { type = "object", required = ["disk"] }
            [[function]]
            name = "disks.wipe"
            version = "2"
            exec = ["wipe"]
            owner = "others"
            timeout = 1.5
        "#;
        let manifest = parse("pool.toml", text, Path::new(".")).expect("it is right");
        assert_eq!((manifest.name.as_str(), manifest.isolation), ("example", Some(Isolation::Fresh)));
        assert_eq!(manifest.runner.limits, Limits { max_jobs: Some(1000), memory: Some(3 << 29) });
        assert_eq!(
            (manifest.runner.exec, manifest.runner.start_timeout),
            (None, Some(Duration::from_secs(5)))
        );
        let Some(Requirements::Listed(listed)) = &manifest.requirements else { panic!("a list") };
        assert_eq!(&text[listed[1].at.clone()], "\"rich\"");
        let [check, wipe] = manifest.functions.as_slice() else { panic!("two") };
        assert_eq!((check.version.as_str(), check.owner.as_deref()), ("1", Some("team")));
        assert_eq!((wipe.version.as_str(), wipe.owner.as_deref()), ("2", Some("others")));
        assert_eq!([check.timeout, wipe.timeout], [90_000, 1_500].map(|ms| Some(Duration::from_millis(ms))));
        let retry = check.retry.as_ref().expect("one");
        assert_eq!((retry.max_attempts, retry.backoff), (3, Duration::from_secs(2)));
        assert_eq!(
            check.examples[0],
            serde_json::json!({"disk": "/dev/sda", "least": 0.5, "deep": [true, 7]})
        );
        assert_eq!(check.input["required"][0], "disk");
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once_with_its_place() {
        insta::assert_snapshot!(wrong(
            r#"nmae = "x"
owner = 3
python = "3.12"
env = "current"
isolation = "war"
[runner]
memory = "lots"
max_jobs = 0
[[function]]
name = "disks check"
exec = []
timeot = 3
timeout = "soon"
retry = { max_attempts = 0, on = ["passed"] }
[[function]]
exec = ["x"]
name = "a.b"
input = 3
queue = "A"
[[function]]
exec = ["y"]
name = "a.b"
secrets = ["a-b"]
"#
        ));
    }

    #[test]
    fn a_runner_is_a_command_or_a_table() {
        let runner = |text: &str| {
            let manifest = parse("pool.toml", &format!("name = \"p\"\n{text}"), Path::new("."));
            manifest.map(|manifest| manifest.runner).map_err(|problems| problems.to_string())
        };
        let words = |text| runner(text).expect("it is right").exec.expect("a program").value;
        assert_eq!(words(r#"runner = ["./run", "--fast"]"#), ["./run", "--fast"]);
        assert_eq!(words("[runner]\nexec = [\"run\"]\nmax_jobs = 3"), ["run"]);
        for (text, said) in [
            ("runner = \"./run --fast\"", "pool.toml:2:10: a command is a list of the program"),
            ("runner = []", "pool.toml:2:10: this command names no program"),
            ("[runner]\nexec = [\" \"]", "pool.toml:3:8: this command names no program"),
            ("runner = 3", "pool.toml:2:10: expected a table, got 3"),
            ("[runner]\nstart_timeout = 0", "pool.toml:3:17: expected a duration above zero"),
            ("[runner]\nexce = [\"run\"]", "did you mean exec?"),
            ("modules = [\"a\"]\nrunner = [\"run\"]", "pool.toml:2:11: modules are for Python's runner"),
        ] {
            let refused = runner(text).expect_err("it is wrong");
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }

    #[test]
    fn a_name_is_one() {
        assert!(wrong("name = \"A b\"").contains("pool.toml:1:8: \"A b\" is not a pool name"));
        assert!(wrong("name = \"-a\"").contains("not a pool name"));
        assert!(parse("pool.toml", "name = \"my_pool-2\"", Path::new(".")).is_ok());
    }

    #[test]
    fn what_is_no_toml_is_said_with_its_place() {
        assert!(
            wrong("name = \"x\"\nowner = [\n").starts_with("pool.toml:"),
            "{}",
            wrong("name = \"x\"\nowner = [\n")
        );
    }

    #[test]
    fn a_folder_without_one_is_no_pool() {
        let said = read(Path::new("/nonexistent")).expect_err("there is none").to_string();
        assert!(said.contains("/nonexistent is not a pool") && said.contains("name = \"my-pool\""), "{said}");
    }
}
