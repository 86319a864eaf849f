//! `init` and `new`: writes beginnings, overwrites nothing, says what to do next.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use rfx_config::process::{Failure, print};
use rfx_publisher::scaffold::{self, File};
use rfx_schemas::exit;

use crate::args::New;

/// Makes a project.
pub fn init(folder: &Path) -> Result<u8, Failure> {
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let name = scaffold::project_name(&whole);
    write(folder, &scaffold::project(&name))?;
    let enter = if folder == Path::new(".") { String::new() } else { format!("  cd {}\n", folder.display()) };
    print(&format!(
        "\nnext:\n{enter}  python3 -m pytest pool                           # the unit tests, without a server\n  \
         rfx-publish check flows/hello.yaml --pool pool   # the flow, without a server\n  \
         rfx dev --pool pool                              # a server and a worker, until Ctrl-C\n  \
         rfx-publish run flows/hello.yaml                 # in another terminal\n"
    ))?;
    Ok(exit::PASSED)
}

/// Makes a function or a flow.
pub fn new(what: &New) -> Result<u8, Failure> {
    match what {
        New::Function { name, pool } => function(name, pool.as_deref()),
        New::Flow { name } => flow(name),
    }
}

fn function(name: &str, pool: Option<&Path>) -> Result<u8, Failure> {
    let files = scaffold::function(name).map_err(Failure::usage)?;
    let pool = match pool {
        Some(pool) => pool.to_owned(),
        None => nearest_pool().ok_or_else(|| {
            let help = "name one with --pool DIR, or make a project with rfx-publish init";
            Failure::usage(format!("there is no pool.toml here, in ./pool or in a folder around; {help}"))
        })?,
    };
    if !pool.join("pool.toml").is_file() {
        let pool = pool.display();
        return Err(Failure::usage(format!(
            "{pool} is no pool: it has no pool.toml; rfx-publish init makes one"
        )));
    }
    write(&pool, &files)?;
    let manifest = std::fs::read_to_string(pool.join("pool.toml")).unwrap_or_default();
    if manifest.lines().any(|line| line.trim_start().starts_with("modules")) {
        let module = files[0].0.with_extension("").display().to_string().replace('/', ".");
        drop(writeln!(std::io::stderr(), "pool.toml lists its modules: add \"{module}\" there"));
    }
    let (test, shown) = (pool.join(&files[1].0), pool.display());
    print(&format!(
        "\nnext:\n  python3 -m pytest {}\n  where {shown} is not served by rfx dev, restart its workers; then: rfx-publish call {name} --set name=web-1\n",
        test.display()
    ))?;
    Ok(exit::PASSED)
}

fn flow(name: &str) -> Result<u8, Failure> {
    let (file, text) = scaffold::flow(name).map_err(Failure::usage)?;
    let pool = nearest_pool();
    let folder = flows_beside(pool.as_deref());
    let path = folder.join(&file);
    write(&folder, &[(file, text)])?;
    let option = pool.map(|pool| format!(" --pool {}", pool.display())).unwrap_or_default();
    let path = path.display();
    print(&format!("\nnext:\n  rfx-publish check {path}{option}\n  rfx-publish run {path}\n"))?;
    Ok(exit::PASSED)
}

/// The pool that is meant here: this folder or `pool` in it, else those of the folders around.
pub(super) fn nearest_pool() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    // Shown as people would type it, as long as it is near.
    for (depth, folder) in here.ancestors().enumerate() {
        for inner in ["", "pool"] {
            if folder.join(inner).join("pool.toml").is_file() {
                let near: PathBuf =
                    std::iter::repeat_n("..", depth).chain([inner]).filter(|p| !p.is_empty()).collect();
                return Some(if near.as_os_str().is_empty() { PathBuf::from(".") } else { near });
            }
        }
    }
    None
}

/// Where flows lie: beside the pool when it is the `pool` of a project, in the pool itself otherwise.
fn flows_beside(pool: Option<&Path>) -> PathBuf {
    let Some(pool) = pool else { return PathBuf::from("flows") };
    let around = if pool == Path::new(".") { PathBuf::from("..") } else { pool.join("..") };
    let is_project = around.join("flows").is_dir() && !pool.join("flows").is_dir();
    match (is_project, pool.file_name().is_some_and(|name| name == "pool")) {
        // `pool/..` reads better as the folder itself.
        (true, true) => pool.parent().unwrap_or(Path::new("")).join("flows"),
        (true, false) => around.join("flows"),
        (false, _) => pool.join("flows"),
    }
}

/// Writes files below a folder. Nothing is written when one of them is there.
fn write(folder: &Path, files: &[File]) -> Result<(), Failure> {
    let there: Vec<_> =
        files.iter().map(|(path, _)| folder.join(path)).filter(|path| path.exists()).collect();
    if !there.is_empty() {
        let there: Vec<_> = there.iter().map(|path| path.display().to_string()).collect();
        let verb = if there.len() == 1 { "is" } else { "are" };
        let text = format!(
            "{} {verb} there already, and nothing is overwritten; take another name or folder",
            there.join(", ")
        );
        return Err(Failure::usage(text));
    }
    for (path, text) in files {
        let path = folder.join(path);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        // Not even one that came there meanwhile.
        let written = made
            .and_then(|()| std::fs::File::create_new(&path))
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))?;
        print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}
