//! A report as one self-contained SVG: latency by percentile, throughput over time, the figures. Pure.
//!
//! Text and lines take the reader's colour scheme where the viewer knows one; else they are dark on a light card, which can be read on any
//! page. Colours are told apart by people who do not see all of them (Okabe and Ito's set), and garbage is dashed besides.

use std::fmt::Write as _;

use super::report::{Moment, Report, Series, milliseconds};

/// A panel's place.
#[derive(Clone, Copy)]
struct Panel {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 72.0;
const PANEL_WIDTH: f64 = WIDTH - MARGIN - 32.0;
const LEGEND_LINE: f64 = 22.0;

/// Draws a report.
pub fn draw(report: &Report) -> String {
    let legend = 92.0;
    let top = legend + LEGEND_LINE * report.series.len() as f64 + 34.0;
    let curve = Panel { left: MARGIN, top, width: PANEL_WIDTH, height: 280.0 };
    let flow = Panel { top: curve.top + curve.height + 92.0, height: 180.0, ..curve };
    let height = flow.top + flow.height + 56.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>channelgate bench: {title}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"10\"/>\n",
        WIDTH - 1.0,
        height - 1.0,
        title = escaped(&report.headline()),
    );
    text(&mut svg, 24.0, 38.0, "title", &report.title());
    text(&mut svg, 24.0, 60.0, "soft", &report.headline());
    draw_legend(&mut svg, report, legend);
    draw_curves(&mut svg, curve, &report.series);
    draw_flow(&mut svg, flow, &report.series);
    svg.push_str("</svg>\n");
    svg
}

/// A line for each series: its mark, its name, its figures in columns.
fn draw_legend(svg: &mut String, report: &Report, top: f64) {
    for (number, (series, figures)) in report.series.iter().zip(report.figures()).enumerate() {
        let y = top + LEGEND_LINE * number as f64;
        let _ = writeln!(
            svg,
            "<line class=\"{}\" x1=\"24\" x2=\"52\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
            class(series),
            y - 4.0,
            y - 4.0
        );
        text(svg, 62.0, y, "", &shortened(&series.name, 52));
        for (column, figure) in figures.iter().enumerate() {
            text(svg, 607.0 + 107.0 * column as f64, y, "end", figure);
        }
    }
}

/// Latency by percentile, both logarithmic.
fn draw_curves(svg: &mut String, panel: Panel, series: &[Series]) {
    text(
        svg,
        panel.left,
        panel.top - 14.0,
        "head",
        "Latency by percentile, from the intended arrival to the last byte",
    );
    let points = || series.iter().flat_map(|series| &series.curve);
    let decades = points().map(|(quantile, _)| nines(*quantile)).fold(1.0, f64::max).ceil();
    let lowest = points().map(|(_, ms)| *ms).fold(f64::MAX, f64::min).clamp(0.001, 1e6);
    let highest = points().map(|(_, ms)| *ms).fold(0.0, f64::max).max(lowest * 1.5);
    let (low, high) = (lowest.log10().floor(), highest.log10().ceil());
    let x = |quantile: f64| panel.left + panel.width * (nines(quantile) / decades).min(1.0);
    let y = |ms: f64| panel.top + panel.height * (1.0 - (ms.max(1e-3).log10() - low) / (high - low));
    let mut decade = low;
    while decade <= high {
        grid(svg, panel, y(10_f64.powf(decade)), &axis_milliseconds(10_f64.powf(decade)));
        decade += 1.0;
    }
    for (quantile, name) in [
        (0.0, "min"),
        (0.5, "p50"),
        (0.9, "p90"),
        (0.99, "p99"),
        (0.999, "p99.9"),
        (0.9999, "p99.99"),
        (0.99999, "p99.999"),
        (0.999999, "p99.9999"),
    ] {
        if nines(quantile) <= decades + 1e-9 {
            tick(svg, panel, x(quantile), name);
        }
    }
    for one in series {
        let points = one.curve.iter().map(|(quantile, ms)| (x(*quantile), y(*ms)));
        path(svg, class(one), points);
    }
}

/// Requests a second over time, with errors as marks at the bottom.
fn draw_flow(svg: &mut String, panel: Panel, series: &[Series]) {
    text(
        svg,
        panel.left,
        panel.top - 14.0,
        "head",
        "Requests a second, by when they ended; errors are marked",
    );
    let moments = || series.iter().flat_map(|series| &series.moments);
    let is_paired = series.iter().any(|series| series.target > 0);
    let step = series.iter().filter_map(|series| Some(series.moments.get(1)?.at_s)).fold(0.1, f64::max);
    let until = moments().map(|moment| moment.at_s + step).fold(step, f64::max);
    let highest = moments().map(|moment| moment.requests_per_second).fold(0.0, f64::max);
    let (unit, count) = scale(highest.max(1.0));
    let top = unit * count;
    let x = |seconds: f64| panel.left + panel.width * seconds / until;
    let y = |rate: f64| panel.top + panel.height * (1.0 - rate / top);
    let mut line = 0.0;
    while line <= count {
        grid(svg, panel, y(unit * line), &short(unit * line));
        line += 1.0;
    }
    let (unit, count) = scale(until);
    let mut line = 0.0;
    while line <= count && unit * line <= until {
        tick(svg, panel, x(unit * line), &format!("{} s", short(unit * line)));
        line += 1.0;
    }
    for one in series {
        // Each span is a step; where targets alternate, nothing is drawn in the other's turn.
        let is_drawn = |moment: &Moment| !is_paired || moment.requests_per_second > 0.0;
        for run in one.moments.chunk_by(|before, after| is_drawn(before) == is_drawn(after)) {
            let steps = run.iter().filter(|moment| is_drawn(moment)).flat_map(|moment| {
                let at = y(moment.requests_per_second);
                [(x(moment.at_s), at), (x(moment.at_s + step), at)]
            });
            path(svg, class(one), steps);
        }
        for moment in one.moments.iter().filter(|moment| moment.errors > 0) {
            let _ = writeln!(
                svg,
                "<rect class=\"error\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"5\"/>",
                x(moment.at_s),
                panel.top + panel.height - 5.0,
                (panel.width * step / until).max(1.5),
            );
        }
    }
}

impl Report {
    fn title(&self) -> String {
        match self.urls() {
            (first, Some(second)) => format!("{} against {}", shortened(first, 44), shortened(second, 44)),
            (first, None) => shortened(first, 90),
        }
    }
}

/// How many nines a quantile has: 0 for the least, 1 for p90.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-9).log10()
}

/// Steps of 1, 2 or 5 times a power of ten, and how many reach `highest`; at most six.
fn scale(highest: f64) -> (f64, f64) {
    let power = 10_f64.powf((highest / 6.0).log10().floor());
    let unit = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|unit| highest / unit <= 6.0);
    let unit = unit.unwrap_or(power * 10.0);
    (unit, (highest / unit).ceil().max(1.0))
}

/// Three digits that matter: `1.5k`, `20`, `0.1`.
fn short(number: f64) -> String {
    let (number, unit) = match number {
        large if large >= 1e6 => (large / 1e6, "M"),
        large if large >= 1e3 => (large / 1e3, "k"),
        small => (small, ""),
    };
    let decimals = match number {
        large if large >= 100.0 => 0,
        some if some >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{number:.decimals$}");
    let text = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

fn axis_milliseconds(ms: f64) -> String {
    if ms < 1.0 {
        format!("{} µs", short(ms * 1_000.0))
    } else if ms < 1_000.0 {
        format!("{} ms", short(ms))
    } else {
        format!("{} s", short(ms / 1_000.0))
    }
}

fn class(series: &Series) -> &'static str {
    match (series.target, series.is_garbage) {
        (0, false) => "line a",
        (0, true) => "line a garbage",
        (_, false) => "line b",
        (_, true) => "line b garbage",
    }
}

fn grid(svg: &mut String, panel: Panel, y: f64, label: &str) {
    let right = panel.left + panel.width;
    let _ = writeln!(
        svg,
        "<line class=\"grid\" x1=\"{}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
        panel.left
    );
    text(svg, panel.left - 8.0, y + 4.0, "axis end", label);
}

fn tick(svg: &mut String, panel: Panel, x: f64, label: &str) {
    let bottom = panel.top + panel.height;
    let _ = writeln!(
        svg,
        "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{bottom}\"/>",
        panel.top
    );
    text(svg, x, bottom + 18.0, "axis middle", label);
}

fn path(svg: &mut String, class: &str, points: impl Iterator<Item = (f64, f64)>) {
    let mut data = String::new();
    for (number, (x, y)) in points.enumerate() {
        let _ = write!(data, "{}{x:.1} {y:.1}", if number == 0 { 'M' } else { 'L' });
    }
    if !data.is_empty() {
        let _ = writeln!(svg, "<path class=\"{class}\" d=\"{data}\"/>");
    }
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, words: &str) {
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(words));
}

fn shortened(words: &str, characters: usize) -> String {
    if words.chars().count() <= characters {
        return words.to_owned();
    }
    let kept: String = words.chars().take(characters.saturating_sub(1)).collect();
    format!("{kept}…")
}

fn escaped(words: &str) -> String {
    let words = words.chars().filter(|c| !c.is_control());
    words.fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
        out
    })
}

impl Report {
    /// What the legend says of each series.
    fn figures(&self) -> impl Iterator<Item = [String; 4]> {
        self.tallies().map(|(requests, rate, p50, p99, errors)| {
            let errors = if errors == 0 {
                format!("{} requests", short(requests))
            } else {
                format!("{errors} errors")
            };
            [
                errors,
                format!("{}/s", short(rate)),
                format!("p50 {}", milliseconds(p50)),
                format!("p99 {}", milliseconds(p99)),
            ]
        })
    }
}

const STYLE: &str = "\
text{font:13px ui-sans-serif,system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2933}\
.title{font-size:19px;font-weight:600}.head{font-weight:600}.soft,.axis{fill:#5b6875}.axis{font-size:11.5px}\
.end{text-anchor:end}.middle{text-anchor:middle}\
.card{fill:#fdfdfb;stroke:#c9d0d6}.grid{stroke:#dde2e6;stroke-width:1}\
.line{fill:none;stroke-width:2;stroke-linejoin:round}.a{stroke:#0072b2}.b{stroke:#d55e00}.garbage{stroke-dasharray:6 4}\
.error{fill:#cc3311}\
@media (prefers-color-scheme:dark){text{fill:#e4e9ed}.soft,.axis{fill:#9aa7b3}.card{fill:#171c21;stroke:#36414b}\
.grid{stroke:#2c353d}.a{stroke:#56b4e9}.b{stroke:#e69f00}.error{fill:#ff7a5c}}";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_escaped_and_cut() {
        assert_eq!(escaped("a<b>&\"c\u{7}"), "a&lt;b&gt;&amp;&quot;c");
        assert_eq!(shortened("héllo", 5), "héllo");
        assert_eq!(shortened("héllo!", 5), "héll…");
        let numbers = [0.0, 0.1, 12.5, 659.63, 718.0, 1_500.0, 20_000.0, 3.4e6].map(short);
        assert_eq!(numbers, ["0", "0.1", "12.5", "660", "718", "1.5k", "20k", "3.4M"]);
    }

    proptest! {
        #[test]
        fn axes_hold_their_values_in_few_steps(highest in 1e-3..1e9) {
            let (unit, count) = scale(highest);
            prop_assert!(unit * count >= highest * 0.999_999 && (1.0..=7.0).contains(&count), "{} × {}", unit, count);
        }
    }
}
