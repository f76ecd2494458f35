//! What is measured: each figure with its floor, their ratio and the aim; as a table, and as one JSON object.

use serde::Serialize;

/// A figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: &'static str,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// What it stands beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<Floor>,
    /// The figure through its floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// What it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aim: Option<String>,
    /// Whether it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
}

/// A floor.
#[derive(Clone, Debug, Serialize)]
pub struct Floor {
    /// What it is.
    pub name: &'static str,
    /// How much.
    pub value: f64,
}

/// What an aim is about, and which way.
pub enum Aim {
    /// The figure is at most this.
    AtMost(f64),
    /// The figure is at least this.
    AtLeast(f64),
    /// Its ratio to the floor is at most this.
    RatioAtMost(f64),
    /// Its ratio to the floor is at least this.
    RatioAtLeast(f64),
}

impl Figure {
    /// A figure without a floor or an aim.
    pub fn new(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self {
            name,
            value: rounded(value),
            unit,
            floor: None,
            ratio: None,
            aim: None,
            met: None,
        }
    }

    /// Beside a floor of the same unit.
    pub fn beside(mut self, name: &'static str, value: f64) -> Self {
        self.ratio = (value > 0.0).then(|| rounded(self.value / value));
        self.floor = Some(Floor {
            name,
            value: rounded(value),
        });
        self
    }

    /// With an aim.
    pub fn aim(mut self, aim: &Aim) -> Self {
        let (sign, value, limit, of) = match *aim {
            Aim::AtMost(limit) => ("≤", Some(self.value), limit, ""),
            Aim::AtLeast(limit) => ("≥", Some(self.value), limit, ""),
            Aim::RatioAtMost(limit) => ("≤", self.ratio, limit, " × the floor"),
            Aim::RatioAtLeast(limit) => ("≥", self.ratio, limit, " × the floor"),
        };
        self.aim = Some(format!("{sign} {limit}{of}"));
        self.met = value.map(|value| {
            if sign == "≤" {
                value <= limit
            } else {
                value >= limit
            }
        });
        self
    }
}

/// Prints the table, and the JSON object as the last line.
pub fn print(figures: &[Figure], quick: bool) {
    println!(
        "\n{:<44} {:>10} {:<12} {:>10} {:>7}  {:<18} {:<4} floor",
        "figure", "value", "unit", "floor", "ratio", "aim", "met"
    );
    for figure in figures {
        let floor = figure.floor.as_ref();
        println!(
            "{:<44} {:>10} {:<12} {:>10} {:>7}  {:<18} {:<4} {}",
            figure.name,
            figure.value,
            figure.unit,
            floor.map_or(String::new(), |floor| floor.value.to_string()),
            figure.ratio.map_or(String::new(), |ratio| ratio.to_string()),
            figure.aim.as_deref().unwrap_or(""),
            figure.met.map_or("", |met| if met { "yes" } else { "NO" }),
            floor.map_or("", |floor| floor.name),
        );
    }
    let missed: Vec<&str> = figures
        .iter()
        .filter(|figure| figure.met == Some(false))
        .map(|figure| figure.name)
        .collect();
    let object = serde_json::json!({"figures": figures, "missed": missed, "quick": quick});
    println!("{object}");
}

fn rounded(value: f64) -> f64 {
    let digits = if value.abs() < 10.0 { 1000.0 } else { 10.0 };
    (value * digits).round() / digits
}
