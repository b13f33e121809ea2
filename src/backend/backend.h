/* The seam between the model and the machine: about a dozen fused operations over a batch of
 * columns. model/forward.c records them between begin and submit; a backend may run each at once,
 * hand them to threads, or build a command buffer or a graph of them.
 *
 * A backend knows neither a model nor another backend. It owns its memory: packed weights, KV pages
 * and scratch, all taken in open and load, none in a step.
 *
 * The operations work on named buffers that the backend owns, one row a column:
 *     X       residual                                (n_cols, d_model) f32
 *     H       normalised X, in the form products read (n_cols, d_model)
 *     Q K V   of the current layer                    (n_cols, heads * d_head) f32
 *     ATT     what attention or a mixer makes of H, as products read it
 *                                                     (n_cols, n_heads * d_head or mixer_width)
 *     ACT     gated activation, as products read it   (n_cols, d_ff or d_shared)
 *     HELD    what a branch waits with for another    (n_cols, d_model) f32
 *     IN      every layer's part of the token itself  (n_cols, n_layers * d_input) f32
 *     TRACKS  residuals side by side                  (n_tracks, n_cols, d_model) f32
 *     LOGITS                                          (max_outs, n_vocab) f32
 *
 * Law: what an operation computes for a column is the same bytes whatever the other columns of the
 * batch are, however many they are, whichever pages hold its KV, and however its prompt was cut
 * into steps. Every reduction has a fixed order given by shapes and positions alone.
 *
 * Threads: one thread calls; a backend may use its own threads inside. */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/status.h"
#include "paceline.h"
#include "quant/kv_type.h"

enum { PAGE_TOKENS = 16 };  /* positions of a KV page */
#define NO_PAGE UINT32_MAX
#define NO_STATE UINT32_MAX
enum { BACKEND_MAX_D_HEAD = 576, BACKEND_MAX_D_STATE = 256, BACKEND_MAX_TAPS = 16 };
enum { MAX_IN_FLIGHT = 2 }; /* steps that are started and not finished */

/* The heads of a layer's attention. */
struct heads {
    uint32_t n_heads, n_kv_heads, d_head;
};

/* Of what stands in attention's place in some layers: a mixer remembers a stream in a state whose
 * size does not grow. It is the same in all of a model's layers that have one: the last inputs of
 * a convolution over columns, and of every head a matrix. */
struct mixer_dims {
    uint32_t n_taps;            /* columns that the convolution sees; 0: no layer has a mixer */
    uint32_t n_channels;        /* that it runs over, each on its own */
    uint32_t n_heads, d_key, d_value;   /* of the matrices: (n_heads, d_key, d_value) */
    uint32_t n_key_heads;       /* keys and queries are shared by n_heads / n_key_heads heads */
};

/* What a mixer makes of a column. */
static inline uint32_t mixer_width(const struct mixer_dims *m)
{
    return m->n_heads ? m->n_heads * m->d_value : m->n_channels;
}

/* Floats that a layer's mixer remembers of a stream: (n_taps - 1, n_channels) inputs, the oldest
 * first, then the matrices. */
static inline uint64_t mixer_state_floats(const struct mixer_dims *m)
{
    if (!m->n_taps) return 0;
    return (uint64_t)(m->n_taps - 1) * m->n_channels + (uint64_t)m->n_heads * m->d_key * m->d_value;
}

/* Keys and values made of one latent row a token (multi-head latent attention: DeepSeek-AI,
 * "DeepSeek-V2", 2024). The one KV head is that row, d_latent wide, with d_turned more behind it
 * that turn by position, and zeros up to d_head; a token's values are its keys' first d_latent. */
struct latent_dims {
    uint32_t d_latent, d_turned;    /* d_latent 0: keys and values are the heads' own */
    uint32_t d_plain, d_value;      /* of a query head before it meets latents, beside d_turned; of
                                     * what a head's sum of latents becomes */
    uint32_t d_query;               /* of the narrow row that queries are made of; 0: of H */
};

/* What every buffer's size follows from. */
struct dims {
    uint32_t d_model, d_head, d_ff, n_heads, n_kv_heads, n_layers, n_vocab;
                                /* d_ff: of dense layers; 0: a mixture that has none */
    uint32_t n_experts, n_experts_used, d_expert;   /* 0: all layers are dense */
    uint32_t d_shared;          /* of the expert that all columns go through; 0: none */
    bool has_ff_biases;         /* gate_up will get biases */
    bool has_expert_biases;     /* experts_add will */
    struct heads other;         /* of the layers that have other heads; n_heads 0: none has */
    bool has_ff_widths;         /* d_ff is the widest of several ACT */
    bool has_both_ffs;          /* layers of a mixture have a dense part beside it, of d_ff */
    uint32_t d_input;           /* of a layer's part of the token itself; 0: there is none */
    uint32_t n_tracks, d_low;   /* residuals side by side, and how wide low_rank is; 0: X alone */
    struct latent_dims latent;
    bool has_gates;             /* attend will get gates */
    struct mixer_dims mixer;
};

/* The widest ACT. */
static inline uint32_t dims_widest_ff(const struct dims *d)
{
    return d->d_ff > d->d_shared ? d->d_ff : d->d_shared;
}

/* The heads of layers of one kind or the other. */
static inline struct heads dims_heads(const struct dims *d, bool are_other)
{
    return are_other ? d->other : (struct heads){ d->n_heads, d->n_kv_heads, d->d_head };
}

/* The widest Q, and the widest K and V. */
static inline uint32_t dims_widest_q(const struct dims *d)
{
    const uint32_t q = d->n_heads * d->d_head, other = d->other.n_heads * d->other.d_head;
    return q > other ? q : other;
}

static inline uint32_t dims_widest_kv(const struct dims *d)
{
    const uint32_t kv = d->n_kv_heads * d->d_head, other = d->other.n_kv_heads * d->other.d_head;
    return kv > other ? kv : other;
}

/* What a column's heads take before they meet latents, or after. */
static inline uint32_t dims_latent_rows(const struct dims *d)
{
    const struct latent_dims *l = &d->latent;
    const uint32_t of_head = l->d_plain + l->d_turned;
    return d->n_heads * (of_head > l->d_value ? of_head : l->d_value);
}

/* Layers that want the same KV memory have pages of their own. Group 0 keeps every position of a
 * stream; the others keep what their window lets the positions to come see. */
struct kv_group {
    uint32_t window;            /* 0: of group 0 */
    uint32_t n_layers;          /* none of group 0, maybe: its pages only count positions then */
    uint32_t n_pages;
    uint32_t n_other_layers;    /* of n_layers: with other heads */
};

enum { MAX_KV_GROUPS = 3 };

struct kv_groups {
    uint32_t n;
    struct kv_group group[MAX_KV_GROUPS];   /* (n) */
    uint32_t n_state_layers;    /* have a mixer; 0: streams have no state */
    uint32_t n_states;          /* of so many layers that there is room for */
};

struct backend_params {
    struct dims dims;
    uint32_t n_tokens;          /* the first n_tokens rows of the output head have a token: the
                                 * others are computed, never picked nor measured. 0: all have */
    uint32_t max_cols;          /* columns of a step at most */
    uint32_t max_outs;          /* rows of logits held at once; a batch with more is served in turns
                                 * of whole outputs */
    struct kv_groups kv;
    enum kv_type k_type, v_type;
    bool has_float_weights;     /* some matrix is f32, f16 or bf16 */
    uint32_t n_threads;         /* 0: one per performance core */
    bool lock_memory;
    uint32_t keep_resident_s;   /* how long after the last step a GPU's memory is kept resident */
    const char *isa;            /* most capable instruction set to use; NULL: the best present */
    const char *pack_dir;       /* where packed weights are kept; NULL: nowhere. Open reads it */
    struct hash128 model_hash;  /* of the model file's content: what they are kept under */
};

static inline uint32_t backend_n_tokens(const struct backend_params *p)
{
    return p->n_tokens ? p->n_tokens : p->dims.n_vocab;
}

/* A weight as the file holds it: rows of quantised blocks. Rows are outputs. */
struct weight_view {
    const char *name;           /* for messages */
    uint32_t type;              /* enum quant_type */
    uint32_t n_rows, n_k;
    const void *data;
};

/* Turns of the first n_rot dimensions of a head by position; the others are not turned. */
struct rope_view {
    const float *cos_sin;       /* (n_positions, n_rot / 2, 2) */
    uint32_t n_positions;
    uint32_t n_rot;             /* even, d_head at most */
    bool is_interleaved;        /* pairs are neighbours (2i, 2i + 1), not (i, i + n_rot / 2) */
};

struct backend;                 /* one open backend: first member of each backend's own struct */
struct matrix;                  /* a packed weight, owned by its backend */
struct vector;                  /* norm weights or biases: f32, owned by its backend */
struct rope;                    /* cosines and sines by position, owned by its backend */

/* A run of neighbouring columns of one stream, in the order of their positions. */
struct span {
    uint32_t first_col, n_cols;
    uint32_t first_pos;         /* position of the first column */
    const uint32_t *page[MAX_KV_GROUPS];    /* (n_pages) of each KV group: page[g][i] holds
                                 * positions 16 i .. 16 i + 15 of its layers, or is NO_PAGE: before
                                 * the chunk of chunk_pages in which the first column's window
                                 * begins */
    uint32_t slot;              /* the stream's seat, its own as long as it runs */
    uint32_t n_pages;
    uint32_t n_new_pages;       /* the last of them, which the slot's last step had not, or had
                                 * otherwise: all, where it is a stream's first */
    uint32_t state_from;        /* the stream's state before the first column; NO_STATE: nothing is
                                 * remembered */
    uint32_t state_to;          /* where it is after the last: may be the same */
    uint32_t state_kept, n_kept_cols;   /* where it is too as it is after so many of the columns, at
                                 * least one, not all; NO_STATE: nowhere */
};

/* What is wanted of the columns of an output: their logits, or what the head makes those of, which
 * is the norm of X. */
enum output_kind { OUTPUT_LOGITS, OUTPUT_HIDDEN };

/* Neighbouring columns of a span that something is wanted of. All of them go to one call, in the
 * order of positions: what is picked at one may depend on what was picked at those before. */
struct output {
    enum output_kind kind;
    uint32_t span;              /* of the batch */
    uint32_t first_col, n_cols; /* of logits: max_outs at most */
    uint32_t first_row;         /* columns of all outputs of logits before this one */
};

/* Rows of logits that it takes. */
static inline uint32_t output_n_rows(const struct output *o)
{
    return o->kind == OUTPUT_LOGITS ? o->n_cols : 0;
}

/* What penalties and biases do to the logit x of one token, in this order: x is divided by
 * repetition_penalty where it is above 0, else multiplied; count * frequency_penalty, then
 * presence_penalty are taken off; bias is added. Penalties only where count is not 0. */
struct touch {
    int32_t token;
    uint32_t count;             /* how often it stands in what the penalties look back on */
    float bias;                 /* -INFINITY: the token is forbidden */
    float logit;                /* room for whoever picks: as the model gave it */
};

enum { NO_LAST = INT32_MIN, PICK_MAX_TOP = 20 };

/* Everything that the token of one output depends on, beside its logits: engine/sampler.h says how
 * it is picked. In this order: what is touched, the mask, top-k, typical, top-p, min-p,
 * temperature, a draw. */
struct pick {
    bool is_by_backend;         /* false: by the caller's sample_fn, and the rest says nothing */
    float temperature;          /* 0: the largest logit, the first of equals */
    uint32_t top_k;             /* 0: off */
    float top_p;                /* 1: off */
    float min_p;                /* 0: off */
    double unit;                /* the random number of this token, in [0, 1) */
    float typical_p;            /* 1: off, as it is wherever a backend picks */
    float repetition_penalty;   /* 0 or 1: off */
    float frequency_penalty, presence_penalty;  /* 0: off */
    struct touch *touch;        /* (n_touched) no token twice */
    uint32_t n_touched;
    int32_t last;               /* the token before this one, which counts once more than `touch`
                                 * says; as in batch.token. NO_LAST: none does */
    struct chain *chain;        /* the samplers in another order, or others than these; NULL: as
                                 * above, as wherever a backend picks */
    bool penalises_later;       /* penalties are the chain's, not of what is touched */
    const uint32_t *mask;       /* bit t % 32 of mask[t / 32] is set where token t may come; NULL:
                                 * every token may, as wherever a backend picks */
    bool wants_logprob;
    uint32_t n_top;             /* of the best tokens, PICK_MAX_TOP at most */
};

/* What came of it. Log-probabilities are of the distribution as the model gave it. */
struct picked {
    int32_t token;              /* -1: no logit is finite, or every token forbidden */
    float logprob;              /* with wants_logprob or n_top, else 0 */
    uint32_t n_top;
    pl_token_prob top[PICK_MAX_TOP];    /* (n_top) best first */
};

/* One step. Arrays belong to the caller and live until submit or start returns; output, and pick
 * without what it touches, until finish does. */
struct batch {
    uint32_t n_cols, n_spans, n_outputs;
    uint32_t n_rows;            /* columns of all outputs of logits */
    const int32_t *token;       /* (n_cols); -1 - r, where steps run ahead: what the step started
                                 * before this one picks for its row r */
    const uint32_t *pos;        /* (n_cols) */
    const struct span *span;    /* (n_spans): every column lies in exactly one */
    const struct output *output;        /* (n_outputs) by rising column, none in two */
    const struct pick *pick;    /* (n_rows) of a step that is started; NULL: all by sample_fn */
};

/* The column that a row of logits comes from. */
static inline uint32_t batch_col_of_row(const struct batch *b, uint32_t row)
{
    const struct output *o = b->output;
    while (row - o->first_row >= output_n_rows(o)) o++;
    return o->first_col + (row - o->first_row);
}

/* The end of a turn of outputs: `first` and those behind it whose rows fit together. It may have
 * none: all of them want hidden rows. */
static inline uint32_t batch_turn_end(const struct batch *b, uint32_t first, uint32_t max_outs)
{
    uint32_t end = first, n_rows = 0;
    assert(output_n_rows(&b->output[first]) <= max_outs);
    while (end < b->n_outputs && n_rows + output_n_rows(&b->output[end]) <= max_outs)
        n_rows += output_n_rows(&b->output[end++]);
    return end;
}

/* Rows of outputs [first, end). */
static inline uint32_t batch_n_rows(const struct batch *b, uint32_t first, uint32_t end)
{
    return (end < b->n_outputs ? b->output[end].first_row : b->n_rows) - b->output[first].first_row;
}

/* y = weight x + bias. */
struct linear {
    const struct matrix *weight;    /* NULL: there is none of it */
    const struct vector *bias;      /* NULL: none */
};

/* RMS norm: x / sqrt(mean(x^2) + eps) * weight; centred, x's mean is taken off x before. */
struct norm {
    const struct vector *weight;    /* NULL: there is none */
    float eps;
    bool is_centred;
};

struct qkv_weights {
    struct linear q, k, v;          /* k and v: none where another layer's keys and values are
                                     * read */
    struct norm norm_q, norm_k;     /* before heads are turned: of each, (d_head), or of all heads
                                     * of a column together, (n_heads * d_head) and likewise; both
                                     * are of one kind */
    bool norms_turned;              /* of heads: they are normed after they are turned, and scaled
                                     * then */
    const struct vector *sinks;     /* (n_heads) scores that join every softmax and stand for no
                                     * value; NULL: none */
    struct norm norm_v;             /* of each head's values, (d_head) */
    struct linear gate;             /* (n_heads * d_head, d_model) attention's result is multiplied
                                     * by the sigmoid of H times it; no weight: it stays */
};

/* Instead of struct qkv_weights, where keys and values are latents. */
struct latent_weights {
    struct linear q_down;           /* (d_query, d_model); no weight: q reads H */
    struct norm norm_q;             /* of what it makes */
    struct linear q;                /* (n_heads * (d_plain + d_turned), d_query or d_model) */
    struct linear kv;               /* (d_latent + d_turned, d_model) */
    struct norm norm_kv;            /* of the first d_latent of that */
    struct linear absorb;           /* (n_heads * d_latent, d_plain) of each head's queries */
    struct linear value;            /* (n_heads * d_value, d_latent) of each head's sum */
};

/* How a layer attends. */
struct attention_params {
    const struct rope *rope;        /* turns queries and keys; NULL: positions do not turn them */
    float q_scale;                  /* of scores, times that of the query's position: */
    const struct vector *q_scales;  /* (n_positions); NULL: 1 */
    float score_cap;                /* scores become cap * tanh(score / cap); 0: they stay */
    uint32_t window;                /* positions that one sees, itself included; 0: all before it */
    bool window_is_chunk;           /* of positions in chunks of so many, it sees those of its own
                                     */
    uint32_t kv_group, kv_layer;    /* whose pages K and V are in, and the place in them, among
                                     * the group's layers of the same heads */
    bool has_other_heads;           /* dims.other's */
};

/* A window as window_start has it: bit 31 says that it is a chunk. */
#define WINDOW_IS_CHUNK 0x80000000u

static inline uint32_t attention_window(const struct attention_params *a)
{
    return a->window | (a->window && a->window_is_chunk ? WINDOW_IS_CHUNK : 0);
}

/* The first position that one at `pos` sees. */
static inline uint32_t window_start(uint32_t pos, uint32_t window)
{
    if (window & WINDOW_IS_CHUNK) return pos - pos % (window - WINDOW_IS_CHUNK);
    return window && pos + 1 > window ? pos + 1 - window : 0;
}

enum mixer_kind { MIXER_NONE, MIXER_DELTA_NET, MIXER_STATE_SPACE, MIXER_SHORT_CONVOLUTION };

/* How a layer's mixer computes. c = silu(convolution of in, conv_bias added) of a column; dt =
 * softplus(decay + decay_bias) of each head, whose matrix S shrinks by exp(a * dt) before anything
 * else.
 *
 * Delta net (Yang, Kautz and Hatamizadeh, 2024): c is q, k (n_key_heads, d_key) and v (n_heads,
 * d_value); q and k are divided by their lengths, q by sqrt(d_key) too; S += k (sigmoid(beta)
 * (v - S^T k))^T; what comes out is norm(S^T q) * silu(gate), the norm of each head.
 *
 * State space (Mamba-2: Dao and Gu, 2024): c is v, k and q, in this order; S += k (dt v)^T; what
 * comes out is (S^T q + skip v) * silu(gate), normed in n_key_heads parts.
 *
 * Short convolution: c is the convolution itself, of before * in; what comes out is c * gate. */
struct mixer_params {
    enum mixer_kind kind;           /* MIXER_NONE: the layer has no mixer */
    bool keys_are_in_turn;          /* heads take key heads by turns; else neighbours share one */
    uint32_t state_layer;           /* its place in a state */
};

/* The key head of a head. */
static inline uint32_t mixer_key_head(const struct mixer_params *p, const struct mixer_dims *m,
                                      uint32_t head)
{
    return p->keys_are_in_turn ? head % m->n_key_heads : head / (m->n_heads / m->n_key_heads);
}

struct mixer_weights {
    struct linear in;               /* (n_channels, d_model) */
    struct linear before;           /* likewise */
    struct linear gate;             /* (mixer_width, d_model) */
    const struct vector *conv;      /* (n_taps, n_channels) the last is the column's own */
    const struct vector *conv_bias; /* (n_channels); NULL: none */
    const struct vector *beta, *decay;  /* (n_heads, d_model) */
    const struct vector *decay_bias, *a, *skip;     /* (n_heads) */
    struct norm norm;               /* (d_value) of heads, or (mixer_width) of parts; no weight: it
                                     * stays */
};

/* A mixture of experts: every column goes through the n_experts_used experts that its router scores
 * highest. A matrix holds the rows of all experts, one expert after the other. */
struct expert_weights {
    const struct vector *router;            /* (n_experts, d_model); NULL: a dense layer */
    const struct vector *router_bias;       /* (n_experts); NULL: none */
    const struct vector *choice_bias;       /* (n_experts) as struct router_params has it; NULL */
    struct linear gate, up;                 /* (n_experts * d_expert, d_model) */
    struct linear down;                     /* (n_experts * d_model, d_expert) */
    struct linear shared_gate, shared_up, shared_down;  /* for every column; no weight: none */
    const struct vector *shared_router;     /* (d_model); NULL: the shared expert counts whole */
    const struct vector *scales;            /* (n_experts) what weights are multiplied by in the
                                             * end; NULL: 1 */
};

/* Of a gate, times its up. ACTIVATION_SWIGLU_CLAMPED: g / (1 + exp(-SWIGLU_ALPHA g)) times
 * (up + 1), g being the gate held below SWIGLU_LIMIT, up being held between it and its negative. */
enum activation {
    ACTIVATION_SILU, ACTIVATION_GELU_TANH, ACTIVATION_SWIGLU_CLAMPED, ACTIVATION_RELU
};

#define SWIGLU_ALPHA 1.702f
#define SWIGLU_LIMIT 7.0f

/* What a router's scores are turned into: the softmax of a column's, or the sigmoid of each. */
enum router_score { ROUTER_SOFTMAX, ROUTER_SIGMOID };

enum { MAX_EXPERT_GROUPS = 32 };

/* How a column's experts are chosen and weighed. Those with the highest shares (what scores are
 * turned into) plus choice_bias are chosen, the first among equals; not a number is lowest. A share
 * is also the weight, without that bias. Of experts in groups of neighbours, only those can be
 * chosen whose group's two highest add up to most, or whose highest is. */
struct router_params {
    enum router_score score;
    uint32_t n_groups, n_groups_used;   /* up to 1: all experts are one group */
    bool is_normalised;             /* weights of a column's experts sum to 1, */
    float scale;                    /* times this */
    bool ranks_by_best;             /* of groups: their highest counts alone, not the two */
    bool weighs_inputs;             /* weights are of what experts read, not of what they make */
};

/* How a layer's feed-forward part computes. */
struct ffn_params {
    enum activation activation;
    struct router_params router;    /* of a mixture */
    bool has_cut;                   /* of a dense part: before the activation gates become what they
                                     * are above their mean and `cut` times their deviation, or 0 */
    float cut;
};

/* How what a branch computes joins the residual: X += scale * y, with a norm of y before. Of two
 * branches side by side the first's y waits in HELD, and is added to the second's. */
struct residual {
    struct norm norm;
    float scale;
    bool is_held;               /* HELD = norm of y, and that is all */
    bool takes_held;            /* y = norm_held of y + HELD, after its own norm */
    struct norm norm_held;
    float x_scale;              /* X is multiplied by this in the end; 0: it stays */
    bool joins_tracks;          /* y joins all TRACKS but the first instead of X */
};

/* Whether X += y is all there is to it. */
static inline bool residual_is_plain(const struct residual *r)
{
    return !r->norm.weight && r->scale == 1 && !r->is_held && !r->takes_held && r->x_scale == 0 &&
           !r->joins_tracks;
}

enum { MAX_TRACKS = 8 };

/* Residuals side by side (Baykal et al., "Alternating Updates for Efficient Transformers", 2023): a
 * layer computes with the first, and the others follow it. What they begin as and end in: of each
 * but the first, (d_model, d_model). */
struct track_ends {
    struct linear in[MAX_TRACKS], out[MAX_TRACKS];
};

/* What a layer does to them. m(x): the tanh of router * norm of x, n_tracks numbers. */
struct track_layer {
    const struct vector *router;        /* (n_tracks, d_model) */
    struct norm norm;
    const struct vector *predict;       /* (n_tracks * n_tracks, n_tracks) */
    const struct vector *correct;       /* (n_tracks, n_tracks) */
    const struct vector *scale;         /* (d_model) of what the layer's input is made with */
};

/* What every layer gets of a token beside X: of its row of an embedding of their own, and of X as
 * the token's embedding left it. */
struct layer_inputs {
    const struct matrix *embedding;     /* (n_vocab, n_layers * d_input) */
    struct linear project;              /* (n_layers * d_input, d_model) */
    struct norm norm;                   /* (d_input) of each layer's part of what that makes */
    float embed_scale, project_scale, scale;
};

/* Logits become cap * tanh(scale * logit / cap); cap 0: scale * logit. */
struct head_params {
    struct norm norm;
    float scale, cap;
};

enum { LOGIT_BLOCK = 256 };

/* Of an output: a row for each of its columns. */
struct logit_rows {
    float *logits;              /* (n_cols, ld_logits), of which n_vocab are there */
    float *largest;             /* (n_cols, ld_largest) [i]: the largest of logits LOGIT_BLOCK i ..
                                 * LOGIT_BLOCK (i + 1) - 1 that have a token, NaN counting as minus
                                 * infinity, and so a block without tokens */
    size_t ld_logits, ld_largest;
    const float *hidden;        /* instead, of OUTPUT_HIDDEN: (n_cols, ld_hidden), of which d_model
                                 * are there. NULL: logits are */
    size_t ld_hidden;
};

/* Picks from an output's rows of logits, which it may change, or takes its hidden rows; called once
 * for each output, from any of the backend's threads, in no particular order. */
typedef void sample_fn(void *arg, uint32_t output, const struct logit_rows *rows);

/* Bytes a backend will take, for plan_compute. */
struct backend_bytes {
    uint64_t kv, scratch;
};

/* The machine's own limits, measured: what a benchmark is held against. */
struct backend_rates {
    const char *isa;
    uint32_t n_threads;
    double macs_per_s;          /* multiply-adds: of int8 on a CPU, of halves on a GPU */
    double matrix_macs_per_s;   /* of int8 by the CPU's matrix unit, 0: it has none, or this engine
                                 * has no kernels for it */
    double read_bytes_per_s;    /* plain reads of memory far larger than any cache */
    /* Of next to no work, 0 where nobody measured: from the host's word until it knows that the
     * work is over; between two operations of which one waits for the other. */
    double hand_over_s, barrier_s;
};

struct backend_ops {
    const char *name;           /* "cpu" */
    uint32_t column_unit;       /* a step's columns are computed in so many: others cost as much as
                                 * the next multiple */
    uint32_t max_touched;       /* of a pick that is the backend's */
    uint32_t chunk_pages;       /* attention reads pages in chunks of so many, a power of 2, the
                                 * first at 0 */
    bool weighs_expert_inputs;  /* experts_add does what router_params.weighs_inputs says */
    const char *kv_type;        /* how K and V are stored where params do not choose: "f32". NULL:
                                 * as k_type and v_type say */

    /* Whether the machine has what this computes on: its name. Any thread, nothing need be open.
     * NULL: it always has */
    pl_status (*reach)(char *name, size_t n_bytes, pl_err *err);

    /* Takes about a second on n_threads threads (0: one per performance core). */
    pl_status (*measure)(uint32_t n_threads, struct backend_rates *out, pl_err *err);

    /* Planning: no backend is open. Bytes a weight takes once packed. */
    uint64_t (*matrix_bytes)(uint32_t type, uint32_t n_rows, uint32_t n_k);
    struct backend_bytes (*plan)(const struct backend_params *params);
    /* What isa() of one that is open is going to say, not going beyond `most` (NULL: the best);
     * NULL: it is no matter of instruction sets */
    const char *(*planned_isa)(const char *most);

    pl_status (*open)(struct backend **out, const struct backend_params *params, pl_err *err);
    void (*close)(struct backend *b);
    const char *(*isa)(const struct backend *b);
    uint32_t (*n_threads)(const struct backend *b);
    /* The calling thread will run all steps and do little else: it may be given a core. */
    void (*pin_caller)(const struct backend *b);

    /* Loading. What is loaded lives until close. The view's data is not needed afterwards. */
    pl_status (*load_matrix)(struct backend *b, const struct weight_view *view,
                             struct matrix **out, pl_err *err);
    pl_status (*load_vector)(struct backend *b, const float *values, uint32_t n,
                             struct vector **out, pl_err *err);
    pl_status (*load_rope)(struct backend *b, const struct rope_view *view, struct rope **out,
                           pl_err *err);
    /* After the last of them, before the first step. */
    pl_status (*load_done)(struct backend *b, pl_err *err);
    /* Bytes of the weights that are mapped from pack_dir, and so shared with other processes. */
    uint64_t (*shared_bytes)(const struct backend *b);

    /* Recording of one step. Structs of weights and parameters live until it was submitted or
     * started. */
    void (*begin)(struct backend *b, const struct batch *batch);
    /* X = scale * rows of the embedding */
    void (*embed)(struct backend *b, const struct matrix *embedding, float scale);
    /* After it, where layers have inputs: IN = scale * (norm of project_scale * project X +
     * embed_scale * rows of the embedding). What X is afterwards makes no difference to it, and it
     * stays for a second step recorded of the same batch. NULL: not run here */
    void (*layer_inputs)(struct backend *b, const struct layer_inputs *w);
    /* Where dims.n_tracks says so; NULL, these four and low_rank: not run here. After the
     * embedding: TRACKS = X, and in[k] * X scaled to be as long as X */
    void (*tracks_begin)(struct backend *b, const struct track_ends *w);
    /* A layer begins: TRACK j += sum over i of (predict * m(TRACK 0))[j, i] * TRACK i; X = TRACK 0
     */
    void (*tracks_predict)(struct backend *b, const struct track_layer *w);
    /* TRACK j += (X - TRACK 0) * (1 + (correct * m(X))[j]); X = scale * TRACK 0 */
    void (*tracks_correct)(struct backend *b, const struct track_layer *w);
    /* X = the mean of TRACK 0 and of out[k] * TRACK k, scaled to be as long as it */
    void (*tracks_end)(struct backend *b, const struct track_ends *w);
    /* HELD = X normed by `norm`, from which H came too, + post norm of up * (down * H). H is this
     * operation's alone */
    void (*low_rank)(struct backend *b, const struct norm *norm, const struct linear *down,
                     const struct linear *up, const struct norm *post);
    /* Instead, where the layers before are another backend's: X = rows, (n_cols, d_model). With no
     * step started that is not finished */
    void (*put_x)(struct backend *b, const float *rows);
    /* H = norm of X; without a weight, X */
    void (*norm)(struct backend *b, const struct norm *norm);
    /* Q, K, V = H * weights + biases; then head norms; then RoPE on Q and K, or the other way
     * round; Q *= q_scale; K and V go to the batch's pages */
    void (*qkv)(struct backend *b, const struct qkv_weights *w, const struct attention_params *a);
    /* Instead, where keys and values are latents: Q = each head's first d_plain of q by way of
     * absorb, then its turned rest, times q_scale; keys, the latent normed and its rest turned, go
     * to the batch's pages. NULL, and latent_values: not run here */
    void (*latent_qkv)(struct backend *b, const struct latent_weights *w,
                       const struct attention_params *a);
    /* After attend: ATT = each head's first d_latent times value, (n_cols, n_heads * d_value) */
    void (*latent_values)(struct backend *b, const struct latent_weights *w);
    /* ATT = softmax(capped Q K^T) V over the stream's positions that the window leaves, gated. w
     * and a: those of the layer's qkv */
    void (*attend)(struct backend *b, const struct qkv_weights *w,
                   const struct attention_params *a);
    /* ATT = what the layer's mixer makes of H, which came from X by `norm`; states go on, maybe in
     * place, so that no such step can be computed again: who has mixers never returns
     * PL_E_INTERRUPTED. NULL: the backend has none */
    void (*mix)(struct backend *b, const struct norm *norm, const struct mixer_weights *w,
                const struct mixer_params *p);
    /* X += ATT * weight + bias, as the residual says */
    void (*attention_add)(struct backend *b, const struct linear *w, const struct residual *r);
    /* ACT = activation(H * gate + bias) * (H * up + bias) */
    void (*gate_up)(struct backend *b, const struct linear *gate, const struct linear *up,
                    const struct ffn_params *p);
    /* ACT = activation(H * gate) * the layer's part of IN, d_input wide. NULL: not run here */
    void (*gate_input)(struct backend *b, const struct linear *gate, uint32_t layer,
                       const struct ffn_params *p);
    /* X += ACT * weight + bias, as the residual says */
    void (*down_add)(struct backend *b, const struct linear *w, const struct residual *r);
    /* X += sum over a column's experts of their weight times down(activation(H gate) * (H up)),
     * biases included, weights being what the router makes of the column normalised by `norm`; and
     * sigmoid(shared_router) times the shared expert's; as the residual says. It is held by no
     * other branch */
    void (*experts_add)(struct backend *b, const struct norm *norm, const struct expert_weights *w,
                        const struct ffn_params *p, const struct residual *r);
    /* LOGITS = norm(X of the output columns) * weight, scaled and capped; of OUTPUT_HIDDEN, the
     * norm in f32 alone */
    void (*logits)(struct backend *b, const struct head_params *p, const struct matrix *weight);
    /* fn for every output's rows. X is not the step's any more afterwards */
    void (*sample)(struct backend *b, sample_fn *fn, void *arg);
    /* Runs what was recorded; on return all of it is done. A failure is the machine's (a GPU's
     * command buffer): what the step should have written is not to be used, the next step may
     * succeed. PL_E_INTERRUPTED: the system ended it, and so may the same step, above all one of
     * fewer columns; the caller may compute it again from the state before it. */
    pl_status (*submit)(struct backend *b, pl_err *err);

    /* After submit, where layers to come are another backend's: rows = X, (n_cols, d_model). */
    void (*take_x)(struct backend *b, float *rows);

    /* Instead of submit, where the machine computes while its caller does other things: start hands
     * over what was recorded (max_outs outputs at most) and returns; finish waits for the oldest
     * step that was started, calls fn for the outputs that are the caller's, and writes what was
     * picked for the others into picked, (n_rows). Steps run in the order they were started. At
     * most MAX_IN_FLIGHT are in flight: a second may be recorded on top of one all of whose outputs
     * the backend picks. NULL, both: there is only submit. */
    pl_status (*start)(struct backend *b, pl_err *err);
    pl_status (*finish)(struct backend *b, struct picked *picked, pl_err *err);

    /* With no step recorded or started: page `to` of a KV group becomes a copy of its page `from`.
     */
    void (*copy_page)(struct backend *b, uint32_t kv_group, uint32_t to, uint32_t from);

    /* Time by operation since the last call, for benchmarks: fills name/ns pairs, returns how many.
     * Timing is off until timing(b, true). */
    void (*timing)(struct backend *b, bool on);
    uint32_t (*timings)(struct backend *b, const char **name, uint64_t *ns, uint32_t max);
};

struct backend {
    const struct backend_ops *ops;
};

/* "cpu", "exact", "cuda", "metal", "metal-tensors", or "auto" (NULL too): the first choice of this
 * build. NULL: this build has none of this name. */
const struct backend_ops *backend_find(const char *name);

/* Names of this build's backends: "cpu, exact, cuda". */
const char *backend_names(void);

#endif
