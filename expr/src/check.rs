//! Expectations: an expression that must be true, with what was expected and seen when it is not.

use cel::Value;
use cel::common::ast::{Expr, IdedExpr};
use serde_json::Value as Json;
use similar::TextDiff;

use crate::expression::{EvalError, Expression, into_json};
use crate::scope::Scope;

/// What an expectation came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Whether it was true.
    pub passed: bool,
    /// What it should have been: a JSON value for `==`, else `> 0` and the like.
    pub expected: Option<Expected>,
    /// What the left side, or else the values that the expression read, came to.
    pub seen: Option<Json>,
}

/// The right side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// To be equal to this.
    Equal(Json),
    /// To be in another relation, as in `> 0`.
    Relation(&'static str, Json),
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Equal(value) => write!(f, "{value}"),
            Self::Relation(operator, value) => write!(f, "{operator} {value}"),
        }
    }
}

const RELATIONS: [(&str, &str); 6] =
    [("_==_", "=="), ("_!=_", "!="), ("_<_", "<"), ("_<=_", "<="), ("_>_", ">"), ("_>=_", ">=")];

impl Expression {
    /// Evaluates the expression as an expectation.
    pub fn check(&self, scope: &Scope<'_>) -> Result<Check, EvalError> {
        match self.eval(scope)? {
            Json::Bool(true) => Ok(Check { passed: true, expected: None, seen: None }),
            Json::Bool(false) => Ok(self.explain(scope)),
            other => Err(self.failed(&format_args!("an expectation must be true or false, this is {other}"))),
        }
    }

    /// Why a false expectation is false: the sides of its (first false) comparison, else what it read.
    fn explain(&self, scope: &Scope<'_>) -> Check {
        let culprit = first_false(self.root(), scope);
        if let Some((operator, left, right)) = sides(culprit) {
            let value = |side| Value::resolve(side, &scope.context).ok().as_ref().and_then(into_json);
            if let (Some(left), Some(right)) = (value(left), value(right)) {
                let expected = match operator {
                    "==" => Expected::Equal(right),
                    other => Expected::Relation(other, right),
                };
                return Check { passed: false, expected: Some(expected), seen: Some(left) };
            }
        }
        Check { passed: false, expected: None, seen: self.read_values(scope) }
    }

    /// The values of all paths that the expression reads, by path.
    fn read_values(&self, scope: &Scope<'_>) -> Option<Json> {
        let values = self.paths().iter().filter_map(|path| {
            let text = path.to_string();
            let value = Self::parse(&text).ok()?.eval(scope).ok()?;
            Some((text, value))
        });
        let values: serde_json::Map<_, _> = values.collect();
        (!values.is_empty()).then_some(Json::Object(values))
    }
}

/// In `a && b` the first part that is false; else the whole.
fn first_false<'a>(expr: &'a IdedExpr, scope: &Scope<'_>) -> &'a IdedExpr {
    let Expr::Call(call) = &expr.expr else { return expr };
    if call.func_name != "_&&_" {
        return expr;
    }
    let is_false = |part: &&IdedExpr| matches!(Value::resolve(part, &scope.context), Ok(Value::Bool(false)));
    call.args.iter().find(is_false).map_or(expr, |part| first_false(part, scope))
}

fn sides(expr: &IdedExpr) -> Option<(&'static str, &IdedExpr, &IdedExpr)> {
    let Expr::Call(call) = &expr.expr else { return None };
    let (_, operator) = RELATIONS.iter().find(|(name, _)| *name == call.func_name)?;
    let [left, right] = call.args.as_slice() else { return None };
    Some((operator, left, right))
}

/// A unified diff of two values, pretty-printed; none when they print alike or neither has parts.
pub fn diff(expected: &Json, seen: &Json) -> Option<String> {
    let scalar = |v: &Json| !(v.is_array() || v.is_object());
    if scalar(expected) && scalar(seen) {
        return None;
    }
    let pretty = |v: &Json| serde_json::to_string_pretty(v).unwrap_or_default() + "\n";
    let (old, new) = (pretty(expected), pretty(seen));
    let diff = TextDiff::from_lines(&old, &new).unified_diff().header("expected", "seen").to_string();
    (!diff.is_empty()).then_some(diff)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str) -> Check {
        let mut scope = Scope::default();
        scope.set("output", &json!({"os": 0, "apps": ["a", "b"]}));
        scope.set("item", &json!({"apps": ["a"]}));
        Expression::parse(text).expect(text).check(&scope).expect(text)
    }

    #[test]
    fn a_false_comparison_shows_both_sides() {
        let failed = check("output.os == 0 && output.apps == item.apps");
        assert_eq!(failed.expected, Some(Expected::Equal(json!(["a"]))));
        assert_eq!(failed.seen, Some(json!(["a", "b"])));
        let failed = check("output.os > 3");
        assert_eq!(failed.expected.expect("a side").to_string(), "> 3");
        assert_eq!(failed.seen, Some(json!(0)));
    }

    #[test]
    fn any_other_false_expectation_shows_what_it_read() {
        let failed = check("output.apps.exists(a, a == 'c')");
        assert_eq!((failed.expected, failed.seen), (None, Some(json!({"output.apps": ["a", "b"]}))));
        assert!(check("size(output.apps) == 2").passed);
    }

    #[test]
    fn what_is_neither_true_nor_false_is_refused() {
        let error =
            Expression::parse("1 + 1").expect("valid").check(&Scope::default()).expect_err("a number");
        assert_eq!(error.to_string(), "1 + 1: an expectation must be true or false, this is 2");
    }

    #[test]
    fn diffs_show_lists_and_maps_by_line() {
        let text = diff(&json!(["a"]), &json!(["a", "b"])).expect("differ");
        assert!(text.starts_with("--- expected\n+++ seen\n"), "{text}");
        assert!(text.contains("\n+  \"b\"\n"), "{text}");
        assert_eq!(diff(&json!(1), &json!(2)), None);
    }
}
