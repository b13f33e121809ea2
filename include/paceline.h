/* paceline: many parallel generations of one LLM in one process. The whole public surface.
 *
 * Threads: every function may be called from any thread unless its comment says otherwise. One
 * engine thread, owned by the engine, does all the computing; nothing here waits for it except
 * pl_open, pl_close, pl_stream_wait, pl_score, pl_logits and pl_embed.
 *
 * Ownership: strings and arrays passed in are copied before the call returns. What a function
 * hands out is released with the function its comment names. A zeroed struct means "defaults".
 *
 * Units: a name ends in them (_bytes, _tokens, _ns, _ms, _s, _per_s); counts begin n_. Text is
 * UTF-8 where nothing else is said. Shares are from 0 to 1, logarithms natural.
 *
 * Errors: a call that can fail returns pl_status (zero is success) and fills *err, which may be
 * NULL; *out is empty then. The library never exits, aborts or prints, and reads no environment.
 *
 * Of one process: several engines, of one model or of several, do not know each other. After fork()
 * the child may not use what the parent opened. */
#ifndef PACELINE_H
#define PACELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PL_API __attribute__((visibility("default")))
#define PL_VERSION "0.1.0"

/* PL_VERSION of the library that is linked; the header's where they are of one version. Versions of
 * one number before the last dot have one interface, but for what the later one adds. */
PL_API const char *pl_version(void);

/* One list gives the enum, the name and the HTTP status a server answers with. */
#define PL_STATUS_LIST(X)                                                                          \
    X(PL_OK, 200, "ok")                                                                            \
    X(PL_E_PARAM, 400, "invalid_parameter")        /* a value out of range or of the wrong kind */ \
    X(PL_E_CONTEXT, 400, "context_length_exceeded") /* the prompt does not fit a stream */         \
    X(PL_E_TEMPLATE, 400, "chat_template_error")   /* no template, or it refused the messages */   \
    X(PL_E_GRAMMAR, 400, "invalid_grammar")        /* it is none, or asks for what there is not */ \
    X(PL_E_BUSY, 429, "queue_full")                /* nothing was kept: try again later */         \
    X(PL_E_CLOSING, 503, "shutting_down")                                                          \
    X(PL_E_CANCELLED, 503, "cancelled")            /* whoever asked for it said to stop */         \
    X(PL_E_FORMAT, 500, "bad_model_file")          /* the model file is damaged or hostile */      \
    X(PL_E_UNSUPPORTED, 500, "unsupported_model")  /* a sound file that this version cannot run */ \
    X(PL_E_IO, 500, "io_error")                                                                    \
    X(PL_E_MEMORY, 500, "out_of_memory")                                                           \
    X(PL_E_INTERRUPTED, 500, "interrupted")        /* the system took the machine away */          \
    X(PL_E_INTERNAL, 500, "internal_error")

typedef enum pl_status {
#define X(name, http, text) name,
    PL_STATUS_LIST(X)
#undef X
    PL_N_STATUS
} pl_status;

/* Enough for a long path and what is said of it; of what is longer the middle is left out. */
#define PL_ERR_TEXT_BYTES 512

/* What went wrong: what was found, what was wanted, what to change. One line, no newline. */
typedef struct pl_err {
    pl_status status;
    char text[PL_ERR_TEXT_BYTES];
} pl_err;

PL_API const char *pl_status_name(pl_status status);
PL_API int pl_status_http(pl_status status);

/* ---- log ------------------------------------------------------------------------------------ */

typedef enum pl_log_level { PL_LOG_ERROR, PL_LOG_WARN, PL_LOG_INFO, PL_LOG_DEBUG } pl_log_level;

/* Receives one line without its newline. Called from any thread; must not call the library. */
typedef void pl_log_fn(void *arg, pl_log_level level, const char *subsystem, const char *line);

/* One sink for the whole process; NULL (the default) drops everything. Not while an engine
 * opens. */
PL_API void pl_set_log(pl_log_fn *fn, void *arg, pl_log_level most_verbose);

/* ---- engine --------------------------------------------------------------------------------- */

typedef struct pl_engine pl_engine; /* a loaded model and all the memory it will ever use */
typedef struct pl_stream pl_stream; /* one request, from submit to close */

/* How positions turn, where it is not as the model file says; a zero says nothing. */
typedef struct pl_rope {
    const char *scaling;        /* "none", "linear" or "yarn" */
    float freq_base;
    float scale;                /* the context is to be so many times the original, and may be it */
    float freq_scale;           /* or the inverse of that */
    uint32_t yarn_orig_ctx;     /* the original context, of yarn */
    const char *yarn_ext_factor; /* a number as text, for 0 is one: 1, pairs that turn fast stay */
    float yarn_attn_factor, yarn_beta_slow, yarn_beta_fast;
} pl_rope;

/* Told how much of the model is loaded, from 0 to 1, by the thread that called pl_open. False:
 * stop, which makes pl_open fail with PL_E_CANCELLED. Must not call the library. */
typedef bool pl_progress_fn(void *arg, float fraction);

/* What the rows of a text's positions become: the last layer's, normed as the output head reads
 * them. */
typedef enum pl_pooling {
    PL_POOLING_DEFAULT,         /* as the model file says, or the last */
    PL_POOLING_NONE,            /* they stay: a vector for each position */
    PL_POOLING_MEAN,
    PL_POOLING_CLS,             /* the first */
    PL_POOLING_LAST,
    PL_POOLING_RANK,            /* of files alone: a classifier, which is not run, reads the row */
} pl_pooling;

typedef struct pl_params {
    const char *model_path;     /* GGUF, or the first part of a split one */
    uint32_t n_streams;         /* slots: decoded together; 0: 1 */
    uint32_t ctx_tokens;        /* prompt + reply of one stream; 0: the model's own limit */
    uint32_t default_ctx_tokens; /* where ctx_tokens is 0: so many, or the model's own limit where
                                 * that is less; 0: the model's own limit */
    uint64_t kv_tokens;         /* KV pool shared by all streams; 0: n_streams * ctx_tokens */
    const char *cache_type_k;   /* how keys are stored: "f16" (NULL), "bf16", "q8_0", "f8_e4m3" */
    const char *cache_type_v;   /* and values */
    const char *backend;        /* what computes: "cpu", "metal", "metal-tensors"; "exact": in f32,
                                 * slow, what the others are held against; "auto" (NULL): the best
                                 * of this build that works on this machine */
    uint32_t n_gpu_layers;      /* the last so many layers are the backend's, those before them the
                                 * CPU's; 0: all are the backend's */
    uint32_t n_threads;         /* computing threads; 0: one per performance core */
    uint32_t step_tokens;       /* most columns of a step; 0: 256 */
    uint32_t prefill_tokens;    /* most prompt tokens of a step in which others decode; 0: 64. A GPU
                                 * that computes columns in eights fills the last eight, too */
    uint32_t queue_requests;    /* requests that may wait for a slot; 0: 1024 */
    uint64_t queue_tokens;      /* prompt tokens that may wait; 0: 8 * 1024 * 1024 */
    bool prefill_first;         /* no reply token before every admitted prompt is read
                                 * (benchmarks) */
    bool no_prefix_cache;       /* do not reuse KV pages of equal prompts */
    bool lock_memory;           /* mlock weights and KV */
    uint32_t keep_resident_s;   /* how long after the last step a GPU's memory is kept resident; 0:
                                 * 180; UINT32_MAX: as long as the system likes */
    bool time_operations;       /* fill pl_stats.operation (benchmarks) */
    bool text_only;             /* only the text functions: no weights, no streams, no threads */
    const char *isa;            /* most capable instruction set to use: "scalar", "avx2", ... */
    const char *chat_template;  /* replaces the file's own; a built-in's name ("chatml"), the
                                 * name of another one in the file ("rag"), or a source */
    pl_pooling pooling;         /* of embeddings that do not say; not RANK */
    const char *override_kv;    /* keys of the model file: "KEY=TYPE:VALUE", several with commas;
                                 * TYPE is int, float, bool or str */
    pl_rope rope;
    uint32_t rope_ctx_tokens;   /* context whose RoPE is used, of models that have one for short
                                 * ones and one for long ones; 0: ctx_tokens */
    pl_progress_fn *on_progress; /* while pl_open loads; NULL: nobody is told */
    void *progress_arg;
    const char *pack_cache;     /* folder, made if missing, where packed weights are kept and mapped
                                 * from at later starts; processes share that memory. Trouble with
                                 * it is logged and never fails pl_open. NULL: none */
} pl_params;

/* Everything the engine will allocate, to the byte, and the limits it took. */
typedef struct pl_plan {
    char model_name[96];        /* general.name of the file, or its file name */
    char architecture[32];
    char quantisation[32];      /* the commonest tensor type, for display: "Q4_K" */
    char backend[32];           /* "cpu", "exact", "metal", "metal-tensors" */
    char isa[32];               /* "avx512vnni"; of an open engine on a GPU, its name */
    char cpu_name[96];
    uint64_t file_bytes;        /* of all parts */
    uint64_t n_parameters;
    uint64_t weights_bytes;     /* packed weights, taken at start */
    uint64_t shared_bytes;      /* of these, mapped from the pack cache; known by an open engine */
    uint64_t step_weight_bytes; /* of these, read by every step */
    uint64_t expert_weight_bytes; /* of these, all experts: a step reads those its columns chose */
    uint32_t n_experts, n_experts_used; /* a layer's, a column's; 0: a dense model */
    uint64_t step_macs_per_token; /* multiply-adds of the products, output head included */
    uint64_t kv_bytes;
    uint64_t window_kv_bytes;   /* of these, of layers that keep no more than their window */
    uint64_t state_bytes;       /* of these, what layers remember that keep no positions: */
    uint64_t stream_state_bytes;    /* one stream's, all its layers; there is room for several */
    uint64_t scratch_bytes;     /* activations, logits, tables */
    uint64_t stream_bytes;      /* token histories, reply rings, page tables */
    uint64_t vocab_bytes;       /* tokenizer tables */
    uint64_t total_bytes;
    uint32_t n_streams, ctx_tokens, model_ctx_tokens, n_threads;
    uint32_t step_tokens, prefill_tokens, queue_requests;
    uint64_t queue_tokens;
    uint32_t page_tokens, n_pages;
    uint64_t kv_tokens, kv_bytes_per_token;
    char cache_type_k[12], cache_type_v[12];
    uint32_t n_vocab, d_model, n_layers, n_heads, n_kv_heads, d_head;
    uint32_t n_head_rows;       /* of the output head: n_vocab, or more, which have no token */
    uint32_t n_state_layers;    /* layers that remember a state */
    uint32_t n_kv_layers;       /* layers that keep keys and values of their own */
    uint32_t n_window_layers, window_tokens;    /* layers that look back so many tokens alone */
    uint32_t n_cpu_layers;      /* the first of them, where the backend has not all */
    pl_pooling pooling;         /* of embeddings that do not say; RANK: there is none */
    char gpu_refusal[256];      /* of an open engine whose backend nobody chose by name: why the CPU
                                 * computes and not this build's first choice; empty: no refusal */
} pl_plan;

/* What pl_open would take, from the file's header alone. */
PL_API pl_status pl_plan_compute(pl_plan *out, const pl_params *params, pl_err *err);

/* Loads the model and takes all the memory its plan calls for. On failure *out is NULL and err
 * says what to change, in bytes or tokens. Release with pl_close. */
PL_API pl_status pl_open(pl_engine **out, const pl_params *params, pl_err *err);

/* Refuses new requests (PL_E_CLOSING); running and queued ones go on. */
PL_API void pl_drain(pl_engine *engine);

/* Ends every stream (PL_FINISH_CANCELLED), stops the engine thread and frees all. Streams that are
 * still open must be closed first. NULL is allowed. */
PL_API void pl_close(pl_engine *engine);

PL_API const pl_plan *pl_engine_plan(const pl_engine *engine);

/* What this machine can do at most, measured in about a second: multiply-adds a second, of int8 by
 * a CPU's best vector instructions or of halves by a GPU's matrix unit; of int8 by the CPU's own
 * matrix unit (0: none that this engine uses); and bytes read from memory. */
typedef struct pl_machine {
    char cpu_name[96];
    char isa[32];
    uint32_t n_threads;
    double macs_per_s;
    double matrix_macs_per_s;
    double read_bytes_per_s;
    /* Of next to no work; 0: this backend does not measure them. Until the host knows that what it
     * handed over is done; between two operations of which one waits for the other. */
    double hand_over_s, barrier_s;
} pl_machine;

/* Whether this machine has what the backend computes on (a name as in pl_params), and what that is
 * called; a backend of the processor's always has, and gives "". Loads and compiles nothing.
 * PL_E_UNSUPPORTED: err says what was found and what is wanted. */
PL_API pl_status pl_backend_reach(const char *backend, char name[64], pl_err *err);

/* backend as in pl_params. 0 threads: one per performance core. Not while an engine computes. */
PL_API pl_status pl_machine_measure(pl_machine *out, const char *backend, uint32_t n_threads,
                                    pl_err *err);

/* One line of a self-test's report. */
typedef void pl_self_test_fn(void *arg, const char *what, bool is_ok, const char *text);

/* Whether a backend computes rightly on this machine: a small random model against the exact
 * backend (that one against the CPU's scalar code), for every weight and KV type, and each column
 * of a step against what it gets alone. Takes some seconds; any thread, one at a time.
 * PL_E_INTERNAL: it ran and checks failed; other errors: it could not run (all that a GPU's
 * compiler said is in the log). */
PL_API pl_status pl_self_test(const char *backend, pl_self_test_fn *fn, void *arg, pl_err *err);

/* ---- text ----------------------------------------------------------------------------------- */

typedef struct pl_tokens { /* release with pl_tokens_free */
    int32_t *ids;
    size_t n;
} pl_tokens;

typedef struct pl_text { /* release with pl_text_free; bytes end with a zero not counted in n */
    char *bytes;
    size_t n;
} pl_text;

PL_API void pl_tokens_free(pl_tokens *tokens);
PL_API void pl_text_free(pl_text *text);

typedef enum pl_tokenize_flags {
    PL_TOKENIZE_PLAIN = 0,
    PL_TOKENIZE_SPECIAL = 1,    /* control tokens written in the text become control tokens */
    PL_TOKENIZE_BOS = 2,        /* put the begin token first where the model file asks for one */
    PL_TOKENIZE_EOS = 4,        /* and the end token last: models of embeddings read it there */
} pl_tokenize_flags;

/* Any bytes are accepted; they need not be UTF-8. */
PL_API pl_status pl_tokenize(const pl_engine *engine, const char *text, size_t n_bytes,
                             unsigned flags, pl_tokens *out, pl_err *err);

/* Bytes of the tokens, one after another; `special`: control tokens are written out. */
PL_API pl_status pl_detokenize(const pl_engine *engine, const int32_t *ids, size_t n, bool special,
                               pl_text *out, pl_err *err);

/* The bytes one token stands for (control tokens: their name). Not zero-terminated; valid while
 * the engine is open. An id out of range gives no bytes. */
PL_API const char *pl_token_bytes(const pl_engine *engine, int32_t id, size_t *n_bytes);

/* Renders a conversation with the model's chat template. json: {"messages": [...], "tools": [...],
 * "add_generation_prompt": true, ...}; any further member is a variable of the template. Messages
 * are OpenAI's: arguments of calls may be JSON in a string, content null, a string or text parts.
 * text_out gets the rendered prompt, tokens_out its tokens: control tokens come from the template
 * alone; what looks like one inside message content stays text. Either output may be NULL. */
PL_API pl_status pl_chat_prompt(const pl_engine *engine, const char *json, size_t n_bytes,
                                pl_text *text_out, pl_tokens *tokens_out, pl_err *err);

/* The chat template's source, or NULL where the model has none. */
PL_API const char *pl_chat_template(const pl_engine *engine);

PL_API int32_t pl_token_bos(const pl_engine *engine); /* -1: none */
PL_API int32_t pl_token_eos(const pl_engine *engine); /* -1: none */

/* ---- streams -------------------------------------------------------------------------------- */

typedef struct pl_logit_bias {
    int32_t token;
    float bias; /* added to the logit; -INFINITY forbids the token */
} pl_logit_bias;

/* In the order in which they run where a request names none. */
typedef enum pl_sampler {
    PL_SAMPLER_PENALTIES,
    PL_SAMPLER_DRY,
    PL_SAMPLER_TOP_N_SIGMA,
    PL_SAMPLER_TOP_K,
    PL_SAMPLER_TYPICAL,
    PL_SAMPLER_TOP_P,
    PL_SAMPLER_MIN_P,
    PL_SAMPLER_XTC,
    PL_SAMPLER_TEMPERATURE,
    PL_N_SAMPLERS
} pl_sampler;

/* A sampler at its neutral value does nothing. First biases, then the samplers in their order, then
 * the draw. Each sees the probabilities renormalised over the tokens that the one before left. */
typedef struct pl_sampling {
    float temperature;          /* 0: greedy */
    uint32_t top_k;             /* 0: off */
    float top_p;                /* 1: off */
    float min_p;                /* 0: off */
    float typical_p;            /* 1: off */
    float repetition_penalty;   /* 1: off */
    float frequency_penalty;    /* 0: off */
    float presence_penalty;     /* 0: off */
    uint32_t penalty_last_n;    /* tokens the penalties look back on, prompt included */
    float dry_multiplier;       /* DRY: a token that would go on with a repetition of n tokens loses
                                 * dry_multiplier * dry_base^(n - dry_allowed_length);
                                 * 0: off */
    float dry_base;             /* at least 1 */
    uint32_t dry_allowed_length;
    int32_t dry_last_n;         /* tokens it looks back on, as many as the vocabulary has at most;
                                 * -1: all, 0: off */
    const char *const *dry_breaker;     /* (n_dry_breakers) repetitions end where one of these is
                                         * written; at most 32, of at most 40 bytes each */
    size_t n_dry_breakers;
    float top_n_sigma;          /* so many standard deviations below the best logit is too little; 0
                                 * and less: off */
    float xtc_probability;      /* how often XTC leaves out all but the last of the tokens that have
                                 * at least xtc_threshold each; 0: off */
    float xtc_threshold;        /* above 0.5: off */
    float dynatemp_range;       /* the temperature goes with the entropy, from temperature - range
                                 * to temperature + range; 0: off */
    float dynatemp_exponent;
    uint32_t mirostat;          /* 1, 2: that version in place of all samplers but the temperature;
                                 * 0: off */
    float mirostat_tau, mirostat_eta;   /* the surprise in bits that is aimed at; how fast */
    uint32_t min_keep;          /* typical, top-p, min-p and XTC keep so many tokens; 0: 1 */
    uint8_t order[PL_N_SAMPLERS];       /* (n_order) pl_sampler; those that are not named are off */
    uint32_t n_order;           /* 0: all, as above */
    uint64_t seed;              /* each token's random number is a function of it and the
                                 * position */
    const pl_logit_bias *bias;
    size_t n_bias;
} pl_sampling;

/* The neutral sampling: temperature 1 and every filter off, penalty_last_n 64. */
PL_API pl_sampling pl_sampling_default(void);

/* Appends the sampler of this name to an order: llama.cpp's name (top_k) or letter (k). What is
 * always off here (adaptive_p, tfs_z) is taken and adds nothing. PL_E_PARAM: there is none, or it
 * stands there already. */
PL_API pl_status pl_sampling_add(pl_sampling *sampling, const char *name, size_t n_bytes,
                                 pl_err *err);

/* llama.cpp's name: "top_k". NULL: there is no such sampler. */
PL_API const char *pl_sampler_name(uint32_t sampler);

/* What a reply is held to. */
typedef enum pl_grammar_kind {
    PL_GRAMMAR_NONE,
    PL_GRAMMAR_JSON_SCHEMA,     /* a JSON document that is valid under the schema, draft 2020-12 */
    PL_GRAMMAR_REGEX,           /* in the syntax of Rust's regex crate; matches the whole reply */
    PL_GRAMMAR_GBNF,            /* llama.cpp's; begins with the rule root */
    PL_GRAMMAR_LARK,            /* llguidance's; begins with the rule start */
} pl_grammar_kind;

/* The reply ends where the grammar takes nothing more; a model may end it wherever the grammar
 * lets it. */
typedef struct pl_grammar {
    pl_grammar_kind kind;       /* NONE: anything may come */
    const char *source;
    size_t n_bytes;
    const char *const *trigger; /* the reply is free until it writes one of these, which is where
                                 * the grammar begins; what does not fit the grammar then is free */
    size_t n_triggers;          /* at most 8, of at most 64 bytes each; 0: all is grammar */
    bool triggers_at_start;     /* they count at the reply's beginning alone, spaces aside */
    bool begins_behind;         /* the grammar begins behind the trigger and spaces there */
    bool must_begin;            /* the reply does not end before a trigger */
} pl_grammar;

/* Told that a stream has new events. Engine thread; must not block nor call the library, except
 * pl_stream_cancel. Called at most once per stream and step. */
typedef void pl_wake_fn(void *arg);

enum { PL_MAX_PRIORITY = 100 };

/* How long the reply may think before the end mark of its thoughts is written for it. */
typedef struct pl_thoughts {
    const int32_t *begin;       /* the reply thinks if it begins with these; none: it begins in
                                 * the midst of thoughts */
    size_t n_begin;             /* at most 8, as of end */
    const int32_t *end;
    size_t n_end;               /* 0: as long as it likes */
    uint32_t max_tokens;        /* between begin and end */
} pl_thoughts;

typedef struct pl_request {
    const int32_t *tokens;      /* the prompt, at least one token */
    size_t n_tokens;
    uint32_t max_tokens;        /* of the reply; 0: up to the end of the context */
    pl_sampling sampling;
    const char *const *stop;    /* the reply ends before any of these; not part of the text */
    size_t n_stop;              /* at most 16, of at most 256 bytes each */
    const int32_t *stop_tokens; /* the reply ends before any of these, ignore_eos or not */
    size_t n_stop_tokens;       /* at most 64 */
    uint32_t min_tokens;        /* of the reply, before a stop token or one of the model's end
                                 * tokens may come; stop strings end it sooner */
    pl_thoughts thoughts;
    pl_grammar grammar;
    bool control_text;          /* names of control tokens are part of the text, but for ends */
    bool ignore_eos;            /* go on after the model's end tokens (benchmarks) */
    bool computes_prompt;       /* all of it, whatever of it is in KV already (benchmarks) */
    bool logprobs;              /* report the log-probability of every reply token */
    uint32_t n_top_logprobs;    /* and of this many best alternatives, at most 20 */
    bool prompt_logprobs;       /* and of every token of the prompt, which is computed whole */
    uint64_t who;               /* asks for it: between those who ask the machine is shared fairly;
                                 * 0: nobody in particular */
    int32_t priority;           /* a larger one goes first, -PL_MAX_PRIORITY to PL_MAX_PRIORITY: a
                                 * step of it is worth some 16,384 tokens of waiting */
    pl_stream *fork_of;         /* an open stream with the same prompt: its prompt KV is shared */
    pl_wake_fn *on_event;       /* may be NULL */
    void *arg;
} pl_request;

typedef enum pl_finish {
    PL_FINISH_NONE,
    PL_FINISH_STOP,             /* an end or stop token, a stop string, a complete grammar */
    PL_FINISH_LENGTH,           /* max_tokens or the context is used up */
    PL_FINISH_CANCELLED,
    PL_FINISH_ERROR,
} pl_finish;

typedef struct pl_token_prob {
    int32_t token;
    float logprob;
} pl_token_prob;

typedef struct pl_usage {
    uint32_t n_prompt, n_cached, n_reply; /* tokens; n_cached of the prompt came from KV at hand */
    uint64_t queue_ns, prefill_ns, decode_ns; /* submit->slot, slot->first token, ->last token */
} pl_usage;

typedef enum pl_event_kind {
    PL_EVENT_ADMITTED,          /* the stream has its slot; first event of every stream that runs */
    PL_EVENT_TOKEN,             /* one reply token */
    PL_EVENT_END,               /* last event */
} pl_event_kind;

typedef struct pl_event {
    pl_event_kind kind;
    /* PL_EVENT_TOKEN (text also with PL_EVENT_END: what was held back until then) */
    const char *text;           /* whole UTF-8 characters released now; may be empty. Until the next
                                 * pl_stream_next. Bytes that form no character come as U+FFFD. */
    size_t n_text_bytes;
    int32_t token;
    float logprob;              /* of the unmodified distribution; request.logprobs */
    const pl_token_prob *top;   /* (n_top) best first; until the next pl_stream_next */
    uint32_t n_top;
    /* PL_EVENT_END */
    pl_finish finish;
    int32_t stop_index;         /* which stop string matched, or -1 */
    pl_usage usage;
} pl_event;

/* Queues a prompt, copying it. PL_E_BUSY: the queue is full and nothing was kept. PL_E_CONTEXT: the
 * prompt leaves no room for a reply. PL_E_GRAMMAR: err names what the grammar asks and cannot be
 * had. Compiling a grammar may take seconds, and is done once for equal ones. Release with
 * pl_stream_close. */
PL_API pl_status pl_submit(pl_engine *engine, const pl_request *request, pl_stream **out,
                           pl_err *err);

/* Whether the queue has a place now, so that a full one is told before a prompt is made. Fails as
 * pl_submit would, and is counted so. Any thread. */
PL_API pl_status pl_queue_check(pl_engine *engine, pl_err *err);

/* Takes the next event; false: none yet. One consumer thread per stream. */
PL_API bool pl_stream_next(pl_stream *stream, pl_event *out);

/* Waits until an event can be taken or the time is up; false: time is up. Consumer thread. */
PL_API bool pl_stream_wait(pl_stream *stream, uint32_t timeout_ms);

/* Of a request with prompt_logprobs, once its first token was taken or it ended otherwise than by
 * cancelling or an error: the log-probability of the prompt's token at a position, 0 of the first,
 * and the n_top_logprobs best ones there, best first. They are the stream's. Consumer thread. */
PL_API const pl_token_prob *pl_stream_prompt_logprob(const pl_stream *stream, size_t position,
                                                     float *logprob);

/* Asks the engine to end the stream within one step; its last event is PL_EVENT_END. */
PL_API void pl_stream_cancel(pl_stream *stream);

/* Cancels if need be and gives the stream back; it may not be used afterwards. NULL is allowed. */
PL_API void pl_stream_close(pl_stream *stream);

/* ---- score ---------------------------------------------------------------------------------- */

typedef struct pl_score_result { /* release with pl_score_free */
    float *nll;                 /* (n_tokens - 1): -log p(tokens[i + 1] | tokens[..i]) */
    pl_token_prob *top;         /* (n_tokens, n_top): the best after each position, best first */
    size_t n_tokens;
    uint32_t n_top;
} pl_score_result;

/* Log-probabilities of a given sequence. Waits for the result; other streams go on meanwhile. */
PL_API pl_status pl_score(pl_engine *engine, const int32_t *tokens, size_t n_tokens, uint32_t n_top,
                          pl_score_result *out, pl_err *err);
PL_API void pl_score_free(pl_score_result *result);

/* The logits after the last of the tokens, as the model gives them, for who samples or classifies
 * with them: out (n_vocab) of the plan, which n_out is too. Of a sequence that goes on where an
 * earlier one ended, all full pages are at hand. Waits for the result; other streams go on
 * meanwhile. */
PL_API pl_status pl_logits(pl_engine *engine, const int32_t *tokens, size_t n_tokens, float *out,
                           size_t n_out, pl_err *err);

/* ---- embeddings ----------------------------------------------------------------------------- */

typedef struct pl_embed_text {
    const int32_t *tokens;      /* at least one, and as many as a stream's context holds */
    size_t n_tokens;
} pl_embed_text;

typedef struct pl_embed_request {
    const pl_embed_text *text;  /* (n_texts) */
    size_t n_texts;             /* at least one */
    pl_pooling pooling;         /* DEFAULT: as pl_plan.pooling says */
    pl_wake_fn *on_event;       /* poll again; may be NULL */
    void *arg;
} pl_embed_request;

typedef struct pl_embedding pl_embedding; /* texts on their way to vectors, from open to close */

/* Begins to compute the texts' vectors, copying the tokens. Texts share steps with each other and
 * with streams, and a vector is the same bits whoever else is computed; the mean and none compute
 * every position of a text, the others take what is at hand in KV. At most twice as many texts as
 * there are slots are in the engine at a time, so that a stream that comes later waits for these
 * alone; they have one place in the queue, whose limits are for the others.
 * PL_E_BUSY, PL_E_CLOSING: nothing was begun. PL_E_CONTEXT: a text does not fit a stream's context.
 * Release with pl_embedding_close. */
PL_API pl_status pl_embedding_open(pl_engine *engine, const pl_embed_request *request,
                                   pl_embedding **out, pl_err *err);

/* Takes what has come and hands further texts to the engine; never waits for it. *is_done: all
 * vectors are there. To be called after the open and after each on_event, by one thread at a time.
 * A failure is for good. */
PL_API pl_status pl_embedding_poll(pl_embedding *embedding, bool *is_done, pl_err *err);

/* A text's vectors, (*n_rows, d_model) as they are, not scaled: one, or with PL_POOLING_NONE one
 * for each token. Once all are there, until the close. */
PL_API const float *pl_embedding_rows(const pl_embedding *embedding, size_t text, size_t *n_rows);

/* Gives up what is not computed. No on_event begins once it returned. NULL is allowed. */
PL_API void pl_embedding_close(pl_embedding *embedding);

typedef struct pl_embed_result { /* release with pl_embed_free */
    float *vector;              /* (n_rows, d_model): the texts' rows, one text after another */
    size_t n_rows;
    uint32_t d_model;
} pl_embed_result;

/* Vectors of some texts. Waits for the result; streams go on meanwhile. */
PL_API pl_status pl_embed(pl_engine *engine, const pl_embed_text *text, size_t n_texts,
                          pl_pooling pooling, pl_embed_result *out, pl_err *err);
PL_API void pl_embed_free(pl_embed_result *result);

/* ---- statistics ----------------------------------------------------------------------------- */

enum { PL_HISTOGRAM_MAX = 24, PL_OPERATIONS_MAX = 24 };

/* Cumulative as Prometheus wants it: count[i] observations were <= bound_s[i]; n all of them. */
typedef struct pl_histogram {
    uint32_t n_bounds;
    double bound_s[PL_HISTOGRAM_MAX];
    uint64_t count[PL_HISTOGRAM_MAX];
    uint64_t n;
    double sum_s;
} pl_histogram;

/* Time of one kind of operation, waiting for its slowest thread included. */
typedef struct pl_operation {
    const char *name;           /* "attention"; static */
    uint64_t prefill_ns, decode_ns; /* in steps with prompt tokens; in the others */
} pl_operation;

typedef struct pl_stats {
    uint64_t n_requests;        /* submitted and kept */
    uint64_t n_rejected_busy, n_rejected_context, n_rejected_closing;
    uint64_t n_finished[PL_FINISH_ERROR + 1]; /* by pl_finish */
    uint64_t n_prompt_tokens;   /* computed or at hand: none of a request that left the queue */
    uint64_t n_cached_tokens, n_reply_tokens;   /* cached: of these prompt tokens, at hand */
    uint32_t n_tokens_max;      /* prompt and reply of the longest stream that ended */
    uint64_t n_steps;
    uint64_t n_interrupted_steps; /* that the system ended, and that were computed again */
    uint64_t n_pauses;          /* streams that were paused because pages ran short, each time */
    uint64_t n_recomputed_tokens;   /* that they had, and lost */
    uint64_t n_prefill_step_tokens, prefill_step_ns; /* prompt tokens computed; steps with any */
    uint64_t n_decode_step_tokens, decode_step_ns;   /* steps of decode columns alone */
    uint32_t n_running, n_paused, n_queued; /* now: in slots; of these without memory; without */
    uint64_t n_queued_tokens;
    uint32_t n_pages_used, n_pages_cached, n_pages_total; /* cached: reusable, free on demand */
    double reply_tokens_per_s;  /* over the last seconds */
    double queue_gap_s;         /* between two that leave the queue for a slot, lately, while more
                                 * wait; 0: none has waited */
    pl_histogram ttft, inter_token, queue, prefill, decode, end_to_end;
    pl_operation operation[PL_OPERATIONS_MAX]; /* pl_params.time_operations; else none */
    uint32_t n_operations;      /* in the order they were first seen: later ones come last */
} pl_stats;

PL_API void pl_stats_read(pl_engine *engine, pl_stats *out);

/* Paused: until there are pages for it again. */
typedef enum pl_slot_state {
    PL_SLOT_IDLE, PL_SLOT_PREFILL, PL_SLOT_DECODE, PL_SLOT_PAUSED
} pl_slot_state;

typedef struct pl_slot {
    uint32_t id;
    pl_slot_state state;
    uint64_t stream_id;
    uint32_t n_prompt, n_prompt_done, n_cached, n_reply, max_tokens;
    uint64_t age_ns;            /* since the stream got the slot, as of its last step */
} pl_slot;

/* Fills at most max_slots; returns how many there are. */
PL_API uint32_t pl_slots_read(pl_engine *engine, pl_slot *out, uint32_t max_slots);

/* True while the engine thread makes progress or has nothing to do: what /health should ask. A step
 * has as long as its columns may take at the pace of the steps before it, with a wide margin, and
 * half a minute at least. */
PL_API bool pl_is_healthy(pl_engine *engine);

#ifdef __cplusplus
}
#endif
#endif
