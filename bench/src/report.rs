//! What was measured, for people and for machines.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::case::{Case, Column, Show};
use crate::job::Figures;
use crate::peers::{BASELINE, Peer};
use crate::stats::{median, range};
use crate::table::Table;

/// One peer in one case.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) peer: &'static dyn Peer,
    /// One per round; `None` where it failed.
    pub(crate) rounds: Vec<Option<Figures>>,
    /// Why it was not measured at all.
    pub(crate) not_applicable: Option<String>,
    /// How it was measured, where that must be known.
    pub(crate) note: Option<&'static str>,
    /// What went wrong, by round.
    pub(crate) failures: Vec<String>,
}

/// All rows of one case.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) case: &'static Case,
    pub(crate) rows: Vec<Row>,
}

/// The run as a whole.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) head: Vec<(&'static str, Value)>,
    pub(crate) sections: Vec<Section>,
}

impl Row {
    fn values(&self, key: &str) -> Vec<f64> {
        let rounds = self.rounds.iter().flatten();
        rounds.filter_map(|figures| figures.get(key)).collect()
    }

    /// Median over the rounds of this row's value by the baseline's in the same round.
    fn ratio(&self, baseline: &Self, key: &str) -> Option<f64> {
        let pairs = self.rounds.iter().zip(&baseline.rounds);
        let ratios: Vec<f64> = pairs
            .filter_map(|(own, base)| Some(own.as_ref()?.get(key)? / base.as_ref()?.get(key)?))
            .collect();
        median(&ratios)
    }

    fn cell(&self, baseline: Option<&Self>, column: &Column) -> String {
        let values = self.values(column.key);
        let shown = match column.show {
            Show::Median(digits) => median(&values).map(|value| fixed(value, digits)),
            Show::Rate => median(&values).map(rate),
            Show::Ratio => baseline.and_then(|baseline| self.ratio(baseline, column.key)).map(ratio),
            // It is no goal of the baseline, nor of other libraries.
            Show::Goal(most) => baseline
                .filter(|_| self.peer.name().starts_with("netchan"))
                .and_then(|baseline| self.ratio(baseline, column.key))
                .map(|value| goal(value, most)),
            Show::Range(digits) => {
                range(&values).map(|(low, high)| format!("{low:.digits$}–{high:.digits$}"))
            }
            Show::RateRange => range(&values).map(|(low, high)| format!("{}–{}", rate(low), rate(high))),
        };
        shown.unwrap_or_else(|| "–".to_owned())
    }
}

impl Section {
    fn baseline(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.peer.name() == BASELINE)
    }

    fn text(&self) -> String {
        let mut heads = vec!["peer"];
        heads.extend(self.case.columns.iter().map(|column| column.head));
        let mut table = Table::new(&heads);
        let mut notes = Notes::default();
        for row in &self.rows {
            let name = row.peer.name();
            if let Some(reason) = &row.not_applicable {
                let mut cells = vec![format!("{name}{}", notes.mark(reason))];
                cells.extend(self.case.columns.iter().map(|_| "n/a".to_owned()));
                table.push(cells);
                continue;
            }
            let mut mark = row.note.map(|note| notes.mark(note)).unwrap_or_default();
            for failure in &row.failures {
                mark.push_str(&notes.mark(&format!("FAILED: {failure}")));
            }
            let mut cells = vec![format!("{name}{mark}")];
            let columns = self.case.columns.iter();
            cells.extend(columns.map(|column| row.cell(self.baseline(), column)));
            table.push(cells);
        }
        format!("{}\n{table}{}", self.case.title, notes.text())
    }

    fn json(&self) -> Vec<Value> {
        let baseline = self.baseline();
        let rows = self.rows.iter();
        rows.map(|row| {
            let mut metrics = Map::new();
            for column in self.case.columns {
                let values = row.values(column.key);
                let key = column.key;
                metrics.insert(key.to_owned(), json!(median(&values)));
                if let Some((low, high)) = range(&values) {
                    metrics.insert(format!("{key}_min"), json!(low));
                    metrics.insert(format!("{key}_max"), json!(high));
                }
                if let Show::Goal(most) = column.show {
                    metrics.insert(format!("{key}_goal"), json!(most));
                }
                if let Some(baseline) = baseline {
                    metrics.insert(format!("{key}_ratio"), json!(row.ratio(baseline, key)));
                }
            }
            json!({
                "case": self.case.id,
                "workload": self.case.workload,
                "one_core": self.case.pinned,
                "peer": row.peer.name(),
                "metrics": metrics,
                "rounds": row.rounds,
                "not_applicable": row.not_applicable,
                "note": row.note,
                "failures": row.failures,
            })
        })
        .collect()
    }
}

impl Report {
    /// The tables for people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.head {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            // Writing to a String never fails.
            let _ = writeln!(text, "{name}: {value}");
        }
        for section in &self.sections {
            let _ = write!(text, "\n{}", section.text());
        }
        text.push_str(NOTES);
        text
    }

    /// One JSON document with the same rows.
    pub(crate) fn json(&self) -> Value {
        let mut document = Map::new();
        for (name, value) in &self.head {
            document.insert(name.replace(' ', "_"), value.clone());
        }
        let rows: Vec<Value> = self.sections.iter().flat_map(Section::json).collect();
        document.insert("rows".to_owned(), Value::Array(rows));
        Value::Object(document)
    }

    /// Whether anything that should have been measured was not.
    pub(crate) fn failed(&self) -> bool {
        let mut rows = self.sections.iter().flat_map(|section| &section.rows);
        rows.any(|row| !row.failures.is_empty())
    }
}

const NOTES: &str = "
Medians over the rounds; a ratio is the median of the ratios to raw in the same round; min–max shows the noise.
On one core the ratios are stable. Not pinned, waking the other core (tens of µs on a virtual machine) hides much of the
rest, and other work on the machine shows at once: compare only rows of one run. CPU is user and system time of both
processes. RSS is the growth of resident memory per channel, with all channels open and their messages taken.
";

/// Footnotes of one table; equal ones share a mark.
#[derive(Debug, Default)]
struct Notes(Vec<String>);

impl Notes {
    fn mark(&mut self, note: &str) -> String {
        let at = self.0.iter().position(|known| known == note);
        let at = at.unwrap_or_else(|| {
            self.0.push(note.to_owned());
            self.0.len() - 1
        });
        format!(" [{}]", at + 1)
    }

    fn text(&self) -> String {
        let notes = self.0.iter().enumerate();
        notes.map(|(at, note)| format!("  [{}] {note}\n", at + 1)).collect()
    }
}

fn fixed(value: f64, digits: usize) -> String {
    format!("{value:.digits$}")
}

fn ratio(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 0.095 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    }
}

fn goal(value: f64, most: f64) -> String {
    // As the ratio is shown beside it.
    let is_met = (value * 100.0).round() <= (most * 100.0).round();
    format!("≤ {most} {}", if is_met { "met" } else { "MISSED" })
}

fn rate(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.2} M", value / 1e6),
        value if value >= 1e3 => format!("{:.0} k", value / 1e3),
        value => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_as_the_ratio_is_shown() {
        let all = [0.8, 1.3, 1.304, 1.306, 2.0].map(|value| goal(value, 1.3));
        assert_eq!(all, ["≤ 1.3 met", "≤ 1.3 met", "≤ 1.3 met", "≤ 1.3 MISSED", "≤ 1.3 MISSED"]);
    }
}
