//! One measured figure.

use serde_json::json;

/// A figure, beside the raw limit of the same run where there is one.
pub struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    raw: Option<f64>,
    aim: Option<f64>,
}

impl Figure {
    /// A figure that has a raw limit, or another figure to be held against.
    pub fn ratio(name: impl Into<String>, value: f64, unit: &'static str, raw: f64) -> Self {
        Self { name: name.into(), value, unit, raw: Some(raw), aim: None }
    }

    /// A figure by itself.
    pub fn plain(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, raw: None, aim: None }
    }

    /// What the ratio should not be above; the value, where there is no ratio.
    pub fn at_most(self, aim: f64) -> Self {
        Self { aim: Some(aim), ..self }
    }

    /// Prints it, for people or as a line of JSON.
    #[expect(clippy::print_stdout, reason = "the figures are what was asked for")]
    pub fn print(&self, as_json: bool) {
        println!("{}", if as_json { self.json().to_string() } else { self.text() });
    }

    fn beside(&self) -> Option<f64> {
        self.raw.map(|raw| self.value / raw)
    }

    /// Whether the aim is kept, if there is one.
    fn ok(&self) -> Option<bool> {
        self.aim.map(|aim| self.beside().unwrap_or(self.value) <= aim)
    }

    fn json(&self) -> serde_json::Value {
        let Self { name, value, unit, raw, aim } = self;
        let mut line =
            json!({"name": name, "value": value, "unit": unit, "raw": raw, "ratio": self.beside()});
        if let Some(ok) = self.ok() {
            line["aim"] = json!(aim);
            line["ok"] = json!(ok);
        }
        line
    }

    fn text(&self) -> String {
        let Self { name, value, unit, raw, aim } = self;
        let beside = match (raw, self.beside()) {
            (Some(raw), Some(ratio)) => format!("  beside {raw:.1}  ratio {ratio:.2}"),
            _ => String::new(),
        };
        let aim = match (aim, self.ok()) {
            (Some(aim), Some(ok)) => format!("  aim ≤ {aim:.2}: {}", if ok { "ok" } else { "missed" }),
            _ => String::new(),
        };
        format!("{name:28} {value:>10.1} {unit}{beside}{aim}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_for_the_ratio_where_there_is_one() {
        let step = Figure::ratio("step", 900.0, "µs", 500.0);
        assert_eq!(step.json()["ratio"], json!(1.8));
        assert!(step.text().ends_with("900.0 µs  beside 500.0  ratio 1.80"));
        assert_eq!(step.at_most(2.0).json()["ok"], json!(true));
        let memory = Figure::plain("memory", 251.0, "MiB").at_most(250.0);
        assert!(memory.text().ends_with("251.0 MiB  aim ≤ 250.00: missed"));
        assert_eq!(memory.json()["ratio"], serde_json::Value::Null);
    }
}
