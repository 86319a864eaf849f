//! Whether a value of one type can be one of another.
//!
//! Invariant: something is said only where no value of the given type would do.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::schema::same;
use super::{List, Map, Scalar, Shape, Type};

/// How many pairs of types are compared before the rest is taken to fit. It is there for schemas that contain
/// themselves in many ways; others need some hundred.
const MAX_PAIRS: u32 = 20_000;

/// How deep types are compared.
const MAX_DEPTH: u32 = 64;

/// Where, and why, no value of a type can be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Names of fields and positions of items, from the outside; a missing or unknown field is the last.
    pub path: Vec<String>,
    /// What is wrong there.
    pub kind: MismatchKind,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MismatchKind {
    /// A field that must be there is not.
    Missing {
        /// What it should be.
        expected: String,
    },
    /// A field is there that must not be.
    Unknown {
        /// The fields that there may be.
        known: Vec<String>,
    },
    /// The value is of the wrong type.
    Type {
        /// What it should be.
        expected: String,
        /// What it is.
        got: String,
    },
}

impl fmt::Display for MismatchKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { expected } => write!(f, "missing, expected {expected}"),
            Self::Unknown { known } if known.is_empty() => f.write_str("unknown, expected no fields"),
            Self::Unknown { known } => write!(f, "unknown, expected {}", known.join(", ")),
            Self::Type { expected, got } => write!(f, "expected {expected}, got {got}"),
        }
    }
}

impl Type {
    /// Where no value of `given` can be right for this type; empty when some value may be.
    ///
    /// An empty list or map is right for lists or maps of whatever, so a list of numbers may be one of texts.
    pub fn mismatches(&self, given: &Self) -> Vec<Mismatch> {
        let left = Cell::new(MAX_PAIRS);
        Pair { want: self, given, outer: None, depth: 0, left: &left }.mismatches()
    }

    /// Whether some values of both are of the same JSON type. Only for what is no union or reference.
    pub(super) fn shares_kind(&self, other: &Self) -> bool {
        Kind::ALL.into_iter().any(|kind| self.is_of(kind) && other.is_of(kind))
    }

    fn is_of(&self, kind: Kind) -> bool {
        match &self.0 {
            Shape::Scalar(scalar) => Kind::of(*scalar) == kind,
            Shape::OneOf(values) => values.iter().filter_map(Scalar::of).any(|s| Kind::of(s) == kind),
            Shape::List(_) => kind == Kind::List,
            Shape::Map(_) => kind == Kind::Map,
            Shape::Any | Shape::Union(_) | Shape::Ref(_) => false,
        }
    }
}

/// The types of JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Boolean,
    Text,
    Number,
    List,
    Map,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Null, Self::Boolean, Self::Text, Self::Number, Self::List, Self::Map];

    fn of(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Null => Self::Null,
            Scalar::Boolean => Self::Boolean,
            Scalar::Text => Self::Text,
            Scalar::Integer | Scalar::Number => Self::Number,
        }
    }
}

/// Two types that are compared, and the pairs that they are inside.
struct Pair<'a> {
    want: &'a Type,
    given: &'a Type,
    outer: Option<&'a Pair<'a>>,
    depth: u32,
    left: &'a Cell<u32>,
}

impl Pair<'_> {
    fn mismatches(&self) -> Vec<Mismatch> {
        if self.is_settled() {
            return Vec::new();
        }
        let (want, given) = (self.want.alternatives(), self.given.alternatives());
        if given.is_empty() {
            return Vec::new();
        }
        let mut of_same_kind = Vec::new();
        for want in &want {
            for given in &given {
                let found = self.alternative(want, given);
                if found.is_empty() {
                    return found;
                }
                if want.shares_kind(given) {
                    of_same_kind.push(found);
                }
            }
        }
        match of_same_kind.pop() {
            // What is wrong inside the only alternative that can be meant says most.
            Some(only) if of_same_kind.is_empty() => only,
            _ => vec![differ(self.want.to_string(), self.given.to_string())],
        }
    }

    /// Whether this pair is compared already further out, as happens with types that contain themselves, or
    /// enough was compared.
    fn is_settled(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        let mut outer = std::iter::successors(self.outer, |pair| pair.outer);
        left == 0
            || self.depth > MAX_DEPTH
            || outer.any(|pair| pair.want == self.want && pair.given == self.given)
    }

    fn alternative(&self, want: &Type, given: &Type) -> Vec<Mismatch> {
        let fits = match (&want.0, &given.0) {
            (Shape::Any, _) | (_, Shape::Any) => true,
            (Shape::Map(want), Shape::Map(given)) => return self.maps(want, given),
            (Shape::List(want), Shape::List(given)) => return self.lists(want, given),
            (Shape::Scalar(a), Shape::Scalar(b)) => a.contains(*b) || b.contains(*a),
            (Shape::OneOf(values), Shape::Scalar(scalar)) | (Shape::Scalar(scalar), Shape::OneOf(values)) => {
                values.iter().any(|value| scalar.accepts(value))
            }
            (Shape::OneOf(a), Shape::OneOf(b)) => a.iter().any(|a| b.iter().any(|b: &Value| same(a, b))),
            _ => false,
        };
        if fits { Vec::new() } else { vec![differ(want.to_string(), given.to_string())] }
    }

    /// Only fields that one of the two must have count: all others may just not be there.
    fn maps(&self, want: &Map, given: &Map) -> Vec<Mismatch> {
        let fields = want.fields.iter().chain(&given.fields);
        let names: BTreeSet<_> = fields.filter(|(_, entry)| entry.required).map(|(name, _)| name).collect();
        let field = |name: &String| match (want.get(name), given.get(name)) {
            (wanted, got) if got.is_never() && !given.requires(name) => {
                vec![Mismatch::at(name, MismatchKind::Missing { expected: wanted.to_string() })]
            }
            (wanted, _) if wanted.is_never() => {
                vec![Mismatch::at(name, MismatchKind::Unknown { known: want.known().collect() })]
            }
            (wanted, got) => self.inside(name, wanted, got),
        };
        names.into_iter().flat_map(field).collect()
    }

    /// A list that may have items is taken to have one: nobody means the empty list only. Behind what
    /// either knows by position all items are alike, so the first of them stands for all.
    fn lists(&self, want: &List, given: &List) -> Vec<Mismatch> {
        let too_short = given.max().is_some_and(|max| max < want.min);
        if too_short || want.max().is_some_and(|max| max < given.min) {
            return vec![differ(want.length(), given.length())];
        }
        let some = usize::from(given.max() != Some(0) && want.max() != Some(0));
        let sure = want.min.max(given.min).max(some);
        let apart = want.first.len().max(given.first.len());
        (0..sure.min(apart + 1))
            .flat_map(|i| self.inside(&i.to_string(), want.get(i), given.get(i)))
            .collect()
    }

    fn inside(&self, name: &str, want: &Type, given: &Type) -> Vec<Mismatch> {
        let pair = Pair { want, given, outer: Some(self), depth: self.depth + 1, left: self.left };
        let mut found = pair.mismatches();
        for mismatch in &mut found {
            mismatch.path.insert(0, name.to_owned());
        }
        found
    }
}

fn differ(expected: String, got: String) -> Mismatch {
    Mismatch { path: Vec::new(), kind: MismatchKind::Type { expected, got } }
}

impl Mismatch {
    fn at(name: &str, kind: MismatchKind) -> Self {
        Self { path: vec![name.to_owned()], kind }
    }
}
