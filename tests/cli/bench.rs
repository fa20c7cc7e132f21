//! `diolog bench`: that it works and cleans up. What it measures is nobody's to judge here.

use std::fs;

use crate::process::{Place, run, status, stderr, stdout};

#[test]
fn a_measurement_has_its_baseline_beside_it_and_leaves_nothing_behind() {
    let place = Place::new();
    let directory = place.join("disk");
    fs::create_dir(&directory).expect("made");
    for (what, baseline, figure) in [("append", "clock only", "p99.9"), ("sustained", "bare ring", "M rec/s")] {
        let output = run(["bench", what, "--seconds", "1", directory.to_str().expect("UTF-8")], b"");
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        let report = stdout(&output);
        assert!(report.contains(baseline) && report.contains(figure), "{report}");
        assert_eq!(directory.read_dir().expect("the directory").count(), 0);
    }
}
