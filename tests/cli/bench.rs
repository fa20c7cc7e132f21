//! `diolog bench` works and removes its files. The figures themselves are not judged here.

use std::fs;

use crate::process::{Place, run, status, stderr, stdout};

#[test]
fn a_measurement_reports_its_baseline_and_removes_its_files() {
    let place = Place::new();
    let directory = place.join("disk");
    fs::create_dir(&directory).expect("made");
    for (what, baseline, figure) in [("append", "clock only", "p99.9"), ("sustained", "bare ring", "M rec/s")] {
        let output = run(["bench", what, "--time", "1 s", directory.to_str().expect("UTF-8")], b"");
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        let report = stdout(&output);
        assert!(report.contains(baseline) && report.contains(figure), "{report}");
        // They judge a change of the package, and not this machine.
        assert!(what != "append" || !["at most", "PASS", "FAIL"].iter().any(|word| report.contains(word)), "{report}");
        assert_eq!(directory.read_dir().expect("the directory").count(), 0);
    }
}

#[test]
fn bench_disk_gives_its_figures_to_scripts_and_removes_its_files() {
    let place = Place::new();
    let (directory, samples) = (place.join("disk"), place.join("samples.csv"));
    fs::create_dir(&directory).expect("made");
    let [directory_name, samples_name] = [&directory, &samples].map(|path| path.to_str().expect("UTF-8"));
    let options = [
        &["--total-bytes", "1 MiB", "--block-bytes", "64 KiB", "--blocks-in-flight", "2", "--threads", "2"][..],
        &["--total-bytes", "64 KiB", "--flush-each", "--message-bytes", "64"],
        &["--total-bytes", "64 KiB", "--rate", "100000", "--csv", samples_name],
    ];
    for options in options {
        let fixed = ["bench", "disk", directory_name, "--format", "json"];
        let output = run(fixed.iter().chain(options), b"");
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        let figures: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        assert!(figures["records"].as_u64() > Some(0), "{figures}");
        assert!(
            figures["durable_bytes"].as_u64() >= figures["records"].as_u64().map(|records| records * 64),
            "{figures}"
        );
        assert!(figures["bytes_per_second"].as_f64() > Some(0.0), "{figures}");
        assert!(figures["latency_ns"]["p50"].as_u64() > Some(0), "{figures}");
        assert_eq!(directory.read_dir().expect("the directory").count(), 0);
    }
    let samples = fs::read_to_string(samples).expect("the samples");
    let columns = |line: &str| line.split(',').count();
    assert!(samples.lines().count() >= 2 && samples.lines().all(|line| columns(line) == 10), "{samples}");
}
