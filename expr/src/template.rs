//! Values with expressions in them: `"${{ item.name }}"` keeps the value's type, `"a-${{ x }}"` puts
//! it into the text.

use serde_json::Value as Json;

use crate::expression::{EvalError, Expression, ParseError, Path};
use crate::scope::Scope;

const OPEN: &str = "${{";
const CLOSE: &str = "}}";

/// Why a value is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct TemplateError {
    /// The text that holds the wrong expression.
    pub text: String,
    /// What is wrong; its offset counts from the start of `text`.
    pub error: ParseError,
}

/// A value with its expressions compiled.
#[derive(Debug)]
pub enum Template {
    /// No expression in it.
    Literal(Json),
    /// Nothing but one expression.
    Whole(Expression),
    /// A text with expressions inside.
    Text(Vec<Piece>),
    /// A list with templates inside.
    List(Vec<Template>),
    /// A map with templates inside.
    Map(Vec<(String, Template)>),
}

/// A piece of a text.
#[derive(Debug)]
pub enum Piece {
    /// As it stands.
    Plain(String),
    /// To be put in.
    Value(Expression),
}

impl Template {
    /// Compiles a value.
    pub fn parse(value: &Json) -> Result<Self, TemplateError> {
        match value {
            Json::String(text) => {
                Self::parse_text(text).map_err(|error| TemplateError { text: text.clone(), error })
            }
            Json::Array(items) => {
                let items = items.iter().map(Self::parse).collect::<Result<Vec<_>, _>>()?;
                let literal = items.iter().all(|t| matches!(t, Self::Literal(_)));
                Ok(if literal { Self::Literal(value.clone()) } else { Self::List(items) })
            }
            Json::Object(fields) => {
                let parse = |(k, v): (&String, &Json)| Ok((k.clone(), Self::parse(v)?));
                let fields = fields.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
                let literal = fields.iter().all(|(_, t)| matches!(t, Self::Literal(_)));
                Ok(if literal { Self::Literal(value.clone()) } else { Self::Map(fields) })
            }
            scalar => Ok(Self::Literal(scalar.clone())),
        }
    }

    fn parse_text(text: &str) -> Result<Self, ParseError> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(open) = text[at..].find(OPEN).map(|i| at + i) {
            if open > at {
                pieces.push(Piece::Plain(text[at..open].to_owned()));
            }
            let start = open + OPEN.len();
            let end = closing(&text[start..])
                .map(|i| start + i)
                .ok_or_else(|| ParseError { message: format!("{OPEN} without {CLOSE}"), offset: open })?;
            let inner = &text[start..end];
            let lead = inner.len() - inner.trim_start().len();
            let expression = Expression::parse(inner.trim())
                .map_err(|e| ParseError { offset: start + lead + e.offset, ..e })?;
            pieces.push(Piece::Value(expression));
            at = end + CLOSE.len();
        }
        if at < text.len() {
            pieces.push(Piece::Plain(text[at..].to_owned()));
        }
        let expressions = pieces.iter().filter(|p| matches!(p, Piece::Value(_))).count();
        Ok(match (expressions, pieces.len()) {
            (0, _) => Self::Literal(Json::String(text.to_owned())),
            (1, 1) => match pieces.pop() {
                Some(Piece::Value(expression)) => Self::Whole(expression),
                _ => unreachable!("the one piece is an expression"),
            },
            _ => Self::Text(pieces),
        })
    }

    /// The value in a scope.
    pub fn eval(&self, scope: &Scope<'_>) -> Result<Json, EvalError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Whole(expression) => expression.eval(scope),
            Self::Text(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Plain(plain) => text.push_str(plain),
                        Piece::Value(expression) => match expression.eval(scope)? {
                            Json::String(s) => text.push_str(&s),
                            other => text.push_str(&other.to_string()),
                        },
                    }
                }
                Ok(Json::String(text))
            }
            Self::List(items) => {
                items.iter().map(|t| t.eval(scope)).collect::<Result<_, _>>().map(Json::Array)
            }
            Self::Map(fields) => {
                let eval = |(k, t): &(String, Self)| Ok((k.clone(), t.eval(scope)?));
                fields.iter().map(eval).collect::<Result<_, _>>().map(Json::Object)
            }
        }
    }

    /// All expressions in it.
    pub fn expressions(&self) -> Vec<&Expression> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Whole(expression) => vec![expression],
            Self::Text(pieces) => pieces
                .iter()
                .filter_map(|p| match p {
                    Piece::Value(expression) => Some(expression),
                    Piece::Plain(_) => None,
                })
                .collect(),
            Self::List(items) => items.iter().flat_map(Self::expressions).collect(),
            Self::Map(fields) => fields.iter().flat_map(|(_, t)| t.expressions()).collect(),
        }
    }

    /// What its expressions read.
    pub fn paths(&self) -> Vec<&Path> {
        self.expressions().into_iter().flat_map(Expression::paths).collect()
    }
}

/// Where the expression ends: the first `}}` outside quotes, with braces of maps balanced.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0u32;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None => match c {
                '"' | '\'' => quote = Some(c),
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                '}' if text[at..].starts_with(CLOSE) => return Some(at),
                _ => {}
            },
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn eval(value: &Json) -> Json {
        let mut scope = Scope::default();
        scope.set("item", &json!({"name": "h1", "n": 3}));
        Template::parse(value).expect("valid").eval(&scope).expect("a value")
    }

    #[test]
    fn a_whole_expression_keeps_its_type_and_a_piece_becomes_text() {
        assert_eq!(eval(&json!("${{ item.n }}")), json!(3));
        assert_eq!(eval(&json!("host ${{ item.name }}:${{ item.n }}")), json!("host h1:3"));
        assert_eq!(eval(&json!({"a": ["${{ item }}", 1]})), json!({"a": [{"name": "h1", "n": 3}, 1]}));
        assert_eq!(eval(&json!("${{ {'a': {'b': '}}'}} }}")), json!({"a": {"b": "}}"}}));
        assert!(matches!(Template::parse(&json!({"a": [1, "x"]})), Ok(Template::Literal(_))));
    }

    #[test]
    fn errors_give_the_place_in_the_text() {
        let error = Template::parse(&json!("x ${{ item. }}")).expect_err("incomplete");
        assert_eq!(error.error.offset, 11, "{error}");
        let error = Template::parse(&json!("x ${{ item")).expect_err("not closed");
        assert_eq!((error.error.message.as_str(), error.error.offset), ("${{ without }}", 2));
    }
}
