//! Which settings are refused, and the text of each error.

use super::*;
use crate::device::DevicePreference;

fn config() -> Config {
    Config::new("a/log")
}

fn refusal(config: Config) -> String {
    config.validate_with(None).expect_err("a refusal").to_string()
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let settings = config().validate_with(None).expect("valid");
    let derived = (settings.thread_ring_bytes, settings.message_bytes_max, settings.first_segment_bytes);
    assert_eq!(derived, (64 << 10, 64 << 10, 16 << 20));
    let documented = config()
        .reserve_bytes(16 << 20)
        .severe_only_eighths(1)
        .rings_bytes_max(256 << 20)
        .block_bytes(512 << 10)
        .blocks_in_flight(8)
        .flush_interval(Duration::from_millis(100))
        .segment_bytes(256 << 20)
        .level(Level::Info)
        .overflow(Overflow::DropNewest)
        .close_deadline(Duration::from_secs(5))
        .service("")
        .create_parents(false)
        .flight_recorder(0)
        .flight_recorder_level(Level::Trace)
        .snapshots_max(100)
        .file_mode(0o600)
        .device(DevicePreference::Auto);
    assert_eq!(settings.config, documented);
    assert_eq!((settings.ring_bytes, settings.crowded_ring_bytes), (1 << 20, 1 << 20));
    let waiting = config().overflow(Overflow::Block).validate_with(None).expect("valid");
    assert_eq!((waiting.ring_bytes, waiting.crowded_ring_bytes), (4 << 20, 1 << 20));
    assert_eq!(settings.message_bytes_max_in(settings.ring_bytes), 64 << 10);
    assert_eq!(settings.message_bytes_max_in(settings.thread_ring_bytes), (32 << 10) - 24);
}

#[test]
fn each_invalid_setting_is_refused_with_its_name_its_value_and_the_remedy() {
    let ms = Duration::from_millis;
    let cases: [(Config, &str); 50] = [
        (Config::new(""), "path is empty: name the log's directory"),
        (config().ring_bytes(0), "ring_bytes is 0 bytes: use a power of two from 4 KiB to 1 GiB, such as 4 KiB"),
        (config().ring_bytes(5000), "ring_bytes is 5,000 bytes: use a power of two from 4 KiB to 1 GiB, such as 8 KiB"),
        (config().ring_bytes(2048), "ring_bytes is 2 KiB: use a power of two from 4 KiB"),
        (config().ring_bytes(1 << 31), "ring_bytes is 2 GiB: use a power of two from 4 KiB to 1 GiB, such as 1 GiB"),
        (config().ring_bytes(usize::MAX), "ring_bytes is 18,446,744,073,709,551,615 bytes: use a power of two"),
        (config().thread_ring_bytes(0), "thread_ring_bytes is 0 bytes: use a power of two"),
        (
            config().thread_ring_bytes(65_535),
            "thread_ring_bytes is 65,535 bytes: use a power of two from 4 KiB to 1 GiB, such as 64 KiB",
        ),
        (
            config().thread_ring_bytes(65_536).message_bytes_max(40_000),
            "thread_ring_bytes is 64 KiB: a message of message_bytes_max must fit half of it; use 128 KiB, or lower message_bytes_max",
        ),
        (config().rings_bytes_max(0), "rings_bytes_max is 0 bytes: one ring takes 1 MiB; use at least that"),
        (config().ring_bytes(4096).rings_bytes_max(4096), "rings_bytes_max is 4 KiB: one ring takes 64 KiB"),
        (
            config().reserve_bytes(100_000),
            "reserve_bytes is 100,000 bytes: use a power of two from 64 KiB to 1 GiB, such as 128 KiB, or 0 for none",
        ),
        (config().reserve_bytes(4096), "reserve_bytes is 4 KiB: use a power of two from 64 KiB"),
        (config().severe_only_eighths(5), "severe_only_eighths is 5: use 0 to 4 eighths"),
        (config().message_bytes_max(0), "message_bytes_max is 0 bytes: use at least 1"),
        (
            config().message_bytes_max((512 << 10) - 23),
            "message_bytes_max is 524,265 bytes: half a ring_bytes of 1 MiB holds 524,264 bytes; use at most that, or a ring_bytes of 2 MiB",
        ),
        (
            config().block_bytes(256 << 10).message_bytes_max((224 << 10) - 527),
            "message_bytes_max is 228,849 bytes: a block_bytes of 256 KiB holds 228,848 bytes; use at most that, or a block_bytes of 260 KiB",
        ),
        (
            config().message_bytes_max(16 << 20),
            "message_bytes_max is 16 MiB: use at most 14,679,536 bytes: a record never spans blocks",
        ),
        (config().message_bytes_max(usize::MAX), "message_bytes_max is 18,446,744,073,709,551,615 bytes: use at most"),
        (
            config().block_bytes(0),
            "block_bytes is 0 bytes: use a multiple of 4 KiB from 4 KiB to 16 MiB, such as 4 KiB",
        ),
        (
            config().block_bytes(10_000),
            "block_bytes is 10,000 bytes: use a multiple of 4 KiB from 4 KiB to 16 MiB, such as 12 KiB",
        ),
        (
            config().block_bytes(32 << 20),
            "block_bytes is 32 MiB: use a multiple of 4 KiB from 4 KiB to 16 MiB, such as 16 MiB",
        ),
        (config().blocks_in_flight(0), "blocks_in_flight is 0: use 1 to 64 blocks"),
        (config().blocks_in_flight(65), "blocks_in_flight is 65: use 1 to 64 blocks"),
        (config().flush_interval(Duration::ZERO), "flush_interval is 0ns: use 1 ms to 1 hour"),
        (
            config().segment_bytes(256 << 10),
            "segment_bytes is 256 KiB: a segment holds a header of 4 KiB and a block; use at least 516 KiB",
        ),
        (
            config().segment_bytes((1 << 20) + 1),
            "segment_bytes is 1,048,577 bytes: use a multiple of 4 KiB, such as 1028 KiB",
        ),
        (config().segment_bytes(u64::MAX), "segment_bytes is 18,446,744,073,709,551,615 bytes: use at most 1 TiB"),
        (config().rotate_after(Duration::ZERO), "rotate_after is 0ns: use at least 1 s, or leave it out"),
        (config().rotate_after(ms(999)), "rotate_after is 999ms: use at least 1 s, or leave it out"),
        (config().retain_for(Duration::ZERO), "retain_for is 0ns: use at least 1 s, or leave it out"),
        (config().retain_segments(0), "retain_segments is 0: use at least 1, the present segment, or leave it out"),
        (
            config().retain_bytes(255 << 20),
            "retain_bytes is 255 MiB: a segment takes up to segment_bytes, 256 MiB; use at least that, or smaller",
        ),
        (
            config().segment_bytes(2 << 20).first_segment_bytes(1 << 20).retain_bytes(1 << 20),
            "retain_bytes is 1 MiB: a segment takes up to segment_bytes, 2 MiB; use at least that",
        ),
        (
            config().overflow(Overflow::BlockFor(ms(0))),
            "overflow is BlockFor(0ns): wait more than zero and at most 1 hour, or use",
        ),
        (
            config().flight_recorder(100_000),
            "flight_recorder is 100,000 bytes: use a power of two from 4 KiB to 1 GiB, such as 128 KiB, or 0 for none",
        ),
        (config().flight_recorder(1), "flight_recorder is 1 byte: use a power of two from 4 KiB"),
        (
            config().flight_recorder(64 << 10).message_bytes_max(40_000),
            "flight_recorder is 64 KiB: a message of message_bytes_max must fit half of it; use 128 KiB, or lower",
        ),
        (
            config().flight_recorder(256 << 20),
            "flight_recorder is 256 MiB: rings_bytes_max leaves 255 MiB beside one ring; use at most that, or raise",
        ),
        (config().flight_recorder_level(Level::Off), "flight_recorder_level is off: use a level that records have"),
        (config().snapshots_max(0), "snapshots_max is 0: use at least 1"),
        (config().flight_recorder(4096).snapshot_every(ms(999)), "snapshot_every is 999ms: use at least 1 s"),
        (
            config().snapshot_on(Level::Error),
            "snapshot_on is set: there is no flight recorder to take one of; set flight",
        ),
        (config().snapshot_on_panic(true), "snapshot_on_panic is set: there is no flight recorder"),
        (config().snapshot_every(ms(1000)), "snapshot_every is set: there is no flight recorder"),
        (config().file_mode(0o400), "file_mode is 0o400: use 0o600, 0o640, 0o644, 0o660 or another one"),
        (config().file_mode(0o750), "file_mode is 0o750: use 0o600, 0o640, 0o644"),
        (config().file_mode(640), "file_mode is 640, which is 0o1200 in octal: did you mean 0o640?"),
        (config().file_mode(777), "file_mode is 0o1411: use 0o600"),
        (config().service("x".repeat(256)), "service is 256 bytes long: use a name of at most 255 bytes"),
    ];
    for (config, message) in cases {
        let shown = format!("{config:?}");
        let refusal = refusal(config);
        assert!(refusal.starts_with(message), "{refusal}\nexpected {message}\nfrom {shown}");
    }
    assert!(refusal(config().flush_interval(Duration::MAX)).contains("1 hour"));
    assert!(refusal(config().overflow(Overflow::BlockFor(Duration::MAX))).contains("1 hour"));
    assert!(refusal(config().close_deadline(Duration::MAX)).contains("1 day"));
}

#[test]
fn settings_that_follow_the_remedies_are_accepted() {
    for config in [
        config().message_bytes_max(524_265).ring_bytes(2 << 20).block_bytes(1 << 20),
        config().message_bytes_max(228_849).block_bytes(266_240),
        config().message_bytes_max(14_679_536).ring_bytes(64 << 20).block_bytes(16 << 20),
        config().message_bytes_max(40_000).thread_ring_bytes(131_072),
        config().segment_bytes(528_384),
        config().segment_bytes(528_384).retain_bytes(528_384),
        config().retain_segments(1).retain_for(Duration::from_secs(1)).rotate_after(Duration::from_secs(1)),
        config().retain_segments(u64::MAX).retain_for(Duration::MAX).rotate_after(Duration::MAX),
    ] {
        let shown = format!("{config:?}");
        config.validate_with(None).unwrap_or_else(|error| panic!("{error} from {shown}"));
    }
}

#[test]
fn the_smallest_sizes_are_accepted_and_give_the_largest_message_that_fits() {
    let smallest = config().ring_bytes(4096).thread_ring_bytes(4096).block_bytes(4096).segment_bytes(8192);
    let settings = smallest.clone().rings_bytes_max(4096).validate_with(None).expect("valid");
    assert_eq!(settings.message_bytes_max, 2048 - 24);
    let settings = smallest.ring_bytes(1 << 20).validate_with(None).expect("valid");
    assert_eq!(settings.message_bytes_max, 4096 - (64 + 32 + 16 + 336 + 32 + 16 + 32 + 512));
    assert_eq!(settings.message_bytes_max_in(4096), 2048 - 24);
}

#[test]
fn an_explicit_message_longer_than_the_default_is_accepted_and_holds_in_a_threads_ring_too() {
    let wide = config().message_bytes_max(1 << 20).ring_bytes(4 << 20).block_bytes(2 << 20);
    let settings = wide.validate_with(None).expect("valid");
    assert_eq!((settings.message_bytes_max, settings.thread_ring_bytes), (1 << 20, 4 << 20));
    assert_eq!(settings.message_bytes_max_in(settings.thread_ring_bytes), 1 << 20);
}

#[test]
fn the_environment_overrides_the_level_and_an_unknown_word_is_refused() {
    let level = |word: &str| config().level(Level::Warn).validate_with(Some(OsStr::new(word)));
    let levels = |validated: Result<Validated>| validated.expect("valid").config.level.to_string();
    assert_eq!(levels(level("TRACE")), "trace");
    assert_eq!(levels(level("")), "warn");
    assert_eq!(levels(level("hyper=off")), "warn,hyper=off");
    assert_eq!(levels(config().level(Level::Debug).validate_with(None)), "debug");
    let configured = config().level("debug,a=off");
    assert_eq!(levels(configured.clone().validate_with(None)), "debug,a=off");
    assert_eq!(levels(configured.validate_with(Some(OsStr::new("b=warn")))), "debug,b=warn");
    assert_eq!(
        level("loud").expect_err("a refusal").to_string(),
        "DIOLOG_LEVEL is \"loud\": \"loud\" is not a level; use error, warn, info, debug, trace or off, or a target and \
         a level as in \"hyper=off\"; or unset it"
    );
    assert_eq!(
        config().level("info,hyper=loud").validate_with(None).expect_err("a refusal").to_string(),
        "level is \"info,hyper=loud\": \"loud\" in \"hyper=loud\" is not a level; use error, warn, info, debug, trace \
         or off"
    );
}
