//! One measured figure.

use serde_json::json;

/// A figure, beside the raw limit of the same run where there is one.
pub struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    raw: Option<f64>,
}

impl Figure {
    /// A figure that has a raw limit.
    pub fn ratio(name: &'static str, value: f64, unit: &'static str, raw: f64) -> Self {
        Self { name, value, unit, raw: Some(raw) }
    }

    /// A figure by itself.
    pub fn plain(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self { name, value, unit, raw: None }
    }

    /// Prints it, for people or as a line of JSON.
    #[expect(clippy::print_stdout, reason = "the figures are what was asked for")]
    pub fn print(&self, as_json: bool) {
        let ratio = self.raw.map(|raw| self.value / raw);
        if as_json {
            let Self { name, value, unit, raw } = self;
            println!("{}", json!({"name": name, "value": value, "unit": unit, "raw": raw, "ratio": ratio}));
            return;
        }
        let beside = match (self.raw, ratio) {
            (Some(raw), Some(ratio)) => format!("  raw {raw:.0}  ratio {ratio:.2}"),
            _ => String::new(),
        };
        println!("{:24} {:>10.1} {}{beside}", self.name, self.value, self.unit);
    }
}
