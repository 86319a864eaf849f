//! Tests of the whole, each in a world of its own: a real nats-server, real processes.

mod bad_input;
mod call;
mod calls;
mod cases;
mod catalogue;
mod composites;
mod connecting;
mod context;
mod docs;
mod environments;
mod executables;
mod faults;
mod flow;
mod functions;
mod native;
mod own_worker;
mod plan;
mod roles;
mod scaffold;
mod services;
mod step;
mod telemetry;
mod tidy;
mod traps;
mod versions;
