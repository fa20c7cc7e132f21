//! What a record says: the bytes of a message, or the values of a callsite's record, which become a text when somebody
//! asks for it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::callsites::Callsite;
use crate::format::{CallsiteInfo, Fields, Layout};
use crate::render;

/// What a borrowed record says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    Message(&'a [u8]),
    Structured {
        /// The callsite's id, at least 1.
        id: u32,
        /// `None` if the block does not define it.
        callsite: Option<&'a Arc<Callsite>>,
        values: &'a [u8],
        layout: Layout,
        /// Where the text is kept once it is made.
        text: &'a Text,
    },
}

impl<'a> Content<'a> {
    /// The message, or the text of the values.
    #[inline]
    pub(super) fn message(&self) -> &'a [u8] {
        match *self {
            Content::Message(message) => message,
            Content::Structured { id, callsite, values, layout, text } => {
                text.get_or_make(|out| write_text(id, callsite, values, layout, out))
            }
        }
    }

    /// Appends the message, or the text of the values, to `out`.
    #[inline]
    pub(super) fn write_message(&self, out: &mut Vec<u8>) {
        match *self {
            Content::Message(message) => out.extend_from_slice(message),
            Content::Structured { id, callsite, values, layout, .. } => write_text(id, callsite, values, layout, out),
        }
    }

    /// Appends the text and the values as members of a JSON object, if all are numbers of 64 bits; returns whether they
    /// are.
    #[inline]
    pub(super) fn write_json_members(&self, out: &mut Vec<u8>) -> bool {
        if let Content::Structured { callsite: Some(callsite), values, layout, .. } = *self
            && let Some(plan) = &callsite.json
        {
            render::members(plan, values, layout, out);
            return true;
        }
        false
    }

    /// The callsite's id; `None` for a message.
    #[inline]
    pub(super) fn callsite_id(&self) -> Option<u32> {
        match *self {
            Content::Message(_) => None,
            Content::Structured { id, .. } => Some(id),
        }
    }

    #[inline]
    pub(super) fn callsite(&self) -> Option<&'a CallsiteInfo> {
        match *self {
            Content::Structured { callsite: Some(callsite), .. } => Some(&callsite.info),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn fields(&self) -> Fields<'a> {
        match *self {
            Content::Structured { callsite: Some(callsite), values, layout, .. } => {
                Fields::new(&callsite.info, values, layout)
            }
            _ => Fields::none(),
        }
    }

    pub(super) fn to_owned(self) -> OwnedContent {
        match self {
            Content::Message(message) => OwnedContent::Message(message.into()),
            Content::Structured { id, callsite, values, layout, .. } => OwnedContent::Structured {
                id,
                callsite: callsite.map(Arc::clone),
                values: values.into(),
                layout,
                text: Text::default(),
            },
        }
    }
}

/// What an owned record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OwnedContent {
    Message(Box<[u8]>),
    Structured { id: u32, callsite: Option<Arc<Callsite>>, values: Box<[u8]>, layout: Layout, text: Text },
}

impl OwnedContent {
    pub(super) fn borrow(&self) -> Content<'_> {
        match self {
            OwnedContent::Message(message) => Content::Message(message),
            OwnedContent::Structured { id, callsite, values, layout, text } => {
                Content::Structured { id: *id, callsite: callsite.as_ref(), values, layout: *layout, text }
            }
        }
    }
}

/// The text of the values of one record, made when it is first asked for.
#[derive(Debug, Default)]
pub(super) struct Text {
    made: OnceLock<Vec<u8>>,
    /// Memory of an earlier text.
    spare: Mutex<Vec<u8>>,
}

impl Text {
    /// Forgets the text: that of another record comes next.
    #[inline]
    pub(super) fn clear(&mut self) {
        if let Some(mut made) = self.made.take() {
            made.clear();
            *self.spare.get_mut().unwrap_or_else(PoisonError::into_inner) = made;
        }
    }

    fn get_or_make(&self, write: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        self.made.get_or_init(|| {
            let mut text = std::mem::take(&mut *self.spare.lock().unwrap_or_else(PoisonError::into_inner));
            write(&mut text);
            text
        })
    }
}

/// Nothing of it says what a record is: two records are equal whether or not their texts have been made.
impl PartialEq for Text {
    fn eq(&self, _: &Text) -> bool {
        true
    }
}

impl Eq for Text {}

/// Without the text, which is made anew.
impl Clone for Text {
    fn clone(&self) -> Text {
        Text::default()
    }
}

/// Appends the text of a callsite's values.
// Apart from what is done for a message.
#[inline(never)]
fn write_text(id: u32, callsite: Option<&Arc<Callsite>>, values: &[u8], layout: Layout, out: &mut Vec<u8>) {
    let Some(callsite) = callsite else {
        out.extend_from_slice(format!("callsite {id} is not defined").as_bytes());
        return;
    };
    render::record(&callsite.plan, values, layout, out);
}
