//! What a pool needs installed: read, and reduced to the bytes that decide it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use rfx_flow::diagnostic::{Problem, Source};

use crate::manifest::{Placed, Requirements};

/// How deep requirements files may refer to one another.
const DEPTH: usize = 8;
/// Most files of a local package that are looked at.
const FILES: usize = 10_000;

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Requirements, each with its place in `pool.toml`; those of a file share the file's place.
    pub lines: Vec<Placed<String>>,
    /// The requirements file that is installed as it is, rather than the lines.
    pub file: Option<PathBuf>,
    /// All that decides what will be installed.
    pub content: Vec<Vec<u8>>,
    /// The place of the whole in `pool.toml`.
    pub at: Range<usize>,
}

/// Reads what a manifest asks for.
pub fn load(requirements: &Requirements, folder: &Path, source: &Source) -> Result<Wanted, Problem> {
    match requirements {
        Requirements::Listed(lines) => {
            let first = lines.first().map_or(0, |line| line.at.start);
            let at = first..lines.last().map_or(0, |line| line.at.end);
            of_lines(lines.clone(), at, folder, source)
        }
        Requirements::File(file) => of_file(file, folder, source),
    }
}

fn of_file(file: &Placed<String>, folder: &Path, source: &Source) -> Result<Wanted, Problem> {
    let path = folder.join(&file.value);
    let problem = |message: String| Problem::new(source, file.at.clone(), message);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| problem(format!("{} cannot be read: {error}", path.display())))?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name == "pyproject.toml" {
        let dependencies =
            dependencies(&text).map_err(|why| problem(format!("{}: {why}", path.display())))?;
        let lines = dependencies.into_iter().map(|value| Placed { value, at: file.at.clone() });
        return of_lines(lines.collect(), file.at.clone(), folder, source);
    }
    if name.ends_with(".lock") || name.ends_with(".toml") {
        let help = "write it as a requirements file: uv export --format requirements-txt -o requirements.txt, \
                    or poetry export -o requirements.txt";
        return Err(problem(format!("{name} is a lock file that no installer reads as it is")).help(help));
    }
    let mut content = Vec::new();
    follow(&text, path.parent().unwrap_or(folder), folder, DEPTH, &mut content).map_err(problem)?;
    let lines = text.lines().map(|line| Placed { value: line.to_owned(), at: file.at.clone() }).collect();
    Ok(Wanted { lines, file: Some(path), content, at: file.at.clone() })
}

fn of_lines(
    lines: Vec<Placed<String>>,
    at: Range<usize>,
    folder: &Path,
    source: &Source,
) -> Result<Wanted, Problem> {
    let mut content = Vec::new();
    for line in &lines {
        follow(&line.value, folder, folder, DEPTH, &mut content)
            .map_err(|message| Problem::new(source, line.at.clone(), message))?;
    }
    Ok(Wanted { lines, file: None, content, at })
}

/// `[project.dependencies]`.
fn dependencies(text: &str) -> Result<Vec<String>, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let project = table.get("project").and_then(toml::Value::as_table).ok_or("it has no [project]")?;
    let names = |key: &str| project.get(key).and_then(toml::Value::as_array);
    if names("dynamic").is_some_and(|all| all.iter().any(|name| name.as_str() == Some("dependencies"))) {
        return Err(
            "its dependencies are dynamic: list them in pool.toml, or in a requirements file".to_owned()
        );
    }
    let text = |value: &toml::Value| value.as_str().map(str::to_owned);
    let all = names("dependencies").into_iter().flatten().map(text).collect::<Option<Vec<_>>>();
    all.ok_or_else(|| "project.dependencies is a list of texts".to_owned())
}

/// Takes in a text and the files that it refers to: other requirements, and local packages.
fn follow(
    text: &str,
    beside: &Path,
    pool: &Path,
    depth: usize,
    content: &mut Vec<Vec<u8>>,
) -> Result<(), String> {
    content.push(text.as_bytes().to_vec());
    let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(other) = option(line, &["-r", "--requirement", "-c", "--constraint"]) {
            if other.contains("://") {
                continue;
            }
            let path = beside.join(other);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            let depth = depth.checked_sub(1).ok_or("requirements refer to one another too deeply")?;
            follow(&text, path.parent().unwrap_or(beside), pool, depth, content)?;
        } else if let Some(package) = local(line, pool) {
            take(&package, content)
                .map_err(|error| format!("{} cannot be read: {error}", package.display()))?;
        }
    }
    Ok(())
}

/// The value of an option in a requirements file: `-r x`, `-rx`, `--requirement=x`.
fn option<'a>(line: &'a str, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| {
        let rest = line.strip_prefix(name)?;
        let long = name.starts_with("--");
        (!long || rest.starts_with(['=', ' '])).then(|| rest.trim_start_matches(['=', ' ']).trim())
    })
}

/// A listed requirement with its paths in full: it is written into a file elsewhere, and installers
/// do not agree on where the relative paths in a file start.
pub fn in_full(line: &str, pool: &Path) -> String {
    let full = |path: &str| {
        let there = pool.join(path);
        if !path.contains("://") && there.exists() { there.display().to_string() } else { path.to_owned() }
    };
    let names = ["-r", "-c", "-f", "-e"];
    let long = ["--requirement", "--constraint", "--find-links", "--editable"];
    for name in names.into_iter().chain(long) {
        if let Some(value) = option(line.trim(), &[name]) {
            return format!("{name} {}", full(value));
        }
    }
    let path = line.split([';', '[']).next().unwrap_or(line).trim();
    if path.contains('/') || path.ends_with(".whl") {
        line.replacen(path, &full(path), 1)
    } else {
        line.to_owned()
    }
}

/// The local file or folder that a requirement names: paths are relative to the pool's folder.
fn local(line: &str, pool: &Path) -> Option<PathBuf> {
    let line = option(line, &["-e", "--editable"]).unwrap_or(line);
    let place = line.split_once(" @ ").map_or(line, |(_, place)| place).split([';', '[']).next()?.trim();
    let path = pool.join(place.strip_prefix("file://").unwrap_or(place));
    (place.contains('/') || place.ends_with(".whl") || path.is_file()).then_some(path).filter(|p| p.exists())
}

/// Takes in a local package: a file, or the files of a folder but those that builds leave there.
fn take(path: &Path, content: &mut Vec<Vec<u8>>) -> std::io::Result<()> {
    if path.is_file() {
        content.push(std::fs::read(path)?);
        return Ok(());
    }
    let left = |name: &str| name.starts_with('.') || name.ends_with(".egg-info");
    let built = |name: &str| matches!(name, "build" | "dist" | "__pycache__" | "target" | "node_modules");
    let (mut folders, mut files) = (vec![path.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            let name = name.to_string_lossy();
            if kind.is_dir() && !left(&name) && !built(&name) {
                folders.push(entry.path());
            } else if kind.is_file() && !left(&name) {
                files.push(entry.path());
            }
        }
        if files.len() > FILES {
            return Err(std::io::Error::other(format!(
                "it has more than {FILES} files: name a wheel instead"
            )));
        }
    }
    files.sort();
    for file in files {
        content.push(file.strip_prefix(path).unwrap_or(&file).to_string_lossy().into_owned().into_bytes());
        content.push(std::fs::read(file)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(folder: &Path, requirements: &str) -> Result<Wanted, String> {
        let text = format!("name = \"t\"\nrequirements = {requirements}\n");
        let manifest = crate::manifest::parse("pool.toml", &text, folder).map_err(|e| e.to_string())?;
        let requirements = manifest.requirements.expect("given");
        load(&requirements, folder, &manifest.source)
            .map_err(|problem| format!("{}: {problem}", problem.place()))
    }

    #[test]
    fn every_file_that_decides_counts() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("in it")).expect("a folder");
            std::fs::write(path, text).expect("written");
        };
        write("reqs/all.txt", "-r more.txt  # and more\n./wheels/a.whl\n-e ./lib\nhttpx==1\n");
        write("reqs/more.txt", "rich\n");
        write("wheels/a.whl", "one");
        write("lib/lib/__init__.py", "x = 1");
        let content = |requirements: &str| wanted(dir.path(), requirements).expect("it is right").content;
        let first = content("\"reqs/all.txt\"");
        assert_eq!(first, content("\"reqs/all.txt\""));
        for file in ["reqs/more.txt", "wheels/a.whl", "lib/lib/__init__.py"] {
            let before = content("\"reqs/all.txt\"");
            write(file, "changed");
            assert_ne!(before, content("\"reqs/all.txt\""), "{file}");
        }
        let before = content("\"reqs/all.txt\"");
        write("lib/build/x.py", "left by a build");
        assert_eq!(before, content("\"reqs/all.txt\""));
        assert_eq!(content("[\"a\", \"b\"]"), [b"a".to_vec(), b"b".to_vec()]);
    }

    #[test]
    fn paths_of_listed_requirements_are_written_in_full() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(dir.path().join("pool/wheels")).expect("a folder");
        std::fs::write(dir.path().join("a.whl"), "").expect("written");
        let pool = dir.path().join("pool");
        let full = |line: &str| in_full(line, &pool).replace(&pool.display().to_string(), "POOL");
        assert_eq!(full("--find-links=wheels"), "--find-links POOL/wheels");
        assert_eq!(full("-fwheels"), "-f POOL/wheels");
        assert_eq!(full("../a.whl ; python_version > '3'"), "POOL/../a.whl ; python_version > '3'");
        assert_eq!(full("-e ./wheels"), "-e POOL/./wheels");
        for same in
            ["httpx[http2]>=1", "--no-index", "-f https://example.org/x", "x @ https://example.org/x.whl"]
        {
            assert_eq!(full(same), same);
        }
    }

    #[test]
    fn a_pyproject_gives_its_dependencies() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |text: &str| std::fs::write(dir.path().join("pyproject.toml"), text).expect("written");
        write("[project]\nname = \"x\"\ndependencies = [\"httpx>=0.27\", \"rich\"]\n");
        let lines = wanted(dir.path(), "\"pyproject.toml\"").expect("it is right").lines;
        assert_eq!(lines.iter().map(|l| l.value.as_str()).collect::<Vec<_>>(), ["httpx>=0.27", "rich"]);
        write("[project]\ndynamic = [\"dependencies\"]\n");
        assert!(wanted(dir.path(), "\"pyproject.toml\"").expect_err("dynamic").contains("are dynamic"));
        write("[tool.x]\n");
        assert!(wanted(dir.path(), "\"pyproject.toml\"").expect_err("none").contains("has no [project]"));
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_place() {
        let dir = tempfile::tempdir().expect("a folder");
        let gone = wanted(dir.path(), "\"gone.txt\"").expect_err("it is not there");
        assert!(gone.starts_with("pool.toml:2:16: ") && gone.contains("gone.txt cannot be read"), "{gone}");
        std::fs::write(dir.path().join("uv.lock"), "").expect("written");
        assert!(wanted(dir.path(), "\"uv.lock\"").expect_err("a lock").contains("lock file"));
        let nested = wanted(dir.path(), "[\"a\", \"-r gone.txt\"]").expect_err("it is not there");
        assert!(nested.starts_with("pool.toml:2:22: "), "{nested}");
    }
}
