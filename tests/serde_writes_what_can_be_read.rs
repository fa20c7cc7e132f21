//! What serde writes, in JSON: settings that are read back as they were.
#![cfg(feature = "cli")]

use std::time::Duration;

use diolog::{Config, DevicePreference, Level, Overflow};

#[test]
fn settings_are_read_back_from_json_as_they_were() {
    let config = || Config::new("a/log");
    for config in [
        config(),
        config().segment_bytes(u64::MAX).retain_bytes((1 << 53) + 1).ring_bytes(5000).thread_ring_bytes(0),
        config().retain_for(Duration::MAX).flush_interval(Duration::ZERO).rotate_after(Duration::from_nanos(1_001)),
        config().overflow(Overflow::BlockFor(Duration::from_millis(5))).level(Level::Off).writer_core(3),
        config().overflow(Overflow::OverwriteOldest).device(DevicePreference::IoUring).service("a \"b\"\n"),
    ] {
        let text = serde_json::to_string(&config).expect("written");
        let read: Config = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
        assert_eq!(read, config, "{text}");
    }
    let text = serde_json::to_string(&config().retain_bytes((1 << 53) + 1)).expect("written");
    assert!(text.contains(r#""retain_bytes":"9007199254740993""#), "exact in every reader: {text}");
}
