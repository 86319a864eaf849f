//! Single values: from what a layer holds to what a setting is. Flags and variables are always
//! texts, so each kind also reads its text form.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use config::{Value, ValueKind};

/// What a parser says: the value, or what is allowed.
pub(super) type Parsed<T> = Result<T, String>;

/// Any text, also an empty one.
pub(super) fn any_text(value: &Value) -> Parsed<String> {
    match &value.kind {
        ValueKind::String(text) => Ok(text.clone()),
        _ => Err("it must be a text in quotes".to_owned()),
    }
}

/// A text that is not empty.
pub(super) fn text(value: &Value) -> Parsed<String> {
    let text = any_text(value)?;
    if text.trim().is_empty() { Err("it must not be empty".to_owned()) } else { Ok(text) }
}

/// A text, where an empty one is none.
pub(super) fn optional(value: &Value) -> Parsed<Option<String>> {
    any_text(value).map(|text| Some(text).filter(|text| !text.is_empty()))
}

/// A type that says itself what is wrong with a text.
pub(super) fn name<T: FromStr<Err: Display>>(value: &Value) -> Parsed<T> {
    parsed(&text(value)?)
}

/// The same for a text. The names' own errors repeat the text, which is said already.
pub(super) fn parsed<T: FromStr<Err: Display>>(text: &str) -> Parsed<T> {
    text.parse().map_err(|error: T::Err| {
        let said = error.to_string();
        said.strip_prefix(&format!("{text:?} is ")).map_or(said.clone(), |rest| format!("it is {rest}"))
    })
}

/// A whole number in a range.
pub(super) fn number<T>(range: RangeInclusive<T>) -> impl Fn(&Value) -> Parsed<T>
where
    T: TryFrom<i64> + PartialOrd + Display,
{
    move |value| {
        let number = match &value.kind {
            ValueKind::I64(number) => Some(*number),
            ValueKind::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.and_then(|number| T::try_from(number).ok());
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("it must be a whole number from {} to {}", range.start(), range.end()))
    }
}

/// True or false.
pub(super) fn flag(value: &Value) -> Parsed<bool> {
    match &value.kind {
        ValueKind::Boolean(flag) => Ok(*flag),
        ValueKind::String(text) if text == "true" => Ok(true),
        ValueKind::String(text) if text == "false" => Ok(false),
        _ => Err("it must be true or false".to_owned()),
    }
}

/// A duration in a range, both ends written as people do.
pub(super) fn duration(range: RangeInclusive<&'static str>) -> impl Fn(&Value) -> Parsed<Duration> {
    let (low, high) = (*range.start(), *range.end());
    move |value| {
        let read = |text: &str| text.parse::<jiff::SignedDuration>().ok()?.try_into().ok();
        let duration = match &value.kind {
            ValueKind::String(text) => read(text),
            _ => None,
        };
        let allowed = read(low).zip(read(high)).expect("ends of ranges are written in code");
        duration.filter(|duration: &Duration| (allowed.0..=allowed.1).contains(duration)).ok_or_else(|| {
            format!("it must be a duration with a unit, from {low} to {high}, such as \"30s\"")
        })
    }
}

/// A list of texts, or one text with commas.
pub(super) fn list(value: &Value) -> Parsed<Vec<String>> {
    let items = match &value.kind {
        ValueKind::Array(items) => items.iter().map(any_text).collect::<Parsed<Vec<_>>>()?,
        ValueKind::String(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
        _ => return Err("it must be a list of texts, or one text with commas".to_owned()),
    };
    Ok(items.into_iter().filter(|item| !item.is_empty()).collect())
}

/// The entries of a table, or of one text `key=value,…`, which then share its origin; by key.
pub(super) fn entries(value: &Value) -> Parsed<Vec<(String, Value)>> {
    let mut entries = match &value.kind {
        ValueKind::String(text) => {
            let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
            let entry = |pair: &str| {
                let (key, text) = pair.split_once('=')?;
                let origin = value.origin().map(str::to_owned);
                Some((key.trim().to_owned(), Value::new(origin.as_ref(), text.trim())))
            };
            pairs.map(entry).collect::<Option<Vec<_>>>()
        }
        ValueKind::Table(table) => {
            Some(table.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        _ => None,
    }
    .ok_or("it must be a table, or a text such as \"key=value,key=value\"")?;
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(entries)
}

/// A single value as the text it is written as.
pub(super) fn scalar(value: &Value) -> Parsed<String> {
    match &value.kind {
        ValueKind::Nil | ValueKind::Table(_) | ValueKind::Array(_) => Err("it takes one value".to_owned()),
        kind => Ok(kind.to_string()),
    }
}
