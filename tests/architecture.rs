//! The source's shape: who may use whom, where `unsafe` may stand, and how a file begins.
//!
//! It reads the source as text, which is enough for the paths as they are written here: `crate::…`, `super::…`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A source file without its comments and its tests.
struct Source {
    /// Relative to `src`, such as `writer/pack.rs`.
    name: String,
    text: String,
    code: String,
}

#[test]
fn writer_and_reader_share_only_the_format_the_errors_and_the_levels() {
    let uses = uses(&sources());
    // And the system below all of them.
    only(&uses, "reader", &["error", "format", "level", "sys"]);
    only(&uses, "format", &["level"]);
    for (user, used) in &uses {
        assert!(!used.contains("reader"), "{user} uses reader, which is for the user alone");
    }
}

#[test]
fn the_ring_carries_bytes_and_knows_only_the_system() {
    only(&uses(&sources()), "ring", &["sync", "sys"]);
}

#[test]
fn a_device_does_not_know_what_it_writes_and_a_block_does_not_know_how_it_is_written() {
    let uses = uses(&sources());
    only(&uses, "device", &["buffer", "error", "sys"]);
    only(&uses, "block", &["buffer", "format", "level"]);
}

#[test]
fn the_system_and_aligned_memory_know_nothing_above_them() {
    let uses = uses(&sources());
    only(&uses, "sys", &["error", "sync"]);
    only(&uses, "buffer", &["sys"]);
    only(&uses, "clock", &["sys"]);
}

#[test]
fn dependencies_run_downwards_only() {
    let uses = uses(&sources());
    for start in uses.keys() {
        let mut path = vec![start.as_str()];
        assert!(!returns_to(start, &uses, &mut path), "a circle of dependencies: {}", path.join(" -> "));
    }
}

#[test]
fn unsafe_stands_only_where_the_plan_has_it() {
    for source in sources() {
        let allowed = ["ring/", "device/", "sys/"].iter().any(|folder| source.name.starts_with(folder))
            || source.name == "buffer.rs";
        assert!(allowed || !words(&source.code).any(|word| word == "unsafe"), "unsafe in src/{}", source.name);
    }
}

#[test]
fn every_file_says_what_it_is_and_is_short_enough_to_read() {
    for source in sources() {
        assert!(source.text.starts_with("//! "), "src/{} does not open with what it is", source.name);
        let lines = source.text.lines().count();
        assert!(lines <= 600, "src/{} has {lines} lines: it has more than one subject", source.name);
    }
}

/// Checks that `module` exists and uses no other than `allowed`.
fn only(uses: &BTreeMap<String, BTreeSet<String>>, module: &str, allowed: &[&str]) {
    let used = uses.get(module).unwrap_or_else(|| panic!("no module {module} in src: this test checks nothing"));
    let more: Vec<_> = used.iter().filter(|used| !allowed.contains(&used.as_str())).collect();
    assert!(more.is_empty(), "{module} uses {more:?}; it may use only {allowed:?}");
}

/// Whether following `uses` from the end of `path` leads back to `start`; `path` is then the way.
fn returns_to<'a>(start: &str, uses: &'a BTreeMap<String, BTreeSet<String>>, path: &mut Vec<&'a str>) -> bool {
    let Some(used) = path.last().and_then(|last| uses.get(*last)) else { return false };
    for next in used {
        if next == start {
            path.push(next);
            return true;
        }
        if !path.contains(&next.as_str()) {
            path.push(next);
            if returns_to(start, uses, path) {
                return true;
            }
            path.pop();
        }
    }
    false
}

/// Which module at the crate's root uses which others.
fn uses(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let exports = exports(sources);
    let mut uses = BTreeMap::<String, BTreeSet<String>>::new();
    for source in sources {
        let mut folders: Vec<_> = source.name.trim_end_matches(".rs").split('/').collect();
        if folders == ["lib"] || folders[0] == "bin" || folders.last() == Some(&"tests") {
            continue;
        }
        if folders.last() == Some(&"mod") {
            folders.pop();
        }
        let used = uses.entry(folders[0].to_owned()).or_default();
        // As many `super::` as the module is deep lead to the root, as `crate::` does.
        for root in ["crate::".to_owned(), "super::".repeat(folders.len())] {
            for name in first_names(&source.code, &root) {
                let module = exports.get(&name).cloned().unwrap_or(name);
                if module != folders[0] {
                    used.insert(module);
                }
            }
        }
    }
    uses
}

/// The names right after each `root` in `code`: one, or those in the braces.
fn first_names(code: &str, root: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(root) {
        // `$crate::`, and the tail of a longer chain of `super::`, are other paths.
        if code[..at].ends_with(['$', ':']) || code[at + root.len()..].starts_with("super::") {
            continue;
        }
        let rest = &code[at + root.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.extend(words(rest).next().map(str::to_owned));
            continue;
        };
        let mut depth = 0;
        let mut at_start = true;
        for (offset, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => at_start = true,
                _ if at_start && !letter.is_whitespace() => {
                    names.extend(words(&group[offset..]).next().map(str::to_owned));
                    at_start = false;
                }
                _ => {}
            }
        }
    }
    names
}

/// What `lib.rs` re-exports, and from which module.
fn exports(sources: &[Source]) -> BTreeMap<String, String> {
    let lib = &sources.iter().find(|source| source.name == "lib.rs").expect("src/lib.rs").code;
    let mut exports = BTreeMap::new();
    for statement in lib.split(';').filter_map(|statement| statement.split("pub use ").nth(1)) {
        let mut names = words(statement);
        let Some(module) = names.next() else { continue };
        exports.extend(names.map(|name| (name.to_owned(), module.to_owned())));
    }
    exports
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

/// Every file under `src`, in order of name.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let sources: Vec<_> = files
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).expect("source");
            let name = path.strip_prefix(&root).expect("under src").to_string_lossy().into_owned();
            Source { name, code: code_of(&text), text }
        })
        .collect();
    assert!(sources.len() > 10, "only {} files under {}", sources.len(), root.display());
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The text without comments, and without the tests at its end, which may use what they like.
fn code_of(text: &str) -> String {
    let tests = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..tests].lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}
