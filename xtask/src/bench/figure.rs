//! One measured figure.

use serde_json::json;

/// A figure, beside the raw limit of the same run where there is one.
pub struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    raw: Option<f64>,
    aim: Option<Aim>,
}

/// What a figure should be; its ratio, where it has one.
#[derive(Clone, Copy)]
enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

impl Aim {
    fn bound(self) -> f64 {
        match self {
            Self::AtMost(bound) | Self::AtLeast(bound) => bound,
        }
    }

    fn sign(self) -> char {
        match self {
            Self::AtMost(_) => '≤',
            Self::AtLeast(_) => '≥',
        }
    }
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
        Self { aim: Some(Aim::AtMost(aim)), ..self }
    }

    /// What the ratio should not be below; the value, where there is no ratio.
    pub fn at_least(self, aim: f64) -> Self {
        Self { aim: Some(Aim::AtLeast(aim)), ..self }
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
        let figure = self.beside().unwrap_or(self.value);
        self.aim.map(|aim| match aim {
            Aim::AtMost(most) => figure <= most,
            Aim::AtLeast(least) => figure >= least,
        })
    }

    fn json(&self) -> serde_json::Value {
        let Self { name, value, unit, raw, aim } = self;
        let mut line =
            json!({"name": name, "value": value, "unit": unit, "raw": raw, "ratio": self.beside()});
        if let Some(ok) = self.ok() {
            line["aim"] = json!(aim.map(Aim::bound));
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
            (Some(aim), Some(ok)) => {
                format!("  aim {} {:.2}: {}", aim.sign(), aim.bound(), if ok { "ok" } else { "missed" })
            }
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
        let rate = Figure::plain("rate", 301.0, "jobs/s").at_least(300.0);
        assert!(rate.text().ends_with("301.0 jobs/s  aim ≥ 300.00: ok"));
        assert_eq!(memory.json()["ratio"], serde_json::Value::Null);
    }
}
