use std::ffi::{c_char, CString};
use std::ptr;

use crate::status::{Error, Result};
use crate::sys;

/// How a token is picked; [`Sampling::default`] is neutral: temperature 1, and every filter off.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0: greedy.
    pub temperature: f32,
    pub top_k: u32,
    pub top_p: f32,
    pub min_p: f32,
    pub repetition_penalty: f32,
    pub frequency_penalty: f32,
    pub presence_penalty: f32,
    /// The random number of a token is a function of the seed and the position.
    pub seed: u64,
    /// Tokens, and what is added to their logits.
    pub bias: Vec<(i32, f32)>,
}

impl Default for Sampling {
    fn default() -> Sampling {
        // SAFETY: it reads nothing
        let c = unsafe { sys::pl_sampling_default() };
        Sampling {
            temperature: c.temperature,
            top_k: c.top_k,
            top_p: c.top_p,
            min_p: c.min_p,
            repetition_penalty: c.repetition_penalty,
            frequency_penalty: c.frequency_penalty,
            presence_penalty: c.presence_penalty,
            seed: c.seed,
            bias: Vec::new(),
        }
    }
}

impl Sampling {
    pub fn greedy() -> Sampling {
        Sampling { temperature: 0.0, ..Sampling::default() }
    }
}

/// What a reply is held to.
#[derive(Clone, Debug, PartialEq)]
pub enum Grammar {
    JsonSchema(String),
    Regex(String),
    Gbnf(String),
    Lark(String),
}

impl Grammar {
    fn parts(&self) -> (sys::pl_grammar_kind, &str) {
        match self {
            Grammar::JsonSchema(s) => (sys::PL_GRAMMAR_JSON_SCHEMA, s),
            Grammar::Regex(s) => (sys::PL_GRAMMAR_REGEX, s),
            Grammar::Gbnf(s) => (sys::PL_GRAMMAR_GBNF, s),
            Grammar::Lark(s) => (sys::PL_GRAMMAR_LARK, s),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The prompt, at least one token.
    pub tokens: Vec<i32>,
    /// Of the reply; 0: up to the end of the context.
    pub max_tokens: u32,
    pub sampling: Sampling,
    /// The reply ends before any of these.
    pub stop: Vec<String>,
    pub stop_tokens: Vec<i32>,
    pub grammar: Option<Grammar>,
    /// Report the log-probability of every token.
    pub logprobs: bool,
}

/// A request as C has it, and what it points to, which is copied by the submit.
pub(crate) struct Raw<'a> {
    request: &'a Request,
    stop: Vec<CString>,
    bias: Vec<sys::pl_logit_bias>,
}

impl<'a> Raw<'a> {
    pub(crate) fn new(request: &'a Request) -> Result<Raw<'a>> {
        let stop = request.stop.iter().map(|s| CString::new(s.as_str()));
        let stop = stop.collect::<std::result::Result<Vec<_>, _>>();
        let stop = stop.map_err(|_| Error::param("a stop string holds a zero byte; none may"))?;
        let bias = request.sampling.bias.iter();
        let bias = bias.map(|&(token, bias)| sys::pl_logit_bias { token, bias }).collect();
        Ok(Raw { request, stop, bias })
    }

    fn sampling(&self) -> sys::pl_sampling {
        let s = &self.request.sampling;
        // SAFETY: it reads nothing
        let neutral = unsafe { sys::pl_sampling_default() };
        sys::pl_sampling {
            temperature: s.temperature,
            top_k: s.top_k,
            top_p: s.top_p,
            min_p: s.min_p,
            repetition_penalty: s.repetition_penalty,
            frequency_penalty: s.frequency_penalty,
            presence_penalty: s.presence_penalty,
            seed: s.seed,
            bias: self.bias.as_ptr(),
            n_bias: self.bias.len(),
            ..neutral
        }
    }

    fn grammar(&self) -> sys::pl_grammar {
        let (kind, source) = match &self.request.grammar {
            Some(grammar) => grammar.parts(),
            None => (sys::PL_GRAMMAR_NONE, ""),
        };
        sys::pl_grammar {
            kind,
            source: source.as_ptr().cast(),
            n_bytes: source.len(),
            trigger: ptr::null(),
            n_triggers: 0,
            triggers_at_start: false,
            begins_behind: false,
            must_begin: false,
        }
    }

    /// Hands the C request to `f`, for as long as `f` runs.
    pub(crate) fn with<T>(
        &self,
        on_event: sys::pl_wake_fn,
        arg: *mut std::ffi::c_void,
        f: impl FnOnce(&sys::pl_request) -> T,
    ) -> T {
        let r = self.request;
        let stop: Vec<*const c_char> = self.stop.iter().map(|s| s.as_ptr()).collect();
        f(&sys::pl_request {
            tokens: r.tokens.as_ptr(),
            n_tokens: r.tokens.len(),
            max_tokens: r.max_tokens,
            sampling: self.sampling(),
            stop: stop.as_ptr(),
            n_stop: stop.len(),
            stop_tokens: r.stop_tokens.as_ptr(),
            n_stop_tokens: r.stop_tokens.len(),
            min_tokens: 0,
            grammar: self.grammar(),
            thoughts: sys::pl_thoughts {
                begin: ptr::null(),
                n_begin: 0,
                end: ptr::null(),
                n_end: 0,
                max_tokens: 0,
            },
            control_text: false,
            ignore_eos: false,
            computes_prompt: false,
            logprobs: r.logprobs,
            n_top_logprobs: 0,
            prompt_logprobs: false,
            fork_of: ptr::null_mut(),
            who: 0,
            priority: 0,
            on_event: Some(on_event),
            arg,
        })
    }
}
