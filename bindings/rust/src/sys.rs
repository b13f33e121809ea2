//! The C interface: include/paceline.h, whose comments say what all of this means.
//! Written by make_sys.py.
#![allow(non_camel_case_types)]

use std::ffi::{c_char, c_int, c_uint, c_void};

pub type pl_status = c_uint;
pub const PL_OK: pl_status = 0;
pub const PL_E_PARAM: pl_status = 1;
pub const PL_E_CONTEXT: pl_status = 2;
pub const PL_E_TEMPLATE: pl_status = 3;
pub const PL_E_GRAMMAR: pl_status = 4;
pub const PL_E_BUSY: pl_status = 5;
pub const PL_E_CLOSING: pl_status = 6;
pub const PL_E_CANCELLED: pl_status = 7;
pub const PL_E_FORMAT: pl_status = 8;
pub const PL_E_UNSUPPORTED: pl_status = 9;
pub const PL_E_IO: pl_status = 10;
pub const PL_E_MEMORY: pl_status = 11;
pub const PL_E_INTERRUPTED: pl_status = 12;
pub const PL_E_INTERNAL: pl_status = 13;
pub const PL_N_STATUS: pl_status = 14;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_err {
    pub status: pl_status,
    pub text: [c_char; 512],
}

pub type pl_log_level = c_uint;
pub const PL_LOG_ERROR: pl_log_level = 0;
pub const PL_LOG_WARN: pl_log_level = 1;
pub const PL_LOG_INFO: pl_log_level = 2;
pub const PL_LOG_DEBUG: pl_log_level = 3;

pub type pl_log_fn = unsafe extern "C" fn(
    arg: *mut c_void,
    level: pl_log_level,
    subsystem: *const c_char,
    line: *const c_char,
);

#[repr(C)]
pub struct pl_engine {
    _opaque: [u8; 0],
}

#[repr(C)]
pub struct pl_stream {
    _opaque: [u8; 0],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_rope {
    pub scaling: *const c_char,
    pub freq_base: f32,
    pub scale: f32,
    pub freq_scale: f32,
    pub yarn_orig_ctx: u32,
    pub yarn_ext_factor: *const c_char,
    pub yarn_attn_factor: f32,
    pub yarn_beta_slow: f32,
    pub yarn_beta_fast: f32,
}

pub type pl_progress_fn = unsafe extern "C" fn(arg: *mut c_void, fraction: f32) -> bool;

pub type pl_pooling = c_uint;
pub const PL_POOLING_DEFAULT: pl_pooling = 0;
pub const PL_POOLING_NONE: pl_pooling = 1;
pub const PL_POOLING_MEAN: pl_pooling = 2;
pub const PL_POOLING_CLS: pl_pooling = 3;
pub const PL_POOLING_LAST: pl_pooling = 4;
pub const PL_POOLING_RANK: pl_pooling = 5;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_params {
    pub model_path: *const c_char,
    pub n_streams: u32,
    pub ctx_tokens: u32,
    pub default_ctx_tokens: u32,
    pub kv_tokens: u64,
    pub cache_type_k: *const c_char,
    pub cache_type_v: *const c_char,
    pub backend: *const c_char,
    pub n_gpu_layers: u32,
    pub n_threads: u32,
    pub step_tokens: u32,
    pub prefill_tokens: u32,
    pub queue_requests: u32,
    pub queue_tokens: u64,
    pub prefill_first: bool,
    pub no_prefix_cache: bool,
    pub lock_memory: bool,
    pub keep_resident_s: u32,
    pub time_operations: bool,
    pub text_only: bool,
    pub isa: *const c_char,
    pub chat_template: *const c_char,
    pub pooling: pl_pooling,
    pub override_kv: *const c_char,
    pub rope: pl_rope,
    pub rope_ctx_tokens: u32,
    pub on_progress: Option<pl_progress_fn>,
    pub progress_arg: *mut c_void,
    pub pack_cache: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_plan {
    pub model_name: [c_char; 96],
    pub architecture: [c_char; 32],
    pub quantisation: [c_char; 32],
    pub backend: [c_char; 32],
    pub isa: [c_char; 32],
    pub cpu_name: [c_char; 96],
    pub file_bytes: u64,
    pub n_parameters: u64,
    pub weights_bytes: u64,
    pub shared_bytes: u64,
    pub step_weight_bytes: u64,
    pub expert_weight_bytes: u64,
    pub n_experts: u32,
    pub n_experts_used: u32,
    pub step_macs_per_token: u64,
    pub kv_bytes: u64,
    pub window_kv_bytes: u64,
    pub state_bytes: u64,
    pub stream_state_bytes: u64,
    pub scratch_bytes: u64,
    pub stream_bytes: u64,
    pub vocab_bytes: u64,
    pub total_bytes: u64,
    pub n_streams: u32,
    pub ctx_tokens: u32,
    pub model_ctx_tokens: u32,
    pub n_threads: u32,
    pub step_tokens: u32,
    pub prefill_tokens: u32,
    pub queue_requests: u32,
    pub queue_tokens: u64,
    pub page_tokens: u32,
    pub n_pages: u32,
    pub kv_tokens: u64,
    pub kv_bytes_per_token: u64,
    pub cache_type_k: [c_char; 12],
    pub cache_type_v: [c_char; 12],
    pub n_vocab: u32,
    pub d_model: u32,
    pub n_layers: u32,
    pub n_heads: u32,
    pub n_kv_heads: u32,
    pub d_head: u32,
    pub n_head_rows: u32,
    pub n_state_layers: u32,
    pub n_kv_layers: u32,
    pub n_window_layers: u32,
    pub window_tokens: u32,
    pub n_cpu_layers: u32,
    pub pooling: pl_pooling,
    pub gpu_refusal: [c_char; 256],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_machine {
    pub cpu_name: [c_char; 96],
    pub isa: [c_char; 32],
    pub n_threads: u32,
    pub macs_per_s: f64,
    pub matrix_macs_per_s: f64,
    pub read_bytes_per_s: f64,
    pub hand_over_s: f64,
    pub barrier_s: f64,
}

pub type pl_self_test_fn =
    unsafe extern "C" fn(arg: *mut c_void, what: *const c_char, is_ok: bool, text: *const c_char);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_tokens {
    pub ids: *mut i32,
    pub n: usize,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_text {
    pub bytes: *mut c_char,
    pub n: usize,
}

pub type pl_tokenize_flags = c_uint;
pub const PL_TOKENIZE_PLAIN: pl_tokenize_flags = 0;
pub const PL_TOKENIZE_SPECIAL: pl_tokenize_flags = 1;
pub const PL_TOKENIZE_BOS: pl_tokenize_flags = 2;
pub const PL_TOKENIZE_EOS: pl_tokenize_flags = 4;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_logit_bias {
    pub token: i32,
    pub bias: f32,
}

pub type pl_sampler = c_uint;
pub const PL_SAMPLER_PENALTIES: pl_sampler = 0;
pub const PL_SAMPLER_DRY: pl_sampler = 1;
pub const PL_SAMPLER_TOP_N_SIGMA: pl_sampler = 2;
pub const PL_SAMPLER_TOP_K: pl_sampler = 3;
pub const PL_SAMPLER_TYPICAL: pl_sampler = 4;
pub const PL_SAMPLER_TOP_P: pl_sampler = 5;
pub const PL_SAMPLER_MIN_P: pl_sampler = 6;
pub const PL_SAMPLER_XTC: pl_sampler = 7;
pub const PL_SAMPLER_TEMPERATURE: pl_sampler = 8;
pub const PL_N_SAMPLERS: pl_sampler = 9;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_sampling {
    pub temperature: f32,
    pub top_k: u32,
    pub top_p: f32,
    pub min_p: f32,
    pub typical_p: f32,
    pub repetition_penalty: f32,
    pub frequency_penalty: f32,
    pub presence_penalty: f32,
    pub penalty_last_n: u32,
    pub dry_multiplier: f32,
    pub dry_base: f32,
    pub dry_allowed_length: u32,
    pub dry_last_n: i32,
    pub dry_breaker: *const *const c_char,
    pub n_dry_breakers: usize,
    pub top_n_sigma: f32,
    pub xtc_probability: f32,
    pub xtc_threshold: f32,
    pub dynatemp_range: f32,
    pub dynatemp_exponent: f32,
    pub mirostat: u32,
    pub mirostat_tau: f32,
    pub mirostat_eta: f32,
    pub min_keep: u32,
    pub order: [u8; 9],
    pub n_order: u32,
    pub seed: u64,
    pub bias: *const pl_logit_bias,
    pub n_bias: usize,
}

pub type pl_grammar_kind = c_uint;
pub const PL_GRAMMAR_NONE: pl_grammar_kind = 0;
pub const PL_GRAMMAR_JSON_SCHEMA: pl_grammar_kind = 1;
pub const PL_GRAMMAR_REGEX: pl_grammar_kind = 2;
pub const PL_GRAMMAR_GBNF: pl_grammar_kind = 3;
pub const PL_GRAMMAR_LARK: pl_grammar_kind = 4;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_grammar {
    pub kind: pl_grammar_kind,
    pub source: *const c_char,
    pub n_bytes: usize,
    pub trigger: *const *const c_char,
    pub n_triggers: usize,
    pub triggers_at_start: bool,
    pub begins_behind: bool,
    pub must_begin: bool,
}

pub type pl_wake_fn = unsafe extern "C" fn(arg: *mut c_void);

pub const PL_MAX_PRIORITY: usize = 100;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_thoughts {
    pub begin: *const i32,
    pub n_begin: usize,
    pub end: *const i32,
    pub n_end: usize,
    pub max_tokens: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_request {
    pub tokens: *const i32,
    pub n_tokens: usize,
    pub max_tokens: u32,
    pub sampling: pl_sampling,
    pub stop: *const *const c_char,
    pub n_stop: usize,
    pub stop_tokens: *const i32,
    pub n_stop_tokens: usize,
    pub min_tokens: u32,
    pub thoughts: pl_thoughts,
    pub grammar: pl_grammar,
    pub control_text: bool,
    pub ignore_eos: bool,
    pub computes_prompt: bool,
    pub logprobs: bool,
    pub n_top_logprobs: u32,
    pub prompt_logprobs: bool,
    pub who: u64,
    pub priority: i32,
    pub fork_of: *mut pl_stream,
    pub on_event: Option<pl_wake_fn>,
    pub arg: *mut c_void,
}

pub type pl_finish = c_uint;
pub const PL_FINISH_NONE: pl_finish = 0;
pub const PL_FINISH_STOP: pl_finish = 1;
pub const PL_FINISH_LENGTH: pl_finish = 2;
pub const PL_FINISH_CANCELLED: pl_finish = 3;
pub const PL_FINISH_ERROR: pl_finish = 4;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_token_prob {
    pub token: i32,
    pub logprob: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_usage {
    pub n_prompt: u32,
    pub n_cached: u32,
    pub n_reply: u32,
    pub queue_ns: u64,
    pub prefill_ns: u64,
    pub decode_ns: u64,
}

pub type pl_event_kind = c_uint;
pub const PL_EVENT_ADMITTED: pl_event_kind = 0;
pub const PL_EVENT_TOKEN: pl_event_kind = 1;
pub const PL_EVENT_END: pl_event_kind = 2;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_event {
    pub kind: pl_event_kind,
    pub text: *const c_char,
    pub n_text_bytes: usize,
    pub token: i32,
    pub logprob: f32,
    pub top: *const pl_token_prob,
    pub n_top: u32,
    pub finish: pl_finish,
    pub stop_index: i32,
    pub usage: pl_usage,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_score_result {
    pub nll: *mut f32,
    pub top: *mut pl_token_prob,
    pub n_tokens: usize,
    pub n_top: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_embed_text {
    pub tokens: *const i32,
    pub n_tokens: usize,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_embed_request {
    pub text: *const pl_embed_text,
    pub n_texts: usize,
    pub pooling: pl_pooling,
    pub on_event: Option<pl_wake_fn>,
    pub arg: *mut c_void,
}

#[repr(C)]
pub struct pl_embedding {
    _opaque: [u8; 0],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_embed_result {
    pub vector: *mut f32,
    pub n_rows: usize,
    pub d_model: u32,
}

pub const PL_HISTOGRAM_MAX: usize = 24;
pub const PL_OPERATIONS_MAX: usize = 24;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_histogram {
    pub n_bounds: u32,
    pub bound_s: [f64; 24],
    pub count: [u64; 24],
    pub n: u64,
    pub sum_s: f64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_operation {
    pub name: *const c_char,
    pub prefill_ns: u64,
    pub decode_ns: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_stats {
    pub n_requests: u64,
    pub n_rejected_busy: u64,
    pub n_rejected_context: u64,
    pub n_rejected_closing: u64,
    pub n_finished: [u64; 5],
    pub n_prompt_tokens: u64,
    pub n_cached_tokens: u64,
    pub n_reply_tokens: u64,
    pub n_tokens_max: u32,
    pub n_steps: u64,
    pub n_interrupted_steps: u64,
    pub n_pauses: u64,
    pub n_recomputed_tokens: u64,
    pub n_prefill_step_tokens: u64,
    pub prefill_step_ns: u64,
    pub n_decode_step_tokens: u64,
    pub decode_step_ns: u64,
    pub n_running: u32,
    pub n_paused: u32,
    pub n_queued: u32,
    pub n_queued_tokens: u64,
    pub n_pages_used: u32,
    pub n_pages_cached: u32,
    pub n_pages_total: u32,
    pub reply_tokens_per_s: f64,
    pub queue_gap_s: f64,
    pub ttft: pl_histogram,
    pub inter_token: pl_histogram,
    pub queue: pl_histogram,
    pub prefill: pl_histogram,
    pub decode: pl_histogram,
    pub end_to_end: pl_histogram,
    pub operation: [pl_operation; 24],
    pub n_operations: u32,
}

pub type pl_slot_state = c_uint;
pub const PL_SLOT_IDLE: pl_slot_state = 0;
pub const PL_SLOT_PREFILL: pl_slot_state = 1;
pub const PL_SLOT_DECODE: pl_slot_state = 2;
pub const PL_SLOT_PAUSED: pl_slot_state = 3;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pl_slot {
    pub id: u32,
    pub state: pl_slot_state,
    pub stream_id: u64,
    pub n_prompt: u32,
    pub n_prompt_done: u32,
    pub n_cached: u32,
    pub n_reply: u32,
    pub max_tokens: u32,
    pub age_ns: u64,
}

extern "C" {
    pub fn pl_version() -> *const c_char;
    pub fn pl_status_name(status: pl_status) -> *const c_char;
    pub fn pl_status_http(status: pl_status) -> c_int;
    pub fn pl_set_log(r#fn: Option<pl_log_fn>, arg: *mut c_void, most_verbose: pl_log_level);
    pub fn pl_plan_compute(
        out: *mut pl_plan,
        params: *const pl_params,
        err: *mut pl_err,
    ) -> pl_status;
    pub fn pl_open(
        out: *mut *mut pl_engine,
        params: *const pl_params,
        err: *mut pl_err,
    ) -> pl_status;
    pub fn pl_drain(engine: *mut pl_engine);
    pub fn pl_close(engine: *mut pl_engine);
    pub fn pl_engine_plan(engine: *const pl_engine) -> *const pl_plan;
    pub fn pl_backend_reach(
        backend: *const c_char,
        name: *mut c_char,
        err: *mut pl_err,
    ) -> pl_status;
    pub fn pl_machine_measure(
        out: *mut pl_machine,
        backend: *const c_char,
        n_threads: u32,
        err: *mut pl_err,
    ) -> pl_status;
    pub fn pl_self_test(
        backend: *const c_char,
        r#fn: Option<pl_self_test_fn>,
        arg: *mut c_void,
        err: *mut pl_err,
    ) -> pl_status;
    pub fn pl_tokens_free(tokens: *mut pl_tokens);
    pub fn pl_text_free(text: *mut pl_text);
    pub fn pl_tokenize(
        engine: *const pl_engine,
        text: *const c_char,
        n_bytes: usize,
        flags: c_uint,
        out: *mut pl_tokens,
        err: *mut pl_err,
    ) -> pl_status;
    pub fn pl_detokenize(
        engine: *const pl_engine,
        ids: *const i32,
        n: usize,
        special: bool,
        out: *mut pl_text,
        err: *mut pl_err,
    ) -> pl_status;
    pub fn pl_token_bytes(engine: *const pl_engine, id: i32, n_bytes: *mut usize) -> *const c_char;
    pub fn pl_chat_prompt(
        engine: *const pl_engine,
        json: *const c_char,
        n_bytes: usize,
        text_out: *mut pl_text,
        tokens_out: *mut pl_tokens,
        err: *mut pl_err,
    ) -> pl_status;
    pub fn pl_chat_template(engine: *const pl_engine) -> *const c_char;
    pub fn pl_token_bos(engine: *const pl_engine) -> i32;
    pub fn pl_token_eos(engine: *const pl_engine) -> i32;
    pub fn pl_sampling_default() -> pl_sampling;
    pub fn pl_sampling_add(
        sampling: *mut pl_sampling,
        name: *const c_char,
        n_bytes: usize,
        err: *mut pl_err,
    ) -> pl_status;
    pub fn pl_sampler_name(sampler: u32) -> *const c_char;
    pub fn pl_submit(
        engine: *mut pl_engine,
        request: *const pl_request,
        out: *mut *mut pl_stream,
        err: *mut pl_err,
    ) -> pl_status;
    pub fn pl_queue_check(engine: *mut pl_engine, err: *mut pl_err) -> pl_status;
    pub fn pl_stream_next(stream: *mut pl_stream, out: *mut pl_event) -> bool;
    pub fn pl_stream_wait(stream: *mut pl_stream, timeout_ms: u32) -> bool;
    pub fn pl_stream_prompt_logprob(
        stream: *const pl_stream,
        position: usize,
        logprob: *mut f32,
    ) -> *const pl_token_prob;
    pub fn pl_stream_cancel(stream: *mut pl_stream);
    pub fn pl_stream_close(stream: *mut pl_stream);
    pub fn pl_score(
        engine: *mut pl_engine,
        tokens: *const i32,
        n_tokens: usize,
        n_top: u32,
        out: *mut pl_score_result,
        err: *mut pl_err,
    ) -> pl_status;
    pub fn pl_score_free(result: *mut pl_score_result);
    pub fn pl_logits(
        engine: *mut pl_engine,
        tokens: *const i32,
        n_tokens: usize,
        out: *mut f32,
        n_out: usize,
        err: *mut pl_err,
    ) -> pl_status;
    pub fn pl_embedding_open(
        engine: *mut pl_engine,
        request: *const pl_embed_request,
        out: *mut *mut pl_embedding,
        err: *mut pl_err,
    ) -> pl_status;
    pub fn pl_embedding_poll(
        embedding: *mut pl_embedding,
        is_done: *mut bool,
        err: *mut pl_err,
    ) -> pl_status;
    pub fn pl_embedding_rows(
        embedding: *const pl_embedding,
        text: usize,
        n_rows: *mut usize,
    ) -> *const f32;
    pub fn pl_embedding_close(embedding: *mut pl_embedding);
    pub fn pl_embed(
        engine: *mut pl_engine,
        text: *const pl_embed_text,
        n_texts: usize,
        pooling: pl_pooling,
        out: *mut pl_embed_result,
        err: *mut pl_err,
    ) -> pl_status;
    pub fn pl_embed_free(result: *mut pl_embed_result);
    pub fn pl_stats_read(engine: *mut pl_engine, out: *mut pl_stats);
    pub fn pl_slots_read(engine: *mut pl_engine, out: *mut pl_slot, max_slots: u32) -> u32;
    pub fn pl_is_healthy(engine: *mut pl_engine) -> bool;
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<pl_err>() == 516);
    assert!(size_of::<pl_rope>() == 48);
    assert!(size_of::<pl_params>() == 216);
    assert!(size_of::<pl_plan>() == 848);
    assert!(size_of::<pl_machine>() == 176);
    assert!(size_of::<pl_tokens>() == 16);
    assert!(size_of::<pl_text>() == 16);
    assert!(size_of::<pl_logit_bias>() == 8);
    assert!(size_of::<pl_sampling>() == 152);
    assert!(size_of::<pl_grammar>() == 48);
    assert!(size_of::<pl_thoughts>() == 40);
    assert!(size_of::<pl_request>() == 360);
    assert!(size_of::<pl_token_prob>() == 8);
    assert!(size_of::<pl_usage>() == 40);
    assert!(size_of::<pl_event>() == 96);
    assert!(size_of::<pl_score_result>() == 32);
    assert!(size_of::<pl_embed_text>() == 16);
    assert!(size_of::<pl_embed_request>() == 40);
    assert!(size_of::<pl_embed_result>() == 24);
    assert!(size_of::<pl_histogram>() == 408);
    assert!(size_of::<pl_operation>() == 24);
    assert!(size_of::<pl_stats>() == 3256);
    assert!(size_of::<pl_slot>() == 48);
};
