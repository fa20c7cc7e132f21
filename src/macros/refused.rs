//! Calls of macros that do not compile, as documentation tests.

/// The calls below, each without its fault:
///
/// ```
/// let (log, _) = diolog::Logger::in_memory();
/// let (id, name) = (1_u8, "x");
/// diolog::info!(log, "{id}", id);
/// diolog::info!(log, "{{{id}}}", id);
/// diolog::info!(log, "{id:>8} {name:?}", id, name);
/// diolog::info!(log, "", id, name);
/// diolog::info!(log, target: "t", limit: 1/s, "{id}", id = 2, %name,);
/// diolog::event!(log, diolog::Level::Info, id, ?name);
/// diolog::info!(log, limit: 16777215/min, "");
/// diolog::info!(log, v = %std::fmt::Error);
/// diolog::info!(log, "", a1 = 1, a2 = 1, a3 = 1, a4 = 1, a5 = 1, a6 = 1, a7 = 1, a8 = 1, b1 = 1, b2 = 1, b3 = 1,
///     b4 = 1, b5 = 1, b6 = 1, b7 = 1, b8 = 1, c1 = 1, c2 = 1, c3 = 1, c4 = 1, c5 = 1, c6 = 1, c7 = 1, c8 = 1, d1 = 1,
///     d2 = 1, d3 = 1, d4 = 1, d5 = 1, d6 = 1, d7 = 1, d8 = 1);
/// ```
///
/// A placeholder needs a field, also if there is a variable of that name:
///
/// ```compile_fail,E0080
/// let (log, _) = diolog::Logger::in_memory();
/// let (id, name) = (1_u8, "x");
/// diolog::info!(log, "{id}");
/// ```
///
/// ```compile_fail,E0080
/// let (log, _) = diolog::Logger::in_memory();
/// let (id, name) = (1_u8, "x");
/// diolog::info!(log, "{id} {other}", id);
/// ```
///
/// ```compile_fail,E0080
/// let (log, _) = diolog::Logger::in_memory();
/// let (id, name) = (1_u8, "x");
/// diolog::info!(log, "{}", id);
/// ```
///
/// Braces match:
///
/// ```compile_fail,E0080
/// let (log, _) = diolog::Logger::in_memory();
/// let (id, name) = (1_u8, "x");
/// diolog::info!(log, "{{{id}}", id);
/// ```
///
/// ```compile_fail,E0080
/// let (log, _) = diolog::Logger::in_memory();
/// let (id, name) = (1_u8, "x");
/// diolog::info!(log, "{id", id);
/// ```
///
/// A format is one of `std::fmt`:
///
/// ```compile_fail,E0080
/// let (log, _) = diolog::Logger::in_memory();
/// let (id, name) = (1_u8, "x");
/// diolog::info!(log, "{id:>8q} {name:?}", id, name);
/// ```
///
/// ```compile_fail,E0080
/// let (log, _) = diolog::Logger::in_memory();
/// let (id, name) = (1_u8, "x");
/// diolog::info!(log, "{id:4000000000}", id);
/// ```
///
/// A name is used once:
///
/// ```compile_fail,E0080
/// let (log, _) = diolog::Logger::in_memory();
/// let (id, name) = (1_u8, "x");
/// diolog::info!(log, "", id, id = name);
/// ```
///
/// There are 32 fields at most:
///
/// ```compile_fail,E0080
/// let (log, _) = diolog::Logger::in_memory();
/// diolog::info!(log, "", a1 = 1, a2 = 1, a3 = 1, a4 = 1, a5 = 1, a6 = 1, a7 = 1, a8 = 1, b1 = 1, b2 = 1, b3 = 1,
///     b4 = 1, b5 = 1, b6 = 1, b7 = 1, b8 = 1, c1 = 1, c2 = 1, c3 = 1, c4 = 1, c5 = 1, c6 = 1, c7 = 1, c8 = 1, d1 = 1,
///     d2 = 1, d3 = 1, d4 = 1, d5 = 1, d6 = 1, d7 = 1, d8 = 1, one_more = 1);
/// ```
///
/// A value is one that a field can have:
///
/// ```compile_fail,E0277
/// let (log, _) = diolog::Logger::in_memory();
/// diolog::info!(log, v = std::fmt::Error);
/// ```
///
/// ```compile_fail,E0277
/// let (log, _) = diolog::Logger::in_memory();
/// diolog::info!(log, v = Some(Some(1)));
/// ```
///
/// A limit lets something through, and its unit is known:
///
/// ```compile_fail,E0080
/// let (log, _) = diolog::Logger::in_memory();
/// diolog::info!(log, limit: 0/s, "");
/// ```
///
/// ```compile_fail,E0080
/// let (log, _) = diolog::Logger::in_memory();
/// diolog::info!(log, limit: 1/day, "");
/// ```
///
/// ```compile_fail,E0080
/// let (log, _) = diolog::Logger::in_memory();
/// diolog::info!(log, limit: 16777216/min, "");
/// ```
///
/// Anything else is no field, and nothing else is a log:
///
/// ```compile_fail
/// let (log, _) = diolog::Logger::in_memory();
/// let id = 1;
/// diolog::info!(log, "{id}", id => 2);
/// ```
///
/// ```compile_fail
/// let (log, _) = diolog::Logger::in_memory();
/// let id = 1;
/// diolog::info!(log, "{id}", id, "name");
/// ```
///
/// ```compile_fail,E0599
/// let log = "not a log";
/// diolog::info!(log, "text");
/// ```
///
/// ```compile_fail,E0435
/// let (log, _) = diolog::Logger::in_memory();
/// let target = String::from("not constant");
/// diolog::info!(log, target: &target.to_uppercase(), "text");
/// ```
struct Refused;
