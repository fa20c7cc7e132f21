//! The plots, as SVG: percentiles of calls, and durable messages a second.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::parent::{Figures, PRODUCERS};
use crate::report::median;
use crate::rival::Name;

/// Pixels: the width of a picture, the height of a row in it, and that of everything else.
const WIDTH: u32 = 900;
const ROW: u32 = 34;
const REST: u32 = 110;

const COLOURS: [RGBColor; 4] =
    [RGBColor(44, 160, 44), RGBColor(31, 119, 180), RGBColor(255, 127, 14), RGBColor(214, 39, 40)];

type All = BTreeMap<Name, Figures>;

/// One row: the name of a logger, and its values.
type Row = (Name, Vec<f64>);

/// Writes both plots into `directory`.
pub fn write(directory: &Path, all: &All) -> Result<(), Box<dyn Error>> {
    let append: Vec<Row> = all
        .iter()
        .filter(|(_, figures)| !figures.append.is_empty())
        .map(|(&name, figures)| {
            (name, (0..4).map(|at| median(&figures.append, |done| done.burst_ns[at])).collect::<Vec<_>>())
        })
        .collect();
    let title = "a call with 64 bytes, nanoseconds (logarithmic)";
    points(&directory.join("append.svg"), title, &["p50", "p95", "p99", "p99.9"], &append)?;
    let durable: Vec<Row> = all
        .iter()
        .filter(|(_, figures)| figures.durable.iter().all(|runs| !runs.is_empty()))
        .map(|(&name, figures)| {
            let rate = |at: usize| {
                median(&figures.durable[at], |(done, count)| count.found.max(1) as f64 / done.seconds / 1e6)
            };
            (name, (0..PRODUCERS.len()).map(rate).collect())
        })
        .collect();
    let title = "messages of 64 bytes until durable, millions a second";
    bars(&directory.join("durable.svg"), title, &["1 thread", "4 threads"], &durable)
}

fn height(rows: &[Row]) -> u32 {
    ROW * rows.len() as u32 + REST
}

/// A row of points for each logger.
fn points(path: &Path, title: &str, names: &[&str], rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let values = || rows.iter().flat_map(|(_, values)| values).copied();
    let (bottom, top) = (values().fold(f64::MAX, f64::min) / 1.5, values().fold(1.0, f64::max) * 1.5);
    let root = SVGBackend::new(path, (WIDTH, height(rows))).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root);
    let chart = chart.caption(title, ("sans-serif", 18)).margin(14).x_label_area_size(34).y_label_area_size(170);
    let mut chart = chart.build_cartesian_2d((bottom..top).log_scale(), -0.5..rows.len() as f64 - 0.5)?;
    // The first row is at the top.
    let y = |at: usize| (rows.len() - 1 - at) as f64;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(BLACK.mix(0.06))
        .y_labels(0)
        .x_label_formatter(&|ns| format!("{ns:.0}"))
        .draw()?;
    for (at, (_, values)) in rows.iter().enumerate() {
        let line = values.iter().map(|&ns| (ns, y(at)));
        chart.draw_series(LineSeries::new(line, BLACK.mix(0.25).stroke_width(2)))?;
    }
    for (at, (&name, colour)) in names.iter().zip(COLOURS).enumerate() {
        let dots =
            rows.iter().enumerate().map(|(row, (_, values))| Circle::new((values[at], y(row)), 5, colour.filled()));
        chart.draw_series(dots)?.label(name).legend(move |(x, y)| Circle::new((x + 8, y), 5, colour.filled()));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    let place = |row: usize| chart.backend_coord(&(bottom, y(row))).1;
    for (row, (name, _)) in rows.iter().enumerate() {
        root.draw(&label(*name, place(row)))?;
    }
    root.present()?;
    Ok(())
}

/// A group of bars for each logger.
fn bars(path: &Path, title: &str, names: &[&str], rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let top = rows.iter().flat_map(|(_, values)| values).copied().fold(0.1, f64::max) * 1.1;
    let root = SVGBackend::new(path, (WIDTH, height(rows))).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root);
    let chart = chart.caption(title, ("sans-serif", 18)).margin(14).x_label_area_size(34).y_label_area_size(170);
    let mut chart = chart.build_cartesian_2d(0.0..top, -0.5..rows.len() as f64 - 0.5)?;
    let y = |at: usize| (rows.len() - 1 - at) as f64;
    chart.configure_mesh().disable_y_mesh().max_light_lines(1).y_labels(0).draw()?;
    let thickness = 0.8 / names.len() as f64;
    for (at, (&name, colour)) in names.iter().zip(COLOURS).enumerate() {
        let bar = |(row, (_, values)): (usize, &Row)| {
            let upper = y(row) + 0.4 - at as f64 * thickness;
            Rectangle::new([(0.0, upper), (values[at], upper - thickness)], colour.filled())
        };
        let bars = chart.draw_series(rows.iter().enumerate().map(bar))?;
        bars.label(name).legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    let place = |row: usize| chart.backend_coord(&(0.0, y(row))).1;
    for (row, (name, _)) in rows.iter().enumerate() {
        root.draw(&label(*name, place(row)))?;
    }
    root.present()?;
    Ok(())
}

/// The logger's name beside its row.
fn label(name: Name, y: i32) -> Text<'static, (i32, i32), String> {
    let weight = if name.is_diolog() { FontStyle::Bold } else { FontStyle::Normal };
    Text::new(name.word().to_owned(), (16, y - 7), ("sans-serif", 15, weight).into_font())
}
