//! Renderings of a folded run: JSON, JUnit, HTML, markdown and the terminal summary.
//!
//! Each takes a [`Report`](rfx_schemas::report::Report) and gives text; only [`files`] touches the
//! disk. None reads the clock, so the same report always gives the same bytes.
//!
//! Invariant: what functions print, name or return is text from strangers. It passes
//! `text::plain` before it reaches a terminal or a file, and each rendering escapes it for its format.

mod artifacts;
mod calls;
pub mod catalogue;
pub mod files;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
mod pick;
mod recorder;
pub mod summary;
mod text;
mod tree;

#[cfg(test)]
mod fixtures;

pub use recorder::Recorder;
