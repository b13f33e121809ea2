//! The C face of minijinja: src/text/text_shim.h declares what is exported here. No panic crosses
//! it, nothing prints, and what C is given it gives back through `pl_shim_free`.

mod bounds;
mod environment;
mod filters;
mod guard;
mod lexer;
mod methods;
mod objects;
mod ops;
mod probe;
mod python;
mod rewrite;
mod shape;
mod template;
mod values;

use std::ffi::{c_char, c_int, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::Once;

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
