//! The functions that a worker serves, by name and version.

use std::collections::HashMap;
use std::sync::Arc;

use rfx_schemas::name::{Function, Queue, Version};
use rfx_schemas::rules::Isolation;

use crate::executable::Executable;
use crate::native::Native;
use crate::open::Lent;

/// A function that this worker serves.
pub struct Served {
    /// Its version.
    pub version: Version,
    /// Digest of its code.
    pub digest: Option<String>,
    /// The lane that its jobs take unless somebody says otherwise.
    pub queue: Queue,
    /// Who executes it.
    pub kind: Kind,
}

/// Who executes a function.
pub enum Kind {
    /// This process.
    Native(Native),
    /// A runner of a pool.
    Pool {
        /// The pool.
        pool: Arc<Lent>,
        /// In what process, unless the run says otherwise.
        isolation: Isolation,
    },
    /// A program of its own.
    Executable {
        /// The program.
        program: Executable,
        /// Its pool, whose environment it may use; none where the pool has neither.
        _pool: Option<Arc<Lent>>,
    },
}

/// Functions by name and version. What an attempt has found stays as it was, whatever becomes of the
/// table meanwhile.
#[derive(Default)]
pub struct Functions {
    by_name: HashMap<Function, Vec<Arc<Served>>>,
    /// The pools with runners of their own.
    pools: Vec<Arc<Lent>>,
}

impl Functions {
    /// A function: of the version that is wanted, else the newest.
    pub fn find(&self, name: &Function, version: Option<&Version>) -> Option<Arc<Served>> {
        let all = self.by_name.get(name)?;
        match version {
            Some(version) => all.iter().find(|s| s.version == *version),
            None => all.last(),
        }
        .cloned()
    }

    /// Whether how many attempts of a function are executed at once is bounded by its runners alone: there
    /// are as many of them as slots, in one pool.
    pub fn is_bounded(&self, name: &Function) -> bool {
        let warm =
            |served: &Arc<Served>| matches!(&served.kind, Kind::Pool { isolation: Isolation::Warm, .. });
        self.pools.len() == 1 && self.by_name.get(name).is_some_and(|all| all.iter().all(warm))
    }

    /// Why there is no such function here.
    pub fn why_not(&self, name: &Function, version: Option<&Version>) -> String {
        match (self.by_name.get(name), version) {
            (Some(all), Some(version)) => {
                let all: Vec<_> = all.iter().map(|s| s.version.as_str()).collect();
                format!("this worker serves {name} in version {}, not {version}", all.join(", "))
            }
            _ => format!("this worker does not serve {name}"),
        }
    }

    /// Takes a function in.
    pub fn add(&mut self, name: Function, served: Arc<Served>) {
        if let Kind::Pool { pool, .. } = &served.kind
            && !self.pools.iter().any(|other| Arc::ptr_eq(other, pool))
        {
            self.pools.push(Arc::clone(pool));
        }
        let all = self.by_name.entry(name).or_default();
        all.push(served);
        all.sort_by_key(|s| s.version.numbers());
    }
}
