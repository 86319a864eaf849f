//! The publisher: submits runs, drives them, and answers about them. The only role that publishes jobs.

pub mod call;
pub mod catalogue;
pub mod drive;
pub mod find;
pub mod progress;
pub mod scaffold;
pub mod serve;
mod shelf;
pub mod submit;
