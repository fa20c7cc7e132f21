//! A log on a file system that cannot be written is read as anywhere, also if it is to be made durable first: there is
//! nothing to sync.
#![cfg(all(target_os = "linux", not(diolog_portable)))]

mod support;

use diolog::{Level, Logger, ReadOptions, Verdict};

#[test]
fn a_log_on_a_squashfs_is_read_durably() {
    let fill = |directory: &std::path::Path| {
        let logger = Logger::open(support::config(directory.join("log"))).expect("a log");
        let producer = logger.producer().expect("a producer");
        (0..100).for_each(|number| _ = producer.log(Level::Info, number.to_string()));
        drop(producer);
        logger.close().expect("durable");
    };
    support::disk::on_a_squashfs("a_log_on_a_squashfs_is_read_durably", fill, |mounted| {
        let file = std::fs::File::open(mounted.join("log/00000001.dlog")).expect("a segment");
        let error = file.sync_data().expect_err("there is nothing to sync");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}");
        for durable in [false, true] {
            let options = ReadOptions::new().durable(durable);
            assert_eq!(options.open(mounted.join("log")).expect("a log").flatten().count(), 100);
            assert_eq!(options.verify(mounted.join("log")).expect("a log").verdict, Verdict::Clean);
        }
    });
}
