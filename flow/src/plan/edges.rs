//! Types: whether what a step is given can be what its function or flow takes.

use rfx_schemas::record::FunctionRecord;

use super::Planner;
use super::layout::Layer;
use crate::model::Flow;

/// What a step takes and gives, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Facing {}

impl Facing {
    pub(super) fn of_function(_record: Option<&FunctionRecord>) -> Self {
        Self {}
    }

    pub(super) fn of_flow(_flow: &Flow) -> Self {
        Self {}
    }
}

impl Planner<'_> {
    pub(super) fn edges(&mut self, _layer: &Layer, _facing: &[Facing]) {}
}
