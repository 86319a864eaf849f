//! Expressions of flows: CEL over JSON values, with positions, templates and a cost budget.
//!
//! Expressions see only what a [`Scope`] holds: no clock, no random, no state, so that evaluating
//! one again gives the same value. Integers enter CEL as `int` (serde would make them `uint`, and
//! `output.os - 3` would fail).

mod check;
mod expression;
mod library;
mod scope;
mod template;

pub use check::{Check, Expected, diff};
pub use expression::{Call, Comparison, EvalError, Expression, ParseError, Path};
pub use library::knows;
pub use scope::Scope;
pub use template::{Template, TemplateError};
