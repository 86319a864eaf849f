//! What a flow takes: the types of its inputs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Types of inputs: those of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputKind {
    /// Anything.
    Any,
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// A map.
    Object,
}

impl InputKind {
    /// Every type.
    pub const ALL: [Self; 7] =
        [Self::Any, Self::String, Self::Integer, Self::Number, Self::Boolean, Self::Array, Self::Object];

    /// As flows spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
        }
    }

    /// The type with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether a value is of this type.
    pub fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::String => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
        }
    }
}

/// An input of a flow, as a plan keeps it for its composites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputRule {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: InputKind,
    /// Whether it must be given.
    #[serde(default)]
    pub required: bool,
    /// Template of what it is otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

impl InputRule {
    /// Whether the input may have this value; null stands for one that need not be given.
    pub fn accepts(&self, value: &Value) -> bool {
        self.kind.accepts(value) || (value.is_null() && !self.required)
    }
}
