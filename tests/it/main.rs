//! Tests of the whole, each in a world of its own: a real nats-server, real processes.

mod bad_input;
mod calls;
mod cases;
mod composites;
mod connecting;
mod docs;
mod faults;
mod flow;
mod native;
mod plan;
mod roles;
mod services;
mod telemetry;
mod tidy;
mod traps;
