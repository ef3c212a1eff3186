//! Draws how memory and start-up grow with the number of objects: two curves in a picture that needs no program to be made.

use std::fmt::Write as _;

use crate::table::number;

/// Width and height of one panel, and the margin around it, in pixels.
const PANEL: (f64, f64) = (300.0, 240.0);
const MARGIN: f64 = 60.0;

/// The medians with one number of objects.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    objects: f64,
    /// MiB.
    memory: f64,
    /// Seconds.
    start: f64,
}

impl Point {
    /// None if something was not measured.
    pub fn of(objects: usize, memory: Option<f64>, start: Option<f64>) -> Option<Self> {
        Some(Self { objects: number(objects), memory: memory?, start: start? })
    }
}

/// Both panels, all axes logarithmic. Black on white, so that it can be read in either scheme.
pub fn svg(points: &[Point]) -> String {
    let (width, height) = (2.0 * PANEL.0 + 3.0 * MARGIN, PANEL.1 + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let memory: Vec<_> = points.iter().map(|point| (point.objects, point.memory)).collect();
    let start: Vec<_> = points.iter().map(|point| (point.objects, point.start)).collect();
    panel(&mut out, MARGIN, "resident memory, MiB", &memory);
    panel(&mut out, PANEL.0 + 2.0 * MARGIN, "start-up, s", &start);
    out.push_str("</svg>\n");
    out
}

/// The powers of ten around some values, as exponents.
fn decades(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let exponents = values.map(f64::log10);
    let least = exponents.clone().fold(f64::INFINITY, f64::min).floor();
    let most = exponents.fold(f64::NEG_INFINITY, f64::max).ceil();
    (least, most.max(least + 1.0))
}

fn panel(out: &mut String, left: f64, title: &str, points: &[(f64, f64)]) {
    let (from_x, to_x) = decades(points.iter().map(|(x, _)| *x));
    let (from_y, to_y) = decades(points.iter().map(|(_, y)| *y));
    let at_x = |exponent: f64| left + PANEL.0 * (exponent - from_x) / (to_x - from_x);
    let at_y = |exponent: f64| MARGIN + PANEL.1 * (to_y - exponent) / (to_y - from_y);
    let (right, bottom) = (left + PANEL.0, MARGIN + PANEL.1);
    // Writing to a String cannot fail.
    let _ = writeln!(out, "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>", MARGIN - 15.0);
    let _ = writeln!(out, "<text x=\"{right}\" y=\"{}\" text-anchor=\"end\">objects</text>", bottom + 40.0);
    for exponent in steps(from_x, to_x) {
        let (x, label) = (at_x(exponent), 10_f64.powf(exponent));
        let _ = writeln!(out, "<path d=\"M{x:.1} {MARGIN}V{bottom}\" stroke=\"#ccc\"/>");
        let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", bottom + 18.0);
    }
    for exponent in steps(from_y, to_y) {
        let (y, label) = (at_y(exponent), 10_f64.powf(exponent));
        let _ = writeln!(out, "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#ccc\"/>");
        let _ = writeln!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", left - 6.0, y + 4.0);
    }
    let places: Vec<_> = points.iter().map(|(x, y)| (at_x(x.log10()), at_y(y.log10()), *y)).collect();
    let line: Vec<_> = places.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(out, "<polyline points=\"{}\" fill=\"none\" stroke=\"black\"/>", line.join(" "));
    for (x, y, value) in places {
        let digits = if value < 1.0 { 2 } else { 1 };
        let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
        let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value:.digits$}</text>", y - 8.0);
    }
}

/// The whole exponents of an axis.
fn steps(from: f64, to: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(from), |exponent| Some(exponent + 1.0)).take_while(move |exponent| *exponent <= to)
}
