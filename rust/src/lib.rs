//! The C face of minijinja: src/text/text_shim.h declares what is exported here. No panic crosses
//! it, nothing prints, and what C is given it gives back through `pl_shim_free`.

mod bounds;
mod environment;
mod guard;
mod python;

use std::ffi::{c_char, c_int, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use minijinja::Environment;

use bounds::{Bounds, Broken};

#[global_allocator]
static ALLOC: bounds::MeteredAlloc = bounds::MeteredAlloc;

// Bounds of one rendering; each message of n bytes adds to what a conversation may use.
const FUEL: u64 = 1 << 20;
const FUEL_PER_BYTE: u64 = 4;
const MAX_FUEL: u64 = 1 << 21;
const MEMORY_BYTES: i64 = 64 << 20;
const MEMORY_PER_BYTE: i64 = 16;
const RECURSION: usize = 200;
const SOFT_TIME: Duration = Duration::from_secs(10);
const HARD_TIME: Duration = Duration::from_secs(30);
/// Address space, not memory. A template can nest a value one level deeper with one step, and such a
/// value is written and freed recursively: 310 bytes a level were measured.
const STACK_PER_FUEL: usize = 512;

const SHIM_OK: c_int = 0;
const SHIM_BAD_INPUT: c_int = 1;
const SHIM_TEMPLATE: c_int = 2;
const SHIM_MEMORY: c_int = 3;
const SHIM_INTERNAL: c_int = 4;

type StrftimeFn = extern "C" fn(format: *const c_char, out: *mut c_char, n: usize) -> usize;

pub struct Template {
    env: Environment<'static>,
    source: String,
    bos: String,
    eos: String,
    /// It broke a hard bound once and is not run again. Orders nothing else, hence relaxed.
    is_banned: AtomicBool,
}

/// Bytes handed to C.
#[repr(C)]
pub struct ShimText {
    bytes: *mut u8,
    n: usize,
}

struct Failure(c_int, String);

impl Failure {
    fn of_bound(broken: Broken) -> Failure {
        match broken {
            Broken::Memory => Failure(SHIM_TEMPLATE, "the template needs too much memory".into()),
            Broken::Time => Failure(SHIM_TEMPLATE, "the template takes too long".into()),
            Broken::NoThread => Failure(SHIM_MEMORY, "no thread to run the template on".into()),
            // minijinja panics where it should not, as on the slice [][::-1].
            Broken::Panic => {
                Failure(SHIM_TEMPLATE, "the template engine failed on these messages".into())
            }
        }
    }
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
    let result = catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(Failure(SHIM_INTERNAL, "the template shim failed".into())));
    let (status, text) = match result {
        Ok(text) => (SHIM_OK, text),
        Err(Failure(status, text)) => (status, text.replace(['\n', '\r'], " ")),
    };
    *out = ShimText::new(text);
    status
}

fn bounds_for(n_bytes: usize) -> Bounds {
    let soft_bytes = MEMORY_BYTES + MEMORY_PER_BYTE * n_bytes as i64;
    Bounds {
        stack_bytes: STACK_PER_FUEL * fuel_for(n_bytes) as usize,
        soft_bytes,
        hard_bytes: 4 * soft_bytes,
        soft_time: SOFT_TIME,
        hard_time: HARD_TIME,
    }
}

fn fuel_for(n_bytes: usize) -> u64 {
    (FUEL + FUEL_PER_BYTE * n_bytes as u64).min(MAX_FUEL)
}

unsafe fn text_of(at: *const c_char, n: usize, what: &str) -> Result<&'static str, Failure> {
    let bytes = if n == 0 { &[][..] } else { std::slice::from_raw_parts(at.cast::<u8>(), n) };
    std::str::from_utf8(bytes).map_err(|e| {
        Failure(SHIM_BAD_INPUT, format!("{what} is not UTF-8 at byte {}", e.valid_up_to()))
    })
}

/// # Safety
/// The texts are n bytes each; out and text may be written to.
#[no_mangle]
pub unsafe extern "C" fn pl_shim_template_open(
    out: *mut *const Template,
    source: *const c_char,
    n_source: usize,
    bos: *const c_char,
    eos: *const c_char,
    strftime: StrftimeFn,
    text: *mut ShimText,
) -> c_int {
    *out = ptr::null();
    at_boundary(&mut *text, || {
        let source = text_of(source, n_source, "the template")
            .map_err(|f| Failure(SHIM_TEMPLATE, f.1))?
            .to_owned();
        let bos = CStr::from_ptr(bos).to_string_lossy().into_owned();
        let eos = CStr::from_ptr(eos).to_string_lossy().into_owned();
        let copy = source.clone();
        let mut env = bounds::run(&bounds_for(16 * source.len()), move || {
            environment::build(&copy, move |format| strftime_text(strftime, format))
                .map_err(|e| Failure(SHIM_TEMPLATE, environment::describe(&e)))
        })
        .map_err(Failure::of_bound)??;
        env.set_recursion_limit(RECURSION);
        *out = Arc::into_raw(Arc::new(Template {
            env,
            source,
            bos,
            eos,
            is_banned: AtomicBool::new(false),
        }));
        Ok(String::new())
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
        drop(Arc::from_raw(t));
    }
}

/// # Safety
/// The texts are as long as said, the names zero-terminated; text and guard may be written to.
#[no_mangle]
pub unsafe extern "C" fn pl_shim_template_render(
    t: *const Template,
    json: *const c_char,
    n_json: usize,
    names: *const *const c_char,
    n_names: usize,
    text: *mut ShimText,
    guard: *mut c_char,
) -> c_int {
    at_boundary(&mut *text, || {
        Arc::increment_strong_count(t);
        let t = Arc::from_raw(t);
        let json = text_of(json, n_json, "the request")?;
        let names = if n_names == 0 { &[][..] } else { std::slice::from_raw_parts(names, n_names) };
        let names = guard::Names::new(names.iter().map(|&n| CStr::from_ptr(n).to_bytes()));
        let (variables, used) = read_variables(json, &names, &t)?;
        let bytes = used.map_or(String::new(), String::from);
        ptr::copy_nonoverlapping(bytes.as_ptr(), guard.cast(), bytes.len());
        *guard.add(bytes.len()) = 0;
        render(t, variables, n_json)
    })
}

/// The template's variables out of the JSON, guarded, and the guard character if one was needed.
fn read_variables(
    json: &str,
    names: &guard::Names,
    t: &Template,
) -> Result<(minijinja::Value, Option<char>), Failure> {
    let bad = |what: String| Failure(SHIM_BAD_INPUT, what);
    let mut value: serde_json::Value =
        serde_json::from_str(json).map_err(|e| bad(format!("malformed JSON: {e}")))?;
    let members = value.as_object_mut().ok_or_else(|| bad("expected a JSON object".into()))?;
    match members.get("messages") {
        Some(serde_json::Value::Array(_)) => {}
        Some(_) => return Err(bad("\"messages\" is not an array".into())),
        None => return Err(bad("\"messages\" is missing".into())),
    }
    let guard = guard::choose_guard(&value, &[&t.source, &t.bos, &t.eos])
        .ok_or_else(|| bad("all of U+FDD0..U+FDEF occur in the messages".into()))?;
    let is_guarded = names.guard_value(&mut value, guard, true);
    if let Some(members) = value.as_object_mut() {
        for (name, default) in [
            ("tools", serde_json::Value::Null),
            ("documents", serde_json::Value::Null),
            ("add_generation_prompt", false.into()),
            ("bos_token", t.bos.as_str().into()),
            ("eos_token", t.eos.as_str().into()),
        ] {
            members.entry(name).or_insert(default);
        }
    }
    Ok((minijinja::Value::from_serialize(&value), is_guarded.then_some(guard)))
}

fn render(t: Arc<Template>, variables: minijinja::Value, n_json: usize) -> Result<String, Failure> {
    if t.is_banned.load(Ordering::Relaxed) {
        return Err(Failure(SHIM_TEMPLATE, "the template broke its bounds and is not run".into()));
    }
    let of_worker = t.clone();
    let result = bounds::run(&bounds_for(n_json), move || {
        // An environment is cheap to copy: what it holds is shared.
        let mut env = of_worker.env.clone();
        env.set_fuel(Some(fuel_for(n_json)));
        env.get_template(environment::NAME)
            .and_then(|template| template.render(variables))
            .map_err(|e| Failure(SHIM_TEMPLATE, environment::describe(&e)))
    });
    if matches!(result, Err(Broken::Memory | Broken::Time)) {
        t.is_banned.store(true, Ordering::Relaxed);
    }
    result.map_err(Failure::of_bound)?
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
