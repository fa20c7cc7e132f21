//! The source's shape: which file may use which other one, where `unsafe` may stand, and how a file begins.

mod graph;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use graph::Graph;

/// Every arrow that may be drawn between modules at the library's root: who, and whom it may use.
///
/// A new arrow is a decision: it belongs here, with its reason in ARCHITECTURE.md, before it belongs in the code. No
/// module but `recovery` uses `reader`, which is for users alone (`unstable` measures it). It shares the format, the
/// errors and the levels with the writer, and the system below both.
const ALLOWED: &[(&str, &str)] = &[
    ("admission", "callsite gate level levels sync"),
    ("appendable", "callsite format ring"),
    ("attempt", "appendable format gate level outcome own_thread recorder ring shared"),
    ("block", "buffer format level"),
    ("bridge", "appendable attempt callsite event fields format gate level logger shared thread_local"),
    ("buffer", "sys"),
    ("callsite", "format level sync sys"),
    ("claim", "appendable attempt clock format level outcome producer ring shared waiting"),
    ("clock", "sys"),
    ("common_ring", "appendable attempt config error gate level outcome recorder ring shared sync waiting"),
    ("config", "device error format grouped level levels listen ring rotate_at sys"),
    ("crash", "callsite clock error format grouped ring sync sys"),
    ("delays", ""),
    ("device", "buffer error own_thread sys"),
    ("ends", "own_thread shared sync sys"),
    ("engine", "clock config crash ends error logger opening own_thread ring segment stats writer"),
    ("error", "grouped sys"),
    ("event", "appendable attempt callsite fields format gate level limit logger outcome producer shared thread_local"),
    (
        "event_logs",
        "appendable clock config ends engine error grouped letters level logger outcome own_thread recovery \
         segment shared stats sync thread_local",
    ),
    ("expansion", ""),
    ("fields", "appendable callsite format ring"),
    ("flush", "error sync"),
    ("format", "level"),
    ("gate", "ring sync sys"),
    ("grouped", ""),
    ("escape", "letters"),
    ("letters", ""),
    ("level", ""),
    ("levels", "level"),
    ("lib", ""),
    ("limit", ""),
    ("listen", "callsite clock delays error escape format grouped level own_thread render stats sync sys"),
    (
        "logger",
        "appendable clock config device ends error format gate level levels opening outcome \
         producer producer_builder recovery segment shared sink stats sync thread_local writer",
    ),
    ("macros", "callsite event expansion fields level lib limit outcome template"),
    (
        "opening",
        "clock config crash device ends error format gate listen recorder recovery ring segment shared \
         snapshot stats sys writer",
    ),
    ("outcome", ""),
    ("own_thread", "sys"),
    ("producer", "appendable attempt clock config fields gate level outcome recorder ring shared sink waiting"),
    ("producer_builder", "error producer shared thread_local"),
    ("reader", "error format grouped level levels render sys"),
    ("recorder", "block clock error level ring segment snapshot stats sync sys"),
    // The one module that uses the reader: what a dead run has in its blocks decides what is recovered.
    ("recovery", "block buffer clock crash error format grouped level reader ring segment snapshot sys"),
    ("registry", "error format ring stats sync"),
    ("render", "format template"),
    ("ring", "sync sys"),
    ("rotate_at", ""),
    ("segment", "block buffer clock delays error format grouped own_thread rotate_at sync sys"),
    (
        "shared",
        "admission appendable callsite clock config error flush gate level listen own_thread \
         recorder recovery registry ring sink stats sync",
    ),
    ("sink", "appendable callsite format level render ring sync"),
    ("snapshot", "block buffer error format segment sys"),
    ("stats", "device error format grouped level sync sys"),
    ("sync", ""),
    ("sys", "sync"),
    ("template", ""),
    ("thread_local", "appendable attempt common_ring error fields format gate level outcome producer shared sink sys"),
    ("waiting", "attempt config delays outcome ring shared"),
    (
        "writer",
        "block buffer callsite clock crash delays device error flush format gate grouped listen own_thread \
         registry ring segment shared stats sync sys",
    ),
    ("written", ""),
    // No module uses it: it measures the library as a user does, the reader included.
    (
        "unstable",
        "buffer callsite clock config crash device engine error event format gate grouped letters level \
         logger opening outcome producer reader recovery render ring stats sys",
    ),
];

/// Where `unsafe` may stand.
const UNSAFE: [&str; 5] = ["ring/", "device/", "sys/", "buffer.rs", "crash/slot.rs"];

/// The longest file, in lines with its tests: a longer one has more than one subject.
const LINES_MAX: usize = 600;

#[test]
fn modules_use_only_those_that_the_table_allows() {
    assert_eq!(differences(&Graph::of(&sources()), ALLOWED), Vec::<String>::new());
}

#[test]
fn no_file_leads_back_to_itself() {
    let circles = Graph::of(&sources()).circles();
    assert!(circles.is_empty(), "circles of files: {circles:#?}");
}

#[test]
fn a_folders_own_file_uses_those_in_it_or_is_used_by_them() {
    let mixed = Graph::of(&sources()).mixed_parents();
    assert!(mixed.is_empty(), "both at once: {mixed:#?}");
}

#[test]
fn a_circle_a_mixed_parent_and_a_forbidden_arrow_are_found() {
    let sources = [
        ("lib.rs", "mod a; mod b; pub use b::Inner;"),
        ("a/mod.rs", "mod one; mod two; pub(crate) use one::One; use two::two; pub(crate) struct Shared(One);"),
        ("a/one.rs", "use std::fmt::Debug; use crate::Inner; pub(crate) struct One(super::Shared);"),
        ("a/two.rs", "pub(crate) fn two() { println!(\"{}\", crate::a::One::new()) }"),
        (
            "b.rs",
            "use crate::a; pub struct Inner; fn f() { a::One::new(); } #[cfg(test)] mod tests { use crate::c::C; }",
        ),
        ("c.rs", "pub(crate) struct C;"),
    ];
    let graph = Graph::of(&sources.map(|(file, text)| (file.to_owned(), text.to_owned())).into());
    let arrows = |file: &str| graph.arrows[file].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(arrows("lib.rs"), [""; 0], "no re-export");
    assert_eq!(arrows("a/mod.rs"), ["a/one.rs", "a/two.rs"], "an import, and the bare name of a re-export");
    assert_eq!(arrows("a/one.rs"), ["a/mod.rs", "b.rs"], "a type's path, and a re-export followed");
    assert_eq!(arrows("a/two.rs"), ["a/one.rs"], "a path inside a macro call");
    assert_eq!(arrows("b.rs"), ["a/one.rs"], "by way of an imported module; not what a test uses");
    let circles = graph.circles();
    assert_eq!(circles.len(), 1, "{circles:?}");
    assert_eq!(circles[0].len(), 6, "every arrow of the circle is named: {circles:?}");
    assert_eq!(graph.mixed_parents(), ["a/mod.rs uses a/one.rs, and a/one.rs uses it"]);
    let allowed = [("a", ""), ("b", "a c"), ("c", ""), ("lib", "")];
    assert_eq!(differences(&graph, &allowed), ["a uses b: not allowed", "b may use c, and does not"]);
}

#[test]
fn unsafe_stands_only_where_the_plan_has_it() {
    for (file, text) in sources() {
        let allowed = UNSAFE.iter().any(|place| file.starts_with(place));
        let code = code_of(&text);
        let mut words = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        assert!(allowed || !words.any(|word| word == "unsafe"), "unsafe in src/{file}");
    }
}

#[test]
fn every_file_says_what_it_is_and_is_short_enough_to_read() {
    for (file, text) in sources() {
        assert!(text.starts_with("//! "), "src/{file} does not open with what it is");
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "src/{file} has {lines} lines: it has more than one subject");
    }
}

/// What the code does and the table does not say, and the other way round.
fn differences(graph: &Graph, allowed: &[(&str, &str)]) -> Vec<String> {
    let between = graph.between_modules();
    let table: BTreeMap<_, BTreeSet<_>> =
        allowed.iter().map(|(user, used)| (*user, used.split_whitespace().collect())).collect();
    assert!(table.keys().eq(between.keys()), "the table has {:?}, src has {:?}", table.keys(), between.keys());
    let mut differences = Vec::new();
    for (user, used) in &between {
        differences.extend(used.difference(&table[user]).map(|used| format!("{user} uses {used}: not allowed")));
        differences.extend(table[user].difference(used).map(|used| format!("{user} may use {used}, and does not")));
    }
    differences
}

/// The text without comments.
fn code_of(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// Every file under `src`, by its path below it.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(&root).expect("below src").to_str().expect("names in ASCII").replace('\\', "/");
        (name, fs::read_to_string(path).expect("source"))
    };
    let sources: BTreeMap<_, _> = files.iter().map(read).collect();
    assert!(sources.len() > 100, "only {} files under {}", sources.len(), root.display());
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

#[test]
fn every_fault_names_tests_that_exist() {
    let rows = rows_after("ARCHITECTURE.md", "### Every fault, and its test");
    assert!(rows.len() >= 20, "{rows:#?}");
    for row in rows {
        assert_names_files(&row, |file| PathBuf::from(file));
    }
}

#[test]
fn every_promise_of_the_readme_names_tests_that_exist() {
    let rows = rows_after("README.md", "## What is promised");
    assert!(rows.len() >= 10, "{rows:#?}");
    for row in rows {
        assert_names_files(&row, |test| Path::new("tests").join(test).with_extension("rs"));
    }
}

#[test]
fn every_method_on_the_page_exists() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).expect("the page");
    let mut members = BTreeSet::new();
    sources().values().for_each(|text| members.extend(members_of(&syn::parse_file(text).expect("Rust").items)));
    let named: Vec<_> = page.split('`').skip(1).step_by(2).filter_map(member_of_a_type).collect();
    assert!(named.len() > 50, "{named:?}");
    let unknown: Vec<_> = named.iter().filter(|name| !members.contains(*name)).collect();
    assert!(unknown.is_empty(), "not in src: {unknown:?}");
}

/// The `Type::name` that the code begins with.
fn member_of_a_type(code: &str) -> Option<String> {
    let is_of_a_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let (of, rest) = code.split_once("::").filter(|(of, _)| of.chars().all(is_of_a_name))?;
    let name = rest.split(|letter| !is_of_a_name(letter)).next()?;
    of.starts_with(|first: char| first.is_ascii_uppercase()).then(|| format!("{of}::{name}"))
}

/// Methods, fields and variants, each as `Type::name`.
fn members_of(items: &[syn::Item]) -> BTreeSet<String> {
    let mut members = BTreeSet::new();
    for item in items {
        match item {
            syn::Item::Impl(item) => {
                let syn::Type::Path(of) = &*item.self_ty else { continue };
                let of = &of.path.segments.last().expect("a path").ident;
                let functions = item.items.iter().filter_map(|item| match item {
                    syn::ImplItem::Fn(function) => Some(&function.sig.ident),
                    _ => None,
                });
                members.extend(functions.map(|name| format!("{of}::{name}")));
            }
            syn::Item::Trait(item) => {
                let functions = item.items.iter().filter_map(|item| match item {
                    syn::TraitItem::Fn(function) => Some(&function.sig.ident),
                    _ => None,
                });
                members.extend(functions.map(|name| format!("{}::{name}", item.ident)));
            }
            syn::Item::Struct(item) => {
                let fields = item.fields.iter().filter_map(|field| field.ident.as_ref());
                members.extend(fields.map(|name| format!("{}::{name}", item.ident)));
            }
            syn::Item::Enum(item) => {
                members.extend(item.variants.iter().map(|variant| format!("{}::{}", item.ident, variant.ident)));
            }
            syn::Item::Mod(item) => members.extend(item.content.iter().flat_map(|(_, items)| members_of(items))),
            _ => {}
        }
    }
    members
}

/// The rows of the tables of a page's section, without their heads.
fn rows_after(page: &str, heading: &str) -> Vec<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).expect("a page");
    let (_, section) = page.split_once(heading).expect("a section");
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    section.lines().filter(|line| line.starts_with("| ")).skip(1).map(str::to_owned).collect()
}

/// Checks that the row's last cell names at least one file in the package, and only files that exist.
fn assert_names_files(row: &str, path_of: impl Fn(&str) -> PathBuf) {
    let tests = row.rsplit("| ").next().expect("a last column");
    let mut names = tests.split('`').skip(1).step_by(2).peekable();
    assert!(names.peek().is_some(), "no test: {row}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    names.for_each(|name| assert!(root.join(path_of(name)).is_file(), "{name} does not exist: {row}"));
}
