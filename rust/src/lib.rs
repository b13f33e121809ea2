//! The C face of minijinja and llguidance: src/text/text_shim.h declares what is exported here. No
//! panic crosses it, nothing prints, and what C is given it gives back through `pl_shim_free`.

mod bounds;
mod continuation;
mod environment;
mod filters;
mod gbnf;
mod grammar;
mod guard;
mod lark;
mod lexer;
mod methods;
mod objects;
mod ops;
mod probe;
mod python;
mod rewrite;
mod schema;
mod shape;
mod template;
mod values;

use std::ffi::{c_char, c_int, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::Once;

use grammar::{Kind, Next, Reply, Vocabulary};
use template::{Failure, Prompt, Source, Template};

#[global_allocator]
static ALLOC: bounds::MeteredAlloc = bounds::MeteredAlloc;

const SHIM_OK: c_int = 0;
const SHIM_BAD_INPUT: c_int = 1;
const SHIM_TEMPLATE: c_int = 2;
const SHIM_MEMORY: c_int = 3;
const SHIM_INTERNAL: c_int = 4;

type StrftimeFn = extern "C" fn(format: *const c_char, out: *mut c_char, n: usize) -> usize;

/// Bytes handed to C.
#[repr(C)]
pub struct ShimText {
    bytes: *mut u8,
    n: usize,
}

/// The sources of a model's templates; tool_use may be null.
#[repr(C)]
pub struct ShimSource {
    chat: *const c_char,
    tool_use: *const c_char,
    bos: *const c_char,
    eos: *const c_char,
}

impl ShimText {
    const EMPTY: ShimText = ShimText { bytes: ptr::null_mut(), n: 0 };

    fn new(text: String) -> ShimText {
        let bytes = text.into_bytes().into_boxed_slice();
        let n = bytes.len();
        ShimText { bytes: Box::into_raw(bytes).cast(), n }
    }
}

/// Runs one call from C: its failure, and a panic, become a status and a text.
fn at_boundary(out: &mut ShimText, call: impl FnOnce() -> Result<String, Failure>) -> c_int {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let (status, text) = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(text)) => (SHIM_OK, text),
        Ok(Err(Failure::Input(why))) => (SHIM_BAD_INPUT, why),
        Ok(Err(Failure::Template(why))) => (SHIM_TEMPLATE, why),
        Ok(Err(Failure::NoThread)) => (SHIM_MEMORY, "no thread to run the template on".into()),
        Err(_) => (SHIM_INTERNAL, "the template shim failed".into()),
    };
    let text = if status == SHIM_OK { text } else { text.replace(['\n', '\r'], " ") };
    *out = ShimText::new(text);
    status
}

unsafe fn text_of(at: *const c_char, n: usize) -> Result<&'static str, String> {
    let bytes = if n == 0 { &[][..] } else { std::slice::from_raw_parts(at.cast::<u8>(), n) };
    std::str::from_utf8(bytes).map_err(|e| format!("is not UTF-8 at byte {}", e.valid_up_to()))
}

unsafe fn source_text(at: *const c_char) -> Result<&'static str, Failure> {
    text_of(at, CStr::from_ptr(at).to_bytes().len())
        .map_err(|why| Failure::Template(format!("the template {why}")))
}

/// # Safety
/// The texts of source are zero-terminated; out and text may be written to.
#[no_mangle]
pub unsafe extern "C" fn pl_shim_template_open(
    out: *mut *const Template,
    source: *const ShimSource,
    strftime: StrftimeFn,
    text: *mut ShimText,
) -> c_int {
    *out = ptr::null();
    at_boundary(&mut *text, || {
        let of = &*source;
        let source = Source {
            chat: source_text(of.chat)?,
            tool_use: if of.tool_use.is_null() { None } else { Some(source_text(of.tool_use)?) },
            bos: &CStr::from_ptr(of.bos).to_string_lossy(),
            eos: &CStr::from_ptr(of.eos).to_string_lossy(),
        };
        let (template, notes) =
            Template::open(&source, move |format| strftime_text(strftime, format))?;
        *out = Box::into_raw(Box::new(template));
        Ok(notes.join("\n"))
    })
}

fn strftime_text(strftime: StrftimeFn, format: &str) -> Option<String> {
    let format = std::ffi::CString::new(format).ok()?;
    let mut out = vec![0u8; 256];
    let n = strftime(format.as_ptr(), out.as_mut_ptr().cast(), out.len());
    out.truncate(n);
    String::from_utf8(out).ok()
}

/// # Safety
/// t is from pl_shim_template_open, or null, and not used afterwards.
#[no_mangle]
pub unsafe extern "C" fn pl_shim_template_close(t: *const Template) {
    if !t.is_null() {
        drop(Box::from_raw(t.cast_mut()));
    }
}

/// # Safety
/// The texts are as long as said, the names zero-terminated; text, guard and note may be written
/// to.
#[no_mangle]
pub unsafe extern "C" fn pl_shim_template_render(
    t: *const Template,
    json: *const c_char,
    n_json: usize,
    names: *const *const c_char,
    n_names: usize,
    text: *mut ShimText,
    guard: *mut c_char,
    note: *mut ShimText,
) -> c_int {
    *note = ShimText::EMPTY;
    at_boundary(&mut *text, || {
        let json =
            text_of(json, n_json).map_err(|why| Failure::Input(format!("the request {why}")))?;
        let names = if n_names == 0 { &[][..] } else { std::slice::from_raw_parts(names, n_names) };
        let names = guard::Names::new(names.iter().map(|&n| CStr::from_ptr(n).to_bytes()));
        let Prompt { text, guard: used, note: line } = (*t).render(json, &names)?;
        let bytes = used.map_or(String::new(), String::from);
        ptr::copy_nonoverlapping(bytes.as_ptr(), guard.cast(), bytes.len());
        *guard.add(bytes.len()) = 0;
        *note = ShimText::new(line);
        Ok(text)
    })
}

/// # Safety
/// text was filled by one of the functions above, and is empty afterwards.
#[no_mangle]
pub unsafe extern "C" fn pl_shim_free(text: *mut ShimText) {
    let text = &mut *text;
    if !text.bytes.is_null() {
        drop(Box::from_raw(ptr::slice_from_raw_parts_mut(text.bytes, text.n)));
        *text = ShimText::EMPTY;
    }
}

// ---- constrained decoding ----------------------------------------------------------------------

/// # Safety
/// bytes holds the tokens one after another, offsets (n + 1) where each begins, kinds (n) what each
/// is; out and text may be written to.
#[no_mangle]
pub unsafe extern "C" fn pl_shim_vocabulary_open(
    out: *mut *const Vocabulary,
    bytes: *const u8,
    offsets: *const usize,
    kinds: *const u8,
    n: usize,
    text: *mut ShimText,
) -> c_int {
    *out = ptr::null();
    at_boundary(&mut *text, || {
        let offsets = std::slice::from_raw_parts(offsets, n + 1);
        let kinds = std::slice::from_raw_parts(kinds, n);
        let bytes = std::slice::from_raw_parts(bytes, offsets[n]);
        let tokens: Vec<(&[u8], u8)> =
            (0..n).map(|i| (&bytes[offsets[i]..offsets[i + 1]], kinds[i])).collect();
        *out = Box::into_raw(Box::new(Vocabulary::open(&tokens)?));
        Ok(String::new())
    })
}

/// # Safety
/// v is from pl_shim_vocabulary_open, or null, and not used afterwards.
#[no_mangle]
pub unsafe extern "C" fn pl_shim_vocabulary_close(v: *const Vocabulary) {
    if !v.is_null() {
        drop(Box::from_raw(v.cast_mut()));
    }
}

/// # Safety
/// source is as long as said; out and text may be written to.
#[no_mangle]
pub unsafe extern "C" fn pl_shim_matcher_open(
    out: *mut *mut Reply,
    v: *const Vocabulary,
    kind: c_int,
    source: *const c_char,
    n_source: usize,
    text: *mut ShimText,
) -> c_int {
    *out = ptr::null_mut();
    at_boundary(&mut *text, || {
        let source = text_of(source, n_source).map_err(Failure::Input)?;
        let kind = match kind {
            1 => Kind::JsonSchema,
            2 => Kind::Regex,
            3 => Kind::Gbnf,
            4 => Kind::Lark,
            _ => return Err(Failure::Input("its kind is none".into())),
        };
        *out = Box::into_raw(Box::new((*v).matcher(kind, source)?));
        Ok(String::new())
    })
}

/// # Safety
/// m is from pl_shim_matcher_open, or null, and not used afterwards.
#[no_mangle]
pub unsafe extern "C" fn pl_shim_matcher_close(m: *mut Reply) {
    if !m.is_null() {
        drop(Box::from_raw(m));
    }
}

/// What a push comes to: SHIM_BAD_INPUT where the grammar does not take it.
fn taken(pushed: Result<bool, String>) -> Result<String, Failure> {
    match pushed {
        Ok(true) => Ok(String::new()),
        Ok(false) => Err(Failure::Input(String::new())),
        Err(why) => Err(Failure::Template(why)),
    }
}

/// # Safety
/// m is an open matcher that no other thread uses; text may be written to.
#[no_mangle]
pub unsafe extern "C" fn pl_shim_matcher_push(
    m: *mut Reply,
    token: u32,
    text: *mut ShimText,
) -> c_int {
    at_boundary(&mut *text, || taken((*m).push(token)))
}

/// # Safety
/// As for pl_shim_matcher_push; bytes are as many as said.
#[no_mangle]
pub unsafe extern "C" fn pl_shim_matcher_push_text(
    m: *mut Reply,
    bytes: *const u8,
    n: usize,
    text: *mut ShimText,
) -> c_int {
    at_boundary(&mut *text, || {
        let bytes = if n == 0 { &[][..] } else { std::slice::from_raw_parts(bytes, n) };
        taken((*m).push_text(bytes))
    })
}

/// # Safety
/// As for pl_shim_matcher_push; mask has n_words, next may be written to.
#[no_mangle]
pub unsafe extern "C" fn pl_shim_matcher_mask(
    m: *mut Reply,
    mask: *mut u32,
    n_words: usize,
    next: *mut c_int,
    text: *mut ShimText,
) -> c_int {
    at_boundary(&mut *text, || {
        let mask = std::slice::from_raw_parts_mut(mask, n_words);
        *next = match (*m).mask(mask).map_err(Failure::Template)? {
            Next::Tokens { may_end: false } => 0,
            Next::Tokens { may_end: true } => 1,
            Next::Complete => 2,
        };
        Ok(String::new())
    })
}
