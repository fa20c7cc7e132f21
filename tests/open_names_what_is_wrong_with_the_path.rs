//! A path that cannot become a log: the error names it and the remedy, and nothing is created or changed.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diolog::{Error, Level, Logger};

/// Everything under `root`, with the contents of files.
fn tree(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut tree = BTreeMap::new();
    for entry in std::fs::read_dir(root).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() && !path.is_symlink() {
            tree.extend(self::tree(&path));
            tree.insert(path, None);
        } else {
            let contents = std::fs::read(&path).ok();
            tree.insert(path, contents);
        }
    }
    tree
}

/// The error of opening a log at `path`, which must leave everything under `root` unchanged.
fn refusal(root: &Path, path: &Path) -> Error {
    let before = tree(root);
    let error = Logger::open(support::config(path)).expect_err("this cannot be a log");
    assert!(tree(root) == before, "after {error}");
    assert!(error.to_string().contains(&*path.to_string_lossy()), "the path is named: {error}");
    error
}

#[test]
fn a_file_is_no_log() {
    let directory = support::directory();
    let path = directory.path().join("file");
    std::fs::write(&path, "somebody else's").expect("writable");
    let error = refusal(directory.path(), &path);
    assert!(matches!(&error, Error::NotALog { .. }), "{error}");
    assert!(
        error.to_string().contains("is not a directory") && error.to_string().contains("name of its own"),
        "{error}"
    );
}

#[test]
fn a_log_without_numbers_for_further_segments_is_refused() {
    let directory = support::directory();
    let path = directory.path().join("log");
    std::fs::create_dir(&path).expect("writable");
    let last = path.join(format!("{}.dlog", u64::MAX));
    std::fs::write(&last, "somebody else's").expect("writable");
    std::fs::write(path.join("lock"), "").expect("writable");
    let error = refusal(directory.path(), &path);
    assert!(error.to_string().contains(&*last.to_string_lossy()), "the file is named: {error}");
    assert!(error.to_string().contains("move it away"), "{error}");
    std::fs::remove_file(&last).expect("ours");
    Logger::open(support::config(&path)).expect("now there are numbers").close().expect("a clean end");
}

#[test]
fn a_missing_parent_must_be_created_first() {
    let directory = support::directory();
    let missing = directory.path().join("missing");
    let error = refusal(directory.path(), &missing.join("log"));
    let Error::NoParent { parent, .. } = &error else { panic!("{error}") };
    assert_eq!(parent, &missing);
    let message = format!("because the directory {} does not exist: create that first", missing.display());
    assert!(error.to_string().contains(&message), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_parent_that_is_there_and_takes_no_directory_is_not_called_missing() {
    let error = refusal(support::directory().path(), Path::new("/proc/self/log"));
    assert!(error.io_error().is_some() && error.to_string().contains("/proc/self/log"), "{error}");
}

#[test]
fn a_parent_that_is_a_file_is_named() {
    let directory = support::directory();
    let file = directory.path().join("file");
    std::fs::write(&file, "somebody else's").expect("writable");
    let error = refusal(directory.path(), &file.join("log"));
    assert_eq!(error.io_error().map(std::io::Error::kind), Some(std::io::ErrorKind::NotADirectory), "{error}");
}

#[cfg(unix)]
#[test]
fn a_link_to_nowhere_is_refused() {
    let directory = support::directory();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(directory.path().join("elsewhere"), &link).expect("a link");
    refusal(directory.path(), &link);
}

#[test]
fn a_name_that_is_too_long_is_refused() {
    let directory = support::directory();
    refusal(directory.path(), &directory.path().join("x".repeat(300)));
}

/// Opens `root/name` as a user who may not, and expects an error that says so.
#[cfg(target_os = "linux")]
fn denied(root: &Path, name: &str) {
    let path = root.join(name);
    let error = Logger::open(support::config(&path)).expect_err("no permission");
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    assert_eq!(error.io_error().map(std::io::Error::kind), Some(std::io::ErrorKind::PermissionDenied), "{error}");
    assert!(error.to_string().contains("give this user the right to it"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_parent_without_write_permission_is_refused() {
    let test = "a_parent_without_write_permission_is_refused";
    let directory = support::os::as_nobody(test, |root| support::os::set_mode(root, 0o555), |root| denied(root, "log"));
    assert!(tree(directory.path()).is_empty());
    support::os::set_mode(directory.path(), 0o755);
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_without_write_permission_is_refused() {
    let prepare = |root: &Path| {
        support::os::set_mode(root, 0o755);
        std::fs::create_dir(root.join("log")).expect("writable");
        support::os::set_mode(&root.join("log"), 0o555);
    };
    let test = "a_directory_without_write_permission_is_refused";
    let directory = support::os::as_nobody(test, prepare, |root| denied(root, "log"));
    assert_eq!(tree(directory.path()).len(), 1);
    support::os::set_mode(&directory.path().join("log"), 0o755);
}

#[cfg(target_os = "linux")]
#[test]
fn the_log_of_another_user_is_refused() {
    if !support::os::is_root() && support::role().is_none() {
        return support::not_shown("the log of another user", "only root can be two users");
    }
    let mut before = BTreeMap::new();
    let prepare = |root: &Path| {
        support::os::set_mode(root, 0o755);
        let logger = Logger::open(support::config(root.join("log"))).expect("a log");
        logger.log(Level::Info, "private");
        logger.close().expect("a clean end");
        before = tree(root);
    };
    let directory = support::os::as_nobody("the_log_of_another_user_is_refused", prepare, |root| {
        denied(root, "log");
        let error = diolog::Reader::open(root.join("log")).expect_err("a log is its owner's alone");
        assert_eq!(error.io_error().map(std::io::Error::kind), Some(std::io::ErrorKind::PermissionDenied), "{error}");
    });
    assert!(tree(directory.path()) == before);
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_on_a_read_only_file_system_can_be_read_and_not_opened() {
    if support::role().is_some() {
        let root = support::child_directory();
        if let Err(error) = support::os::make_read_only(&root) {
            support::not_shown("a read-only file system", format!("no mount namespace: {error}"));
            std::process::exit(0);
        }
        for name in ["new", "log"] {
            let error = refusal(&root, &root.join(name));
            assert_eq!(error.io_error().and_then(std::io::Error::raw_os_error), Some(libc::EROFS), "{error}");
            assert!(error.to_string().contains("mounted read-only, choose another place"), "{error}");
        }
        assert_eq!(diolog::Reader::open(root.join("log")).expect("a log").count(), 1);
        assert_eq!(diolog::verify(root.join("log")).expect("a log").verdict, diolog::Verdict::Clean);
        std::process::exit(0);
    }
    let directory = support::directory();
    let logger = Logger::open(support::config(directory.path().join("log"))).expect("a log");
    logger.log(Level::Info, "one");
    logger.close().expect("a clean end");
    let test = "a_log_on_a_read_only_file_system_can_be_read_and_not_opened";
    support::child::expect_success(test, "read-only", directory.path());
}

#[cfg(unix)]
#[test]
fn a_path_that_no_system_call_takes_is_refused_by_its_beginning_and_a_remedy() {
    use diolog::{Config, Engine, EngineConfig, EventLogs};
    let long = format!("/tmp/{}", "x/".repeat(5_000));
    let name = format!("/tmp/{}", "x".repeat(256));
    let engine = Engine::start(EngineConfig::new()).expect("an engine");
    for (path, message) in [
        (
            "/tmp/a\0b",
            r#"path is "/tmp/a\0b", 8 bytes long: it has a NUL character (\0), which no file name has: leave that out"#,
        ),
        (long.as_str(), "bytes long: use a path of at most 4095 bytes"),
        (name.as_str(), "bytes long: use directory names of at most 255 bytes each"),
        ("/tmp/\u{202e}\0", r#"path is "/tmp/\u{202e}\0", 9 bytes long: "#),
    ] {
        let refusals = [
            Logger::open(Config::new(path)).map(drop),
            engine.open(Config::new(path)).map(drop),
            EventLogs::new(&engine, path, Config::new("")).map(drop),
        ];
        for (at, refusal) in refusals.into_iter().enumerate() {
            let refusal = refusal.expect_err("a refusal").to_string();
            // The path of event logs is checked with the name of an event.
            let is_named = refusal.contains(message) || at == 2 && refusal.starts_with("path is ");
            assert!(is_named && refusal.len() < 700, "{refusal}");
            assert!(!refusal.contains(['\0', '\u{202e}']), "{refusal}");
        }
    }
}
