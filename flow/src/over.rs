//! What a step runs over: the items of its list, the combinations of its matrix, its batches.

use rfx_schemas::plan::Matrix;
use serde_json::{Map, Value};

use crate::data::item_key;

/// Most jobs that a step of a plan may have, in all executions of its flow.
pub const MOST_JOBS: u32 = 1_000_000;

/// All combinations of a matrix whose templates have their values: the axes in order, the last one
/// varies fastest. What `exclude` names is taken out, what `include` names is added.
pub fn combinations(
    axes: &[(String, Value)],
    include: &[Value],
    exclude: &[Value],
) -> Result<Vec<Value>, String> {
    let mut all = vec![Map::new()];
    for (name, list) in axes {
        let Value::Array(values) = list else {
            return Err(format!("matrix: {name} must be a list, this is {}", short(list)));
        };
        if all.len().saturating_mul(values.len()) > MOST_JOBS as usize {
            return Err(format!("the matrix has more than {MOST_JOBS} combinations"));
        }
        let with = |fields: &Map<String, Value>, value: &Value| {
            let mut fields = fields.clone();
            fields.insert(name.clone(), value.clone());
            fields
        };
        all = all.iter().flat_map(|fields| values.iter().map(move |value| with(fields, value))).collect();
    }
    if axes.is_empty() {
        all.clear();
    }
    for without in exclude {
        let Value::Object(without) = without else {
            return Err(format!("matrix: exclude holds maps, this is {}", short(without)));
        };
        all.retain(|fields| !without.iter().all(|(name, value)| fields.get(name) == Some(value)));
    }
    let mut items: Vec<_> = all.into_iter().map(Value::Object).collect();
    for more in include {
        match more {
            Value::Object(_) => items.push(more.clone()),
            other => return Err(format!("matrix: include holds maps, this is {}", short(other))),
        }
    }
    Ok(items)
}

/// Items in lists of at most `size`.
pub fn batches(items: Vec<Value>, size: u32) -> Vec<Value> {
    let size = size as usize;
    let mut rest = items.into_iter();
    let mut all = Vec::new();
    loop {
        let batch: Vec<_> = rest.by_ref().take(size).collect();
        if batch.is_empty() {
            return all;
        }
        all.push(Value::Array(batch));
    }
}

/// How many jobs so many items come to.
pub fn jobs(items: u64, batch: Option<u32>) -> u64 {
    batch.map_or(items, |size| items.div_ceil(u64::from(size)))
}

/// What people call a combination: its values, in the order of the axes.
pub fn combination_key(matrix: &Matrix, item: &Value) -> Option<String> {
    let values = matrix.axes.iter().filter_map(|(name, _)| item.get(name));
    let texts: Vec<_> = values.map(|value| item_key(value).unwrap_or_else(|| short(value))).collect();
    if texts.is_empty() { item_key(item) } else { Some(texts.join(", ")) }
}

/// What people call a batch: its first and last item.
pub fn batch_key(batch: &Value) -> Option<String> {
    let items = batch.as_array()?;
    let (first, last) = (item_key(items.first()?)?, item_key(items.last()?)?);
    Some(if items.len() == 1 { first } else { format!("{first} … {last}") })
}

/// A value, shortened for a message.
pub fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 80 { text } else { text.chars().take(79).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_matrix_is_all_combinations_but_those_taken_out() {
        let axes = [("os".to_owned(), json!(["a", "b"])), ("size".to_owned(), json!([1, 2]))];
        let include = [json!({"os": "c", "size": 9})];
        let exclude = [json!({"os": "b", "size": 1})];
        let items = combinations(&axes, &include, &exclude).expect("lists");
        let expected =
            [("a", 1), ("a", 2), ("b", 2), ("c", 9)].map(|(os, size)| json!({"os": os, "size": size}));
        assert_eq!(items, expected);
        let matrix = Matrix { axes: axes.to_vec(), ..Matrix::default() };
        assert_eq!(combination_key(&matrix, &items[1]).as_deref(), Some("a, 2"));
        let error = combinations(&[("os".to_owned(), json!(3))], &[], &[]).expect_err("no list");
        assert_eq!(error, "matrix: os must be a list, this is 3");
        assert_eq!(combinations(&[], &include, &[]).expect("only what is included").len(), 1);
    }

    #[test]
    fn batches_hold_all_items_in_order() {
        let items = (1..=5).map(Value::from).collect();
        assert_eq!(batches(items, 2), [json!([1, 2]), json!([3, 4]), json!([5])]);
        assert_eq!((jobs(5, Some(2)), jobs(5, None)), (3, 5));
        assert_eq!(batch_key(&json!([{"name": "a"}, {"name": "c"}])).as_deref(), Some("a … c"));
    }
}
