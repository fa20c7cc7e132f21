//! The definitions of callsites, as the blocks of a log have them.

use crate::block::Definition;
use crate::callsite;
use crate::format::CallsiteParts;

/// The definition of callsite `id`, in `bytes_max` bytes at most. `None` if there is no such callsite.
pub(crate) fn define(id: u32, bytes_max: usize) -> Option<Definition> {
    let info = callsite::definition(id)?;
    let fields: Vec<_> = info.fields.iter().map(|(name, of)| (&**name, *of)).collect();
    let (target, file, template) = (&info.target, &info.file, &info.template);
    let parts = CallsiteParts { id, level: info.level, line: info.line, target, file, template, fields: &fields };
    let mut payload = Vec::new();
    parts.encode(bytes_max, &mut payload);
    Some(Definition { payload: payload.into(), types: info.fields.iter().map(|(_, of)| *of).collect() })
}
