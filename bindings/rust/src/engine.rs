use std::ffi::CString;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::request::Request;
use crate::status::{check, Error, Result, Status};
use crate::stream::Stream;
use crate::sys;
use crate::waiting::Waiting;

/// What an engine is opened with; zeros and `None` are the library's defaults.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// GGUF, or the first part of a split one.
    pub model_path: PathBuf,
    /// Slots: decoded together.
    pub n_streams: u32,
    /// Prompt and reply of one stream.
    pub ctx_tokens: u32,
    /// Shared by all streams; 0: n_streams * ctx_tokens.
    pub kv_tokens: u64,
    /// Computing threads; 0: one per performance core.
    pub n_threads: u32,
    /// Requests that may wait for a slot.
    pub queue_requests: u32,
    pub queue_tokens: u64,
    /// "cpu", "metal", ...
    pub backend: Option<String>,
    pub pack_cache: Option<PathBuf>,
}

pub(crate) struct Inner {
    pub(crate) raw: NonNull<sys::pl_engine>,
    pub(crate) waiting: Arc<Waiting>,
}

// SAFETY: every function that is called with it may be called from any thread, says the header
unsafe impl Send for Inner {}
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: streams hold the engine, so all are closed
        unsafe { sys::pl_close(self.raw.as_ptr()) };
    }
}

/// A loaded model. Clones are the same engine, which closes with the last of them and of its
/// streams.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

fn c_string(text: &str, what: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::param(format!("{what} holds a zero byte; none may")))
}

fn c_path(path: &std::path::Path, what: &str) -> Result<CString> {
    let text = path.to_str();
    c_string(text.ok_or_else(|| Error::param(format!("{what} is not UTF-8")))?, what)
}

impl Engine {
    /// Loads the model and takes all the memory its plan calls for. Takes its time: from a task,
    /// on a thread for what blocks.
    pub fn open(params: &Params) -> Result<Engine> {
        let path = c_path(&params.model_path, "model_path")?;
        let backend = params.backend.as_deref().map(|b| c_string(b, "backend")).transpose()?;
        let pack = params.pack_cache.as_deref().map(|p| c_path(p, "pack_cache")).transpose()?;
        let pointer = |s: &Option<CString>| s.as_ref().map_or(ptr::null(), |s| s.as_ptr());
        // SAFETY: all zeros are the defaults
        let neutral: sys::pl_params = unsafe { std::mem::zeroed() };
        let raw_params = sys::pl_params {
            model_path: path.as_ptr(),
            n_streams: params.n_streams,
            ctx_tokens: params.ctx_tokens,
            kv_tokens: params.kv_tokens,
            n_threads: params.n_threads,
            queue_requests: params.queue_requests,
            queue_tokens: params.queue_tokens,
            backend: pointer(&backend),
            pack_cache: pointer(&pack),
            ..neutral
        };
        let mut raw = ptr::null_mut();
        // SAFETY: the strings live until it returns
        check(|err| unsafe { sys::pl_open(&mut raw, &raw_params, err) })?;
        let raw = NonNull::new(raw).expect("an open that succeeds gives an engine");
        Ok(Engine { inner: Arc::new(Inner { raw, waiting: Arc::default() }) })
    }

    fn raw(&self) -> *mut sys::pl_engine {
        self.inner.raw.as_ptr()
    }

    /// Queues a request; [`Status::Busy`] where the queue is full.
    pub fn try_submit(&self, request: &Request) -> Result<Stream> {
        Stream::open(&self.inner, request)
    }

    /// Queues a request as soon as the queue has room, in order of arrival. Dropping the future
    /// leaves the line.
    pub fn submit<'a>(&'a self, request: &'a Request) -> Submit<'a> {
        Submit { engine: self, request, ticket: None }
    }

    /// `special`: names of control tokens in the text become control tokens. The begin token is put
    /// first where the model wants one.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<i32>> {
        let flags = sys::PL_TOKENIZE_BOS | if special { sys::PL_TOKENIZE_SPECIAL } else { 0 };
        let mut out = sys::pl_tokens { ids: ptr::null_mut(), n: 0 };
        // SAFETY: the text is as long as it says
        check(|err| unsafe {
            sys::pl_tokenize(self.raw(), text.as_ptr().cast(), text.len(), flags, &mut out, err)
        })?;
        Ok(take_tokens(out))
    }

    /// Renders a conversation, {"messages": [...], ...}, with the model's chat template.
    pub fn chat_prompt(&self, json: &str) -> Result<Vec<i32>> {
        let mut out = sys::pl_tokens { ids: ptr::null_mut(), n: 0 };
        let text = ptr::null_mut();
        // SAFETY: the text is as long as it says
        check(|err| unsafe {
            let json_bytes = json.as_ptr().cast();
            sys::pl_chat_prompt(self.raw(), json_bytes, json.len(), text, &mut out, err)
        })?;
        Ok(take_tokens(out))
    }

    /// The text of tokens; what is no UTF-8 comes as U+FFFD.
    pub fn detokenize(&self, ids: &[i32]) -> Result<String> {
        let mut out = sys::pl_text { bytes: ptr::null_mut(), n: 0 };
        // SAFETY: the ids are as many as it says
        check(|err| unsafe {
            sys::pl_detokenize(self.raw(), ids.as_ptr(), ids.len(), false, &mut out, err)
        })?;
        // SAFETY: so many are there until they are freed, and a zero
        let bytes = unsafe { std::slice::from_raw_parts(out.bytes.cast::<u8>(), out.n) };
        let text = String::from_utf8_lossy(bytes).into_owned();
        unsafe { sys::pl_text_free(&mut out) };
        Ok(text)
    }

    /// The logits after the tokens, one for each of the vocabulary. Waits for them.
    pub fn logits(&self, tokens: &[i32]) -> Result<Vec<f32>> {
        let mut out = vec![0.0f32; self.plan().n_vocab as usize];
        // SAFETY: both are as long as it says
        check(|err| unsafe {
            let (n, room) = (tokens.len(), out.len());
            sys::pl_logits(self.raw(), tokens.as_ptr(), n, out.as_mut_ptr(), room, err)
        })?;
        Ok(out)
    }

    /// One vector for each text, pooled as the model says. Waits for them.
    pub fn embed(&self, texts: &[Vec<i32>]) -> Result<Vec<Vec<f32>>> {
        let raw: Vec<_> = texts
            .iter()
            .map(|t| sys::pl_embed_text { tokens: t.as_ptr(), n_tokens: t.len() })
            .collect();
        // SAFETY: all zeros is an empty result
        let mut out: sys::pl_embed_result = unsafe { std::mem::zeroed() };
        let pooling = match self.plan().pooling {
            sys::PL_POOLING_NONE => sys::PL_POOLING_MEAN,
            other => other,
        };
        // SAFETY: texts are as many, and as long, as it says
        check(|err| unsafe {
            sys::pl_embed(self.raw(), raw.as_ptr(), raw.len(), pooling, &mut out, err)
        })?;
        // SAFETY: (n_rows, d_model) floats are there until they are freed
        let all =
            unsafe { std::slice::from_raw_parts(out.vector, out.n_rows * out.d_model as usize) };
        let rows = all.chunks(out.d_model as usize).map(<[f32]>::to_vec).collect();
        unsafe { sys::pl_embed_free(&mut out) };
        Ok(rows)
    }

    /// The token that ends a reply, where the model has one.
    pub fn eos(&self) -> Option<i32> {
        // SAFETY: it reads what does not change
        Some(unsafe { sys::pl_token_eos(self.raw()) }).filter(|&token| token >= 0)
    }

    /// What it took and may do: memory to the byte, and all limits.
    pub fn plan(&self) -> &sys::pl_plan {
        // SAFETY: it is the engine's, and does not change
        unsafe { &*sys::pl_engine_plan(self.raw()) }
    }

    pub fn stats(&self) -> sys::pl_stats {
        // SAFETY: all zeros is a pl_stats, and the library fills it
        unsafe {
            let mut out = std::mem::zeroed();
            sys::pl_stats_read(self.raw(), &mut out);
            out
        }
    }

    /// Refuses new requests; running and queued ones go on.
    pub fn drain(&self) {
        // SAFETY: any thread may
        unsafe { sys::pl_drain(self.raw()) };
        self.inner.waiting.wake_first();
    }

    /// Whether somebody waits for room in the queue.
    pub fn is_waited_for(&self) -> bool {
        !self.inner.waiting.is_empty()
    }
}

fn take_tokens(mut tokens: sys::pl_tokens) -> Vec<i32> {
    let ids = match tokens.n {
        0 => Vec::new(),
        // SAFETY: so many are there until they are freed
        n => unsafe { std::slice::from_raw_parts(tokens.ids, n) }.to_vec(),
    };
    unsafe { sys::pl_tokens_free(&mut tokens) };
    ids
}

/// A request on its way into the queue.
pub struct Submit<'a> {
    engine: &'a Engine,
    request: &'a Request,
    ticket: Option<u64>,
}

impl Future for Submit<'_> {
    type Output = Result<Stream>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream>> {
        let this = self.get_mut();
        let waiting = &this.engine.inner.waiting;
        if !waiting.may_try(&mut this.ticket, cx.waker()) {
            return Poll::Pending;
        }
        match this.engine.try_submit(this.request) {
            Err(error) if error.status == Status::Busy => Poll::Pending,
            result => {
                waiting.leave(&mut this.ticket);
                Poll::Ready(result)
            }
        }
    }
}

impl Drop for Submit<'_> {
    fn drop(&mut self) {
        self.engine.inner.waiting.leave(&mut self.ticket);
    }
}
