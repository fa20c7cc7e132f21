//! Plots of a load's seconds, as SVG: messages, times of appends, and what the machine did.

use std::error::Error;
use std::io;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::rows::Row;
use crate::text::escape;

/// Pixels of the picture, wide and high.
const SIZE: (u32, u32) = (900, 960);

const ACCEPTED: RGBColor = RGBColor(31, 119, 180);
const LOST: RGBColor = RGBColor(214, 39, 40);
const P50: RGBColor = RGBColor(44, 160, 44);
const P99: RGBColor = RGBColor(255, 127, 14);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Line = (&'static str, RGBColor, Vec<(f64, f64)>);

/// Writes the plots of `rows`, which are in order of time.
pub(super) fn write(path: &Path, rows: &[Row]) -> io::Result<()> {
    let mut svg = String::new();
    draw(&mut svg, rows).map_err(|error| io::Error::other(format!("the plot: {error}")))?;
    std::fs::write(path, svg).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", escape::path(path))))
}

fn draw(svg: &mut String, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let panels = root.split_evenly((3, 1));
    let line = |value: fn(&Row) -> f64| rows.iter().map(|row| (row.seconds, value(row))).collect::<Vec<_>>();
    let per_second = |count: u64, row: &Row| count as f64 / row.length.max(1e-3);
    let counts =
        |value: fn(&Row) -> u64| rows.iter().map(|row| (row.seconds, per_second(value(row), row))).collect::<Vec<_>>();
    linear(
        &panels[0],
        "messages a second",
        &[("accepted", ACCEPTED, counts(|row| row.accepted)), ("lost", LOST, counts(|row| row.lost))],
    )?;
    let us = |ns: u64| ns.max(1) as f64 / 1e3;
    let times = |value: fn(&Row) -> u64| rows.iter().map(|row| (row.seconds, us(value(row)))).collect::<Vec<_>>();
    logarithmic(
        &panels[1],
        "time of an append, from when it was due, µs",
        &[
            ("p50", P50, times(|row| row.append_ns[0])),
            ("p99", P99, times(|row| row.append_ns[1])),
            ("max", LOST, times(|row| row.append_ns[3])),
        ],
    )?;
    linear(
        &panels[2],
        "disk, MB/s, and CPU, % of a core",
        &[
            ("disk", ACCEPTED, line(|row| row.usage.disk.unwrap_or_default().bytes_per_second / 1e6)),
            ("CPU", P99, line(|row| row.usage.cpu * 100.0)),
        ],
    )?;
    root.present()?;
    Ok(())
}

fn linear(area: &Area<'_>, title: &str, lines: &[Line]) -> Result<(), Box<dyn Error>> {
    let (end, top) = bounds(lines);
    chart(area, title, lines, end, 0.0..top * 1.05)
}

fn logarithmic(area: &Area<'_>, title: &str, lines: &[Line]) -> Result<(), Box<dyn Error>> {
    let (end, top) = bounds(lines);
    let values = lines.iter().flat_map(|(.., points)| points).map(|(_, value)| *value);
    let bottom = values.fold(top, f64::min);
    chart(area, title, lines, end, (bottom / 1.5..top * 1.5).log_scale())
}

/// Draws `lines` from the first second to `end`, with the axis `values`.
fn chart<Y>(area: &Area<'_>, title: &str, lines: &[Line], end: f64, values: Y) -> Result<(), Box<dyn Error>>
where
    Y: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
{
    let mut chart = ChartBuilder::on(area);
    let chart = chart.caption(title, ("sans-serif", 18)).margin(12).x_label_area_size(30).y_label_area_size(80);
    let mut chart = chart.build_cartesian_2d(0.0..end, values)?;
    chart.configure_mesh().light_line_style(WHITE).x_desc("s").y_label_formatter(&label).draw()?;
    for (name, colour, points) in lines {
        let series = chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        series.label(*name).legend(key(*colour));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    Ok(())
}

/// A value beside an axis.
fn label(value: &f64) -> String {
    if *value >= 1.0 || *value == 0.0 { format!("{value:.0}") } else { format!("{value}") }
}

/// The last time and the largest value.
fn bounds(lines: &[Line]) -> (f64, f64) {
    let points = || lines.iter().flat_map(|(.., points)| points);
    let end = points().map(|(time, _)| *time).fold(0.0, f64::max);
    let top = points().map(|(_, value)| *value).fold(0.0, f64::max);
    (if end > 0.0 { end } else { 1.0 }, if top > 0.0 { top } else { 1.0 })
}

/// The key of a line in the legend.
fn key(colour: RGBColor) -> impl Fn((i32, i32)) -> PathElement<(i32, i32)> {
    move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_of_one_second_and_of_none_can_be_drawn() {
        let row = Row { seconds: 1.0, length: 1.0, accepted: 10, append_ns: [100, 200, 300, 400], ..Row::default() };
        for rows in [&[][..], &[row]] {
            let mut svg = String::new();
            draw(&mut svg, rows).expect("drawn");
            assert!(svg.starts_with("<svg") && svg.contains("accepted") && svg.trim_end().ends_with("</svg>"), "{svg}");
        }
    }
}
