//! The features `max_level_*` and `release_max_level_*`: a record beyond the level is filtered, whatever the threshold
//! is. This holds for the features that the test is built with; CI builds it with several.

use diolog::{Level, Logger, Outcome, STATIC_MAX_LEVEL};

/// The features of this build, and the level that each sets, the least verbose first.
const FEATURES: [(bool, bool, Level); 6] = [
    (cfg!(feature = "max_level_off"), cfg!(feature = "release_max_level_off"), Level::Off),
    (cfg!(feature = "max_level_error"), cfg!(feature = "release_max_level_error"), Level::Error),
    (cfg!(feature = "max_level_warn"), cfg!(feature = "release_max_level_warn"), Level::Warn),
    (cfg!(feature = "max_level_info"), cfg!(feature = "release_max_level_info"), Level::Info),
    (cfg!(feature = "max_level_debug"), cfg!(feature = "release_max_level_debug"), Level::Debug),
    (cfg!(feature = "max_level_trace"), cfg!(feature = "release_max_level_trace"), Level::Trace),
];

#[test]
fn the_most_verbose_feature_counts_and_without_any_everything_is_compiled_in() {
    let any = FEATURES.iter().filter(|(any, ..)| *any).map(|(.., level)| *level).max();
    let release = FEATURES.iter().filter(|(_, release, _)| *release).map(|(.., level)| *level).max();
    let expected = release.filter(|_| !cfg!(debug_assertions)).or(any).unwrap_or(Level::Trace);
    assert_eq!(STATIC_MAX_LEVEL, expected);
    println!("this build keeps {expected}");
}

#[test]
fn a_record_beyond_the_level_is_filtered_and_takes_no_number() {
    let (logger, log) = Logger::in_memory();
    let producer = logger.producer().expect("a producer");
    for level in Level::ALL {
        let is_kept = level <= STATIC_MAX_LEVEL;
        let expected = if is_kept { Outcome::Written } else { Outcome::Filtered };
        assert_eq!((producer.log(level, "record"), logger.log(level, "record")), (expected, expected));
        assert_eq!((producer.is_enabled(level), logger.is_enabled(level)), (is_kept, is_kept));
        assert_eq!(logger.is_enabled_for(level, "target"), is_kept);
    }
    let kept = Level::ALL.iter().filter(|level| **level <= STATIC_MAX_LEVEL).count();
    assert_eq!((log.records().len(), producer.next_sequence()), (2 * kept, kept as u64));
}
