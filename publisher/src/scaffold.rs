//! Beginnings: a project, a function with its test, a flow. What is written passes its tests as it is.
//!
//! Pure: gives files and their texts; whoever writes them overwrites nothing.

use std::path::{Path, PathBuf};

use rfx_flow::library::is_reserved;
use rfx_schemas::name::Function;

/// Words that Python reads itself.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
    "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];
/// Modules of Python itself, a line each.
const STDLIB: &str = include_str!("scaffold/templates/stdlib.txt");

/// Why there is no such beginning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// It is no name at all.
    #[error("{0}")]
    Name(#[from] rfx_schemas::name::NameError),
    /// A part of it is none that Python can have there.
    #[error("{part:?} cannot be a part of a function's name: {reason}; take another word")]
    Part {
        /// Which.
        part: String,
        /// Why not.
        reason: &'static str,
    },
    /// It begins with `rfx.`.
    #[error("names that begin with rfx. are built in; take another one")]
    Reserved,
}

/// A file to write, relative to where the beginning is made.
pub type File = (PathBuf, String);

/// A project: a pool with a function, its unit test, and a flow that uses it.
pub fn project(name: &str) -> Vec<File> {
    let fill = |text: &str| text.replace("__POOL__", name);
    let files = [
        ("README.md", include_str!("scaffold/templates/README.md")),
        (".gitignore", include_str!("scaffold/templates/gitignore")),
        ("pool/pool.toml", include_str!("scaffold/templates/pool.toml")),
        ("pool/greetings.py", include_str!("scaffold/templates/greetings.py")),
        ("pool/tests/test_greetings.py", include_str!("scaffold/templates/test_greetings.py")),
        ("flows/hello.yaml", include_str!("scaffold/templates/hello.yaml")),
    ];
    files.map(|(path, text)| (PathBuf::from(path), fill(text))).into()
}

/// What people call a project in this folder.
pub fn project_name(folder: &Path) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let kept = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let name: String = name.chars().map(kept).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "my-pool".to_owned() } else { name.to_owned() }
}

/// A function in a module of its own, with its unit test; paths are relative to the pool.
pub fn function(name: &str) -> Result<Vec<File>, NameProblem> {
    let name = checked(name)?;
    let parts: Vec<&str> = name.as_str().split('.').collect();
    for (at, part) in parts.iter().enumerate() {
        let is_module = at + 1 < parts.len() || parts.len() == 1;
        if let Some(reason) = wrong(part, is_module, at == 0) {
            return Err(NameProblem::Part { part: (*part).to_owned(), reason });
        }
    }
    let own = parts.last().expect("a name has a part");
    // A name of one part is that of the module, too: then the function says its name itself.
    let (module, decorator) = match &parts[..] {
        [only] => (PathBuf::from(only), format!("@rfx.function(name=\"{only}\")")),
        [modules @ .., _] => (modules.iter().collect(), "@rfx.function".to_owned()),
        [] => unreachable!("a name has a part"),
    };
    let fill = |text: &str| {
        let text = text.replace("__DECORATOR__", &decorator).replace("__FUNCTION__", own);
        text.replace("__NAME__", name.as_str()).replace("__TEST__", own)
    };
    let test = format!("tests/test_{}.py", name.as_str().replace('.', "_"));
    Ok(vec![
        (module.with_extension("py"), fill(include_str!("scaffold/templates/function.py"))),
        (PathBuf::from(test), fill(include_str!("scaffold/templates/test_function.py"))),
    ])
}

/// A flow; the path is relative to the folder of flows.
pub fn flow(name: &str) -> Result<File, NameProblem> {
    let name = checked(name)?;
    let text = include_str!("scaffold/templates/flow.yaml").replace("__NAME__", name.as_str());
    Ok((PathBuf::from(format!("{}.yaml", name.as_str().replace('.', "_"))), text))
}

fn checked(name: &str) -> Result<Function, NameProblem> {
    let name: Function = name.parse()?;
    if is_reserved(name.as_str()) { Err(NameProblem::Reserved) } else { Ok(name) }
}

/// Why a part cannot be the name of a module or function of a pool.
fn wrong(part: &str, is_module: bool, is_first: bool) -> Option<&'static str> {
    if KEYWORDS.contains(&part) {
        Some("Python reads it as a keyword")
    } else if is_module && part.starts_with('_') {
        Some("modules that begin with an underscore export no functions")
    } else if is_module && (part == "tests" || part == "conftest" || part.starts_with("test_")) {
        Some("modules of tests export no functions")
    } else if is_module && is_first && STDLIB.lines().any(|module| module == part) {
        Some("it is a module of Python itself")
    } else if is_module && is_first && part == "rfx" {
        Some("it is the package of rfx itself")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use rfx_flow::check;
    use rfx_flow::diagnostic::Source;

    use super::*;

    #[test]
    fn flows_are_accepted_as_they_are_written() {
        let (path, text) = flow("devices.check").expect("a name");
        assert_eq!(path, Path::new("devices_check.yaml"));
        check(Source::new("flow.yaml", &text)).expect("it is right");
        let project = project("x");
        let hello = project.iter().find(|(path, _)| path.ends_with("hello.yaml")).expect("a flow");
        check(Source::new("hello.yaml", &hello.1)).expect("it is right");
    }

    #[test]
    fn a_function_lies_in_the_module_that_its_name_says() {
        let files = |name: &str| {
            let files = function(name).expect(name);
            let is_filled =
                |text: &str| !["__NAME", "__FUNC", "__DEC", "__TEST"].iter().any(|open| text.contains(open));
            assert!(files.iter().all(|(_, text)| is_filled(text)), "{files:?}");
            files.into_iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(files("devices.populate"), ["devices.py", "tests/test_devices_populate.py"]);
        assert_eq!(files("a.b.c"), ["a/b.py", "tests/test_a_b_c.py"]);
        assert_eq!(files("greet"), ["greet.py", "tests/test_greet.py"]);
    }

    #[test]
    fn names_that_python_would_refuse_are_refused() {
        for (name, why) in [
            ("json.read", "a module of Python itself"),
            ("hosts.class", "a keyword"),
            ("_hidden.f", "underscore"),
            ("hosts.test_it.f", "modules of tests"),
            ("rfx.mine", "built in"),
            ("no-name", "use identifiers joined by dots"),
        ] {
            let problem = function(name).expect_err(name).to_string();
            assert!(problem.contains(why), "{problem}");
        }
        function("hosts.json").expect("functions may have any name");
    }

    #[test]
    fn a_project_is_called_like_its_folder() {
        let names = ["/a/My Pool", "/a/hosts_2", "/", "/a/…"].map(|path| project_name(Path::new(path)));
        assert_eq!(names, ["my-pool", "hosts_2", "my-pool", "my-pool"]);
    }
}
