//! One compiled expression.

use std::fmt;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::{Program, Value};
use serde_json::Value as Json;

use crate::library::LIBRARY;
use crate::scope::Scope;

/// Longest expression accepted, in bytes.
const MAX_LEN: usize = 8 * 1024;

/// Most steps that one evaluation may take by the estimate of `Expression::afford`. CEL has no
/// limit of its own: three nested `all` over 200 items took 5.6 s (measured); this stops at about 1 s.
const BUDGET: u64 = 20_000_000;

/// Why a text is not an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// Byte offset in the expression's text.
    pub offset: usize,
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// CEL says why.
    #[error("{expression}: {message}")]
    Failed {
        /// The expression.
        expression: String,
        /// What CEL says, with the values that it read.
        message: String,
    },
    /// It would take too long.
    #[error(
        "{expression}: too costly: about {cost} steps, {BUDGET} are allowed; nest fewer loops or make lists smaller"
    )]
    TooCostly {
        /// The expression.
        expression: String,
        /// The estimate.
        cost: u64,
    },
}

/// What an expression reads: a variable and the fields selected from it, `steps.device.output`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// The names, the variable first.
    pub names: Vec<String>,
    /// Byte offset of the variable in the expression's text.
    pub offset: usize,
    /// Whether it only asks if the last field is there: `has(output.field)`.
    pub tested: bool,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join("."))
    }
}

/// A call of a function in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// Whether it is called on a value, `x.size()`.
    pub member: bool,
    /// Byte offset in the expression's text.
    pub offset: usize,
}

/// A comparison of what is read with a text: `steps.a.verdict == "failed"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// What is read.
    pub path: Path,
    /// The text.
    pub text: String,
}

/// A compiled expression.
pub struct Expression {
    text: String,
    program: Program,
    paths: Vec<Path>,
    calls: Vec<Call>,
    comparisons: Vec<Comparison>,
    nodes: u64,
    depth: u32,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.text)
    }
}

impl Expression {
    /// Compiles a text.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.len() > MAX_LEN {
            let message = format!("the expression is {} bytes long, {MAX_LEN} are allowed", text.len());
            return Err(ParseError { message, offset: MAX_LEN });
        }
        if text.trim().is_empty() {
            return Err(ParseError { message: "the expression is empty".to_owned(), offset: 0 });
        }
        let program = LIBRARY.compile(text).map_err(|errors| first_error(text, &errors))?;
        let mut walk = Walk::over(&program);
        walk.visit(program.expression(), 0);
        let Walk { paths, calls, comparisons, nodes, depth, .. } = walk;
        Ok(Self { text: text.to_owned(), program, paths, calls, comparisons, nodes, depth })
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it reads.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// The functions that it calls.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// What it compares with texts.
    pub fn comparisons(&self) -> &[Comparison] {
        &self.comparisons
    }

    /// What it reads, if it is nothing but one path.
    pub fn as_path(&self) -> Option<&Path> {
        let [path] = &self.paths[..] else { return None };
        (path.to_string() == self.text).then_some(path)
    }

    /// Its value, if it reads nothing: the same whatever the scope.
    pub fn constant(&self) -> Option<Json> {
        if self.paths.is_empty() { self.eval(&Scope::default()).ok() } else { None }
    }

    /// Its value.
    pub fn eval(&self, scope: &Scope<'_>) -> Result<Json, EvalError> {
        self.afford(scope)?;
        let value = self.program.execute(&scope.context).map_err(|e| self.failed(&e))?;
        into_json(&value).ok_or_else(|| self.failed(&"its value cannot be written as JSON"))
    }

    pub(crate) fn root(&self) -> &IdedExpr {
        self.program.expression()
    }

    pub(crate) fn afford(&self, scope: &Scope<'_>) -> Result<(), EvalError> {
        let cost = self.nodes.saturating_mul(scope.longest.saturating_pow(self.depth));
        if cost <= BUDGET {
            return Ok(());
        }
        Err(EvalError::TooCostly { expression: self.text.clone(), cost })
    }

    pub(crate) fn failed(&self, message: &dyn fmt::Display) -> EvalError {
        let mut message = message.to_string();
        if message.contains("null_type") {
            message.push_str(" (a value is null: the output of what did not pass is)");
        }
        EvalError::Failed { expression: self.text.clone(), message }
    }
}

pub(crate) fn into_json(value: &Value) -> Option<Json> {
    // serde_json's map keeps keys sorted, whatever order CEL's hash map has.
    value.json().ok()
}

fn first_error(text: &str, errors: &cel::ParseErrors) -> ParseError {
    let Some(first) = errors.errors.first() else {
        return ParseError { message: "it cannot be read".to_owned(), offset: 0 };
    };
    let (line, column) =
        (usize::try_from(first.pos.0).unwrap_or(1), usize::try_from(first.pos.1).unwrap_or(1));
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = &text[before.min(text.len())..];
    let offset = before + byte_offset(rest, column.saturating_sub(1));
    ParseError { message: first.msg.trim().to_owned(), offset: offset.min(text.len()) }
}

/// CEL counts characters, files count bytes.
fn byte_offset(text: &str, characters: usize) -> usize {
    text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at)
}

/// Finds what an expression reads and how deep its loops nest.
struct Walk<'a> {
    bound: Vec<String>,
    paths: Vec<Path>,
    calls: Vec<Call>,
    comparisons: Vec<Comparison>,
    nodes: u64,
    depth: u32,
    program: &'a Program,
}

impl<'a> Walk<'a> {
    fn over(program: &'a Program) -> Self {
        Self {
            bound: Vec::new(),
            paths: Vec::new(),
            calls: Vec::new(),
            comparisons: Vec::new(),
            nodes: 0,
            depth: 0,
            program,
        }
    }

    fn visit(&mut self, expr: &IdedExpr, depth: u32) {
        self.nodes += 1;
        self.depth = self.depth.max(depth);
        if let Some((id, names)) = path_of(expr) {
            let tested = matches!(&expr.expr, Expr::Select(select) if select.test);
            self.add(id, names, tested);
            return;
        }
        match &expr.expr {
            Expr::Call(call) => {
                if matches!(call.func_name.as_str(), "_==_" | "_!=_") {
                    self.compare(&call.args);
                }
                if call.func_name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    let (name, member) = (call.func_name.clone(), call.target.is_some());
                    self.calls.push(Call { name, member, offset: self.offset(expr.id) });
                }
                call.target.iter().for_each(|target| self.visit(target, depth));
                call.args.iter().for_each(|arg| self.visit(arg, depth));
            }
            Expr::Comprehension(loops) => {
                self.visit(&loops.iter_range, depth);
                self.visit(&loops.accu_init, depth);
                let before = self.bound.len();
                self.bound.push(loops.iter_var.clone());
                self.bound.push(loops.accu_var.clone());
                self.bound.extend(loops.iter_var2.clone());
                self.visit(&loops.loop_cond, depth + 1);
                self.visit(&loops.loop_step, depth + 1);
                self.visit(&loops.result, depth + 1);
                self.bound.truncate(before);
            }
            Expr::List(list) => list.elements.iter().for_each(|e| self.visit(e, depth)),
            Expr::Map(map) => map.entries.iter().for_each(|e| self.entry(&e.expr, depth)),
            Expr::Struct(fields) => fields.entries.iter().for_each(|e| self.entry(&e.expr, depth)),
            Expr::Select(select) => self.visit(&select.operand, depth),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn compare(&mut self, sides: &[IdedExpr]) {
        let [left, right] = sides else { return };
        for (read, text) in [(left, right), (right, left)] {
            if let (Some((id, names)), Expr::Literal(LiteralValue::String(text))) =
                (path_of(read), &text.expr)
            {
                let path = Path { names, offset: self.offset(id), tested: false };
                self.comparisons.push(Comparison { path, text: text.inner().to_owned() });
            }
        }
    }

    fn entry(&mut self, entry: &EntryExpr, depth: u32) {
        match entry {
            EntryExpr::MapEntry(e) => {
                self.visit(&e.key, depth);
                self.visit(&e.value, depth);
            }
            EntryExpr::StructField(e) => self.visit(&e.value, depth),
        }
    }

    fn add(&mut self, id: u64, names: Vec<String>, tested: bool) {
        if self.bound.contains(&names[0]) {
            return;
        }
        let offset = self.offset(id);
        self.paths.push(Path { names, offset, tested });
    }

    fn offset(&self, id: u64) -> usize {
        self.program.source_info().offset_for(id).map_or(0, |(start, _)| start as usize)
    }
}

/// `a.b.c` and `a.b["c"]` read the path a, b, c.
fn path_of(expr: &IdedExpr) -> Option<(u64, Vec<String>)> {
    match &expr.expr {
        Expr::Ident(name) => Some((expr.id, vec![name.trim_start_matches('.').to_owned()])),
        Expr::Select(select) => {
            let (id, mut names) = path_of(&select.operand)?;
            names.push(select.field.clone());
            Some((id, names))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn eval(text: &str) -> Result<Json, EvalError> {
        let mut scope = Scope::default();
        scope.set("output", &json!({"os": 5, "apps": [{"name": "openssl", "n": 1}], "f": 1.5}));
        scope.set("big", &json!(vec![1; 2_000]));
        Expression::parse(text).expect(text).eval(&scope)
    }

    #[test]
    fn integers_are_ints_and_keys_are_sorted() {
        assert_eq!(eval("output.os - 7"), Ok(json!(-2)));
        assert_eq!(eval("output.apps.map(a, a.n + 1)"), Ok(json!([2])));
        assert_eq!(eval("output.apps.exists(a, a.name == 'openssl') && has(output.f)"), Ok(json!(true)));
        assert_eq!(eval("output.?nope.orValue(7)"), Ok(json!(7)));
        assert_eq!(eval("{'b': 1, 'a': double(2) * 1.5}").expect("a map").to_string(), r#"{"a":3.0,"b":1}"#);
    }

    #[test]
    fn errors_name_the_expression_and_the_place() {
        let error = Expression::parse("output.os >").expect_err("incomplete");
        assert_eq!(error.offset, 11, "{error}");
        let error = eval("output.nope > 1").expect_err("no such field");
        assert!(error.to_string().starts_with("output.nope > 1: "), "{error}");
        assert!(error.to_string().contains("nope"), "{error}");
        assert_eq!(Expression::parse("  ").expect_err("empty").message, "the expression is empty");
    }

    #[test]
    fn costly_loops_are_refused_before_they_start() {
        let error = eval("big.all(a, big.all(b, big.all(c, c == 1)))").expect_err("8 · 10^9 steps");
        assert!(error.to_string().contains("too costly"), "{error}");
        assert_eq!(eval("big.all(a, a == 1)"), Ok(json!(true)));
    }

    #[test]
    fn an_expression_knows_what_it_reads_and_where() {
        let parsed =
            Expression::parse("steps.device.output.all(d, d.id == item.id) && 'é' < run.id").expect("valid");
        let paths: Vec<_> = parsed.paths().iter().map(|p| (p.to_string(), p.offset)).collect();
        let text = parsed.text();
        let at = |word: &str| text.find(word).expect("there");
        assert_eq!(
            paths,
            [
                ("steps.device.output".to_owned(), 0),
                ("item.id".to_owned(), at("item")),
                ("run.id".to_owned(), at("run.id"))
            ]
        );
    }
}
