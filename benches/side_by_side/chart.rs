//! The rows as a picture: a bar for each, as long as the gate's cost over its peer's, with the marks of what it must and what it should not exceed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::report::{Outcome, Row};

/// Draws all of them into `side_by_side.svg`.
pub(crate) fn draw(outcomes: &[Outcome], directory: &Path) {
    let rows: Vec<(&Row, &str)> = outcomes
        .iter()
        .flat_map(|outcome| &outcome.rows)
        .filter_map(|row| Some((row, row.against.as_deref()?)))
        .collect();
    let height = TOP + rows.len() * STEP + BOTTOM;
    let width = LABELS + BARS + FIGURES;
    let mut svg = String::new();
    write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <title>What the gate costs beside its peers</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"600\">What the gate costs beside its peers</text>\n\
         <text x=\"12\" y=\"42\" fill=\"#555\">Its figure over theirs, median of paired rounds; shorter is better. Line: quartiles. \
         Marks: must (red), goal (green).</text>\n"
    )
    .unwrap();
    for tenth in 0..=4 {
        let ratio = f64::from(tenth) * SCALE_MAX / 4.0;
        let (x, foot) = (place(ratio), height - BOTTOM);
        let colour = if ratio == 1.0 { "#888" } else { "#e4e4e4" };
        writeln!(
            svg,
            "<path d=\"M{x:.1} {TOP}V{foot}\" stroke=\"{colour}\"/><text x=\"{x:.1}\" y=\"{}\" fill=\"#555\" text-anchor=\"middle\">{ratio:.1}</text>",
            foot + 16
        )
        .unwrap();
    }
    for (at, (row, against)) in rows.iter().enumerate() {
        bar(&mut svg, TOP + at * STEP, row, against);
    }
    // More than one where not all was measured anew.
    let mut machines: Vec<_> = outcomes.iter().map(|outcome| outcome.machine.to_string()).collect();
    machines.sort();
    machines.dedup();
    let machine = machines.join(" | ");
    writeln!(
        svg,
        "<text x=\"12\" y=\"{}\" fill=\"#777\" font-size=\"10\">{}</text>\n</svg>",
        height - 8,
        escaped(&machine)
    )
    .unwrap();
    fs::write(directory.join("side_by_side.svg"), svg).unwrap();
}

fn bar(svg: &mut String, y: usize, row: &Row, against: &str) {
    let middle = y + STEP / 2;
    let colour = if row.must.is_none() {
        "#b8c4d6"
    } else if row.must.is_some_and(|must| row.median > must) {
        "#d98880"
    } else {
        "#5b8fc7"
    };
    let label = escaped(&format!("{} / {against}", row.title));
    writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>\
         <rect x=\"{LABELS}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/>\
         <path d=\"M{:.1} {middle}H{:.1}\" stroke=\"#222\"/>\
         <text x=\"{}\" y=\"{}\">{:.2}</text>",
        LABELS - 8,
        middle + 4,
        y + 3,
        place(row.median) - LABELS as f64,
        STEP - 6,
        place(row.quartiles.0),
        place(row.quartiles.1),
        LABELS + BARS + 8,
        middle + 4,
        row.median
    )
    .unwrap();
    for (bound, colour) in [(row.must, "#c0392b"), (row.goal, "#2e8b57")] {
        if let Some(bound) = bound {
            let x = place(bound);
            writeln!(svg, "<path d=\"M{x:.1} {y}v{STEP}\" stroke=\"{colour}\" stroke-width=\"2\"/>").unwrap();
        }
    }
}

fn place(ratio: f64) -> f64 {
    LABELS as f64 + ratio.min(SCALE_MAX) / SCALE_MAX * BARS as f64
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const TOP: usize = 60;
const BOTTOM: usize = 48;
const STEP: usize = 22;
const LABELS: usize = 370;
const BARS: usize = 480;
const FIGURES: usize = 60;
/// Longer bars are cut.
const SCALE_MAX: f64 = 2.0;
