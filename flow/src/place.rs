//! Where a step may run.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rfx_schemas::name::{Group, NameError};

/// Where a step may run: a group by name, or labels that a group must have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The group.
    pub group: Option<Group>,
    /// Labels that the group must have.
    pub labels: BTreeMap<String, String>,
}

impl Place {
    /// Sets a label; the label `group` names the group itself.
    pub fn set(&mut self, label: &str, value: &str) -> Result<(), NameError> {
        if label == "group" {
            self.group = Some(value.parse()?);
        } else {
            self.labels.insert(label.to_owned(), value.to_owned());
        }
        Ok(())
    }

    /// This place with what `over` says about it: `over` wins key by key.
    #[must_use]
    pub fn overlaid(&self, over: &Self) -> Self {
        let mut labels = self.labels.clone();
        labels.extend(over.labels.clone());
        Self { group: over.group.clone().or_else(|| self.group.clone()), labels }
    }
}

/// Why a text is not a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// It has no `=`.
    #[error("{0:?} is not label=value; write provider=aws or group=aws-eu1")]
    Shape(String),
    /// The group's name is wrong.
    #[error(transparent)]
    Group(#[from] NameError),
}

impl FromStr for Place {
    type Err = PlaceError;

    /// Reads `provider=aws,cluster=eu1`.
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let mut place = Self::default();
        for pair in text.split(',') {
            let (label, value) = pair.split_once('=').ok_or_else(|| PlaceError::Shape(pair.to_owned()))?;
            place.set(label.trim(), value.trim())?;
        }
        Ok(place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = self.group.iter().map(|g| format!("group={g}"));
        let labels = self.labels.iter().map(|(k, v)| format!("{k}={v}"));
        f.write_str(&group.chain(labels).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_wins_over_the_step_key_by_key() {
        let step: Place = "provider=aws,cluster=eu1".parse().expect("a place");
        let run: Place = "cluster=us1".parse().expect("a place");
        assert_eq!(step.overlaid(&run).to_string(), "cluster=us1,provider=aws");
        let error = "aws".parse::<Place>().expect_err("no label");
        assert_eq!(error.to_string(), "\"aws\" is not label=value; write provider=aws or group=aws-eu1");
    }
}
