//! Which source file uses which other one, read from the syntax tree of each.
//!
//! A path such as `crate::device::probe` is an arrow to the file that defines the item: re-exports are followed, and
//! are no arrows themselves. Neither are `mod` lines, nor code that is compiled for tests alone. Paths inside macro
//! calls count. What is reached without a path, such as a method of a value, is not seen.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// A file's path below `src`, such as `writer/mod.rs`.
pub(crate) type File = String;

/// The files, and the arrows between them.
pub(crate) struct Graph {
    pub(crate) arrows: BTreeMap<File, BTreeSet<File>>,
}

/// A module, as the path of names that leads to it from its crate's root.
type ModulePath = Vec<String>;

/// What one file says.
#[derive(Default)]
struct Module {
    file: File,
    /// Paths that the code names.
    used: BTreeSet<Vec<String>>,
    /// Names that stand for a path: imports and re-exports.
    names: BTreeMap<String, Vec<String>>,
    /// Modules whose public names are all re-exported.
    globs: Vec<Vec<String>>,
}

/// How many re-exports may lead to one item.
const HOPS_MAX: usize = 16;

impl Graph {
    /// The graph of `sources`: each file's path below `src`, and its text.
    pub(crate) fn of(sources: &BTreeMap<File, String>) -> Graph {
        let mut crates = BTreeMap::<&str, BTreeMap<ModulePath, Module>>::new();
        let mut test_only = Vec::new();
        for (file, text) in sources {
            let (root, path) = module_path(file);
            let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("src/{file}: {error}"));
            let mut reader = Reader { here: path.clone(), test_only: &mut test_only, module: Module::default() };
            reader.module.file.clone_from(file);
            reader.visit_file(&syntax);
            let module = reader.module;
            crates.entry(root).or_default().insert(path, module);
        }
        let mut arrows = BTreeMap::new();
        for modules in crates.values() {
            for (path, module) in modules {
                if test_only.iter().any(|test| path.starts_with(test)) {
                    continue;
                }
                let mut targets = BTreeSet::new();
                for used in &module.used {
                    resolve(modules, path, used, HOPS_MAX, &mut targets);
                }
                targets.remove(&module.file);
                arrows.insert(module.file.clone(), targets);
            }
        }
        Graph { arrows }
    }

    /// Every circle: the arrows among files that all lead to each other.
    pub(crate) fn circles(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<_, _> = self.arrows.keys().map(|file| (file, self.reached_from(file))).collect();
        let mut circles = BTreeSet::new();
        for (file, others) in &reached {
            let members: BTreeSet<_> =
                others.iter().filter(|other| reached.get(other).is_some_and(|back| back.contains(*file))).collect();
            let arrows = members.iter().flat_map(|from| {
                let to = self.arrows[*from].iter().filter(|to| members.contains(to));
                to.map(move |to| format!("{from} -> {to}"))
            });
            circles.insert(arrows.collect::<Vec<_>>());
        }
        circles.into_iter().filter(|circle| !circle.is_empty()).collect()
    }

    fn reached_from(&self, file: &File) -> BTreeSet<File> {
        let mut reached = BTreeSet::new();
        let mut ahead: Vec<_> = self.arrows[file].iter().collect();
        while let Some(next) = ahead.pop() {
            if reached.insert(next.clone()) {
                ahead.extend(self.arrows.get(next).into_iter().flatten());
            }
        }
        reached
    }

    /// Every module with a folder of its own (`x/mod.rs`, or `x.rs` beside `x/`) that uses a file in it and is used by
    /// one too, with such a pair.
    pub(crate) fn mixed_parents(&self) -> Vec<String> {
        let mut mixed = Vec::new();
        for (file, uses) in &self.arrows {
            let folder = format!("{}/", file.trim_end_matches(".rs").trim_end_matches("/mod"));
            let is_child = |other: &File| other != file && other.starts_with(&folder);
            let used = uses.iter().find(|used| is_child(used));
            let user = self.arrows.iter().find(|(user, uses)| is_child(user) && uses.contains(file));
            if let (Some(used), Some((user, _))) = (used, user) {
                mixed.push(format!("{file} uses {used}, and {user} uses it"));
            }
        }
        mixed
    }

    /// The same arrows between modules at the root of the library.
    pub(crate) fn between_modules(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut between = BTreeMap::<_, BTreeSet<_>>::new();
        for (file, uses) in self.arrows.iter().filter(|(file, _)| !file.starts_with("bin/")) {
            let user = top_module(file);
            let used = uses.iter().map(|used| top_module(used)).filter(|used| *used != user);
            between.entry(user).or_default().extend(used);
        }
        between
    }
}

/// The module at the library's root that a file belongs to.
fn top_module(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// The crate that a file belongs to, by its root's folder, and the module's path in it.
fn module_path(file: &str) -> (&str, ModulePath) {
    let crate_folder = match file.split('/').collect::<Vec<_>>()[..] {
        ["bin", name, ..] => &file[..4 + name.len() + 1],
        _ => "",
    };
    let mut path: Vec<_> = file[crate_folder.len()..].trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        path.pop();
    }
    (crate_folder, path)
}

/// Adds the files that define `used`, a path as written in the module `here`.
fn resolve(
    modules: &BTreeMap<ModulePath, Module>,
    here: &[String],
    used: &[String],
    hops: usize,
    targets: &mut BTreeSet<File>,
) {
    let Some(hops) = hops.checked_sub(1) else { return };
    let mut at = here.to_vec();
    let mut rest = used;
    let mut is_first = true;
    while let Some((name, after)) = rest.split_first() {
        match name.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => drop(at.pop()),
            name => {
                let Some(module) = modules.get(&at) else { return };
                let child: ModulePath = at.iter().cloned().chain([name.to_owned()]).collect();
                // A function may have a module's name.
                let is_module = !after.is_empty() && modules.contains_key(&child);
                if let Some(path) = module.names.get(name).filter(|_| !is_module) {
                    let path: Vec<_> = path.iter().chain(after).cloned().collect();
                    let mut found = BTreeSet::new();
                    resolve(modules, &at, &path, hops, &mut found);
                    if found.is_empty() && !is_first {
                        // It comes from another crate by way of this file.
                        found.insert(module.file.clone());
                    }
                    return targets.extend(found);
                }
                if modules.contains_key(&child) {
                    at = child;
                } else if is_first {
                    // Of this file itself, of another crate, or of the language.
                    return;
                } else {
                    targets.insert(module.file.clone());
                    for glob in &module.globs {
                        let path: Vec<_> = glob.iter().chain(rest).cloned().collect();
                        resolve(modules, &at, &path, hops, targets);
                    }
                    return;
                }
            }
        }
        is_first = false;
        rest = after;
    }
}

/// Collects what a file says.
struct Reader<'a> {
    here: ModulePath,
    test_only: &'a mut Vec<ModulePath>,
    module: Module,
}

impl Reader<'_> {
    fn import(&mut self, tree: &syn::UseTree, prefix: &[String], is_re_export: bool) {
        match tree {
            syn::UseTree::Path(path) => {
                let prefix: Vec<_> = prefix.iter().cloned().chain([path.ident.to_string()]).collect();
                self.import(&path.tree, &prefix, is_re_export);
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, prefix, is_re_export));
            }
            syn::UseTree::Name(name) => self.import_name(&name.ident, &name.ident, prefix, is_re_export),
            syn::UseTree::Rename(rename) => self.import_name(&rename.ident, &rename.rename, prefix, is_re_export),
            syn::UseTree::Glob(_) if is_re_export => self.module.globs.push(prefix.to_vec()),
            syn::UseTree::Glob(_) => {
                self.module.used.insert(prefix.iter().cloned().chain(["*".to_owned()]).collect());
            }
        }
    }

    fn import_name(&mut self, name: &syn::Ident, alias: &syn::Ident, prefix: &[String], is_re_export: bool) {
        let path: Vec<_> = match name.to_string().as_str() {
            "self" => prefix.to_vec(),
            name => prefix.iter().cloned().chain([name.to_owned()]).collect(),
        };
        let alias = match alias.to_string().as_str() {
            "self" => path.last().cloned().unwrap_or_default(),
            alias => alias.to_owned(),
        };
        if !is_re_export {
            self.module.used.insert(path.clone());
        }
        // A name that stands for itself would lead in a circle.
        if path != [alias.clone()] {
            self.module.names.insert(alias, path);
        }
    }

    /// Takes the paths of a macro call's arguments, which are no syntax tree.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.end_path(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.end_path(&mut path);
                    self.tokens(group.stream());
                    colons = 0;
                }
                _ => {
                    self.end_path(&mut path);
                    colons = 0;
                }
            }
        }
        self.end_path(&mut path);
    }

    fn end_path(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if !path.is_empty() {
            self.module.used.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        } else if let syn::Item::Mod(module) = item {
            self.test_only.push(self.here.iter().cloned().chain([module.ident.to_string()]).collect());
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_re_export = !matches!(item.vis, syn::Visibility::Inherited);
        self.import(&item.tree, &[], is_re_export);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.module.used.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
    }

    /// `pub(in crate::ring)` says who may look in, not whom the code uses.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let Some((_, items)) = &module.content else { return };
        let outer = std::mem::take(&mut self.module);
        self.here.push(module.ident.to_string());
        items.iter().for_each(|item| self.visit_item(item));
        self.here.pop();
        let inner = std::mem::replace(&mut self.module, outer);
        self.module.used.extend(inner.used.into_iter().filter_map(from_inner));
        let names = inner.names.into_iter().filter_map(|(name, path)| Some((name, from_inner(path)?)));
        self.module.names.extend(names);
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}

/// A path that was written in an inline module, as written outside of it; `None` if it stays inside.
fn from_inner(path: Vec<String>) -> Option<Vec<String>> {
    match path.first().map(String::as_str) {
        Some("super") => Some(path[1..].to_vec()).filter(|rest| rest.len() > 1),
        Some("self") => None,
        _ => Some(path),
    }
}

/// Whether an item is compiled for tests alone: `#[cfg(test)]`, `#[cfg(all(test, …))]`.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        let condition = list.tokens.to_string();
        list.path.is_ident("cfg") && (condition == "test" || condition.replace(' ', "").starts_with("all(test,"))
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
