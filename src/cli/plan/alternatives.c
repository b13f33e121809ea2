#include "cli/plan/alternatives.h"

#include <stdio.h>
#include <string.h>

#include "cli/plan/row.h"

enum { LEAST_CTX = 512, CTX_STEP = 256, MAX_CHANGE = 128 };

static void add_change(json_t *rows, const struct plan_subject *s, const struct plan_load *load,
                       const char *what)
{
    const uint32_t depth = s->depth < load->ctx_tokens ? s->depth : load->ctx_tokens;
    json_t *row = plan_row_json(s, load, depth);
    json_object_set_new(row, "change", json_string(what));
    json_array_append_new(rows, row);
}

/* ---- one change ----------------------------------------------------------------------------- */

static void add_fewer_streams(json_t *rows, const struct plan_subject *s)
{
    struct plan_load load = s->load;
    char what[MAX_CHANGE];
    load.n_streams = plan_most_streams(s, s->load);
    if (!load.n_streams) return;
    snprintf(what, sizeof what, "--parallel %u", load.n_streams);
    add_change(rows, s, &load, what);
}

static void add_shorter_context(json_t *rows, const struct plan_subject *s)
{
    struct plan_load load = s->load;
    char what[MAX_CHANGE];
    while (load.ctx_tokens > LEAST_CTX && !plan_fits(s, &load))
        load.ctx_tokens -= load.ctx_tokens - LEAST_CTX < CTX_STEP ? load.ctx_tokens - LEAST_CTX
                                                                  : CTX_STEP;
    if (!plan_fits(s, &load)) return;
    snprintf(what, sizeof what, "--ctx-size %u", load.ctx_tokens);
    add_change(rows, s, &load, what);
}

static void add_smaller_kv(json_t *rows, const struct plan_subject *s)
{
    struct plan_load load = s->load;
    load.k_type = load.v_type = KV_Q8_0;
    if (plan_fits(s, &load)) add_change(rows, s, &load, "--cache-type-k q8_0 --cache-type-v q8_0");
}

static void add_smaller_type(json_t *rows, const struct plan_subject *s)
{
    char what[MAX_CHANGE];
    for (int i = (int)s->load.recipe; !s->is_file && i-- > 0;) {
        struct plan_load load = s->load;
        load.recipe = (enum recipe)i;
        if (!plan_fits(s, &load)) continue;
        snprintf(what, sizeof what, "--quant %s", recipe_traits(load.recipe)->name);
        add_change(rows, s, &load, what);
        return;
    }
}

/* ---- several -------------------------------------------------------------------------------- */

/* KV of 8 bits, and as many streams of as long a context as then fit: half of it until one does. */
static bool add_small_load(json_t *rows, const struct plan_subject *s, enum recipe recipe)
{
    struct plan_load load = s->load;
    char what[MAX_CHANGE], quant[32] = "";
    load.recipe = recipe;
    load.k_type = load.v_type = KV_Q8_0;
    while (!(load.n_streams = plan_most_streams(s, load)) && load.ctx_tokens / 2 >= LEAST_CTX)
        load.ctx_tokens = load.ctx_tokens / 2 / 16 * 16;
    if (!load.n_streams) return false;
    if (load.n_streams > s->load.n_streams) load.n_streams = s->load.n_streams;
    if (recipe != s->load.recipe)
        snprintf(quant, sizeof quant, "--quant %s ", recipe_traits(recipe)->name);
    snprintf(what, sizeof what, "%s-np %u -c %u -ctk q8_0 -ctv q8_0", quant, load.n_streams,
             load.ctx_tokens);
    add_change(rows, s, &load, what);
    return true;
}

static void add_several(json_t *rows, const struct plan_subject *s)
{
    if (add_small_load(rows, s, s->load.recipe)) return;
    for (int i = (int)s->load.recipe; !s->is_file && i-- > 0;)
        if (add_small_load(rows, s, (enum recipe)i)) return;
}

/* ---- another model -------------------------------------------------------------------------- */

static bool is_of_family(const char *name, const char *of)
{
    const size_t n = strcspn(of, "-");
    return !strncmp(name, of, n) && name[n] == '-';
}

/* The preset with the most weights that fits under the load, of a family (NULL: of any) with fewer
 * weights than the subject. */
static const struct shape *largest_that_fits(const struct plan_subject *s,
                                             const struct plan_load *load, const char *family)
{
    const struct shape *best = NULL;
    uint64_t most = 0;
    for (size_t i = 0; i < n_shapes; i++) {
        struct plan_subject other = *s;
        struct weights w;
        other.is_file = false;
        other.shape = shapes[i];
        if (plan_backend(s).is_there && !plan_backend(&other).is_there) continue;
        if ((family && !is_of_family(shapes[i].name, family)) ||
            shapes[i].ctx_tokens < load->ctx_tokens || !plan_fits(&other, load))
            continue;
        recipe_weights(&shapes[i], load->recipe, &w);
        if (w.n_parameters <= most) continue;
        most = w.n_parameters;
        best = &shapes[i];
    }
    return best;
}

static bool add_model(json_t *rows, const struct plan_subject *s, const struct plan_load *load,
                      const struct shape *shape, const char *more)
{
    char what[MAX_CHANGE];
    if (!shape) return false;
    struct plan_subject other = *s;
    other.is_file = false;
    other.shape = *shape;
    snprintf(what, sizeof what, "--model %s%s", shape->name, more);
    add_change(rows, &other, load, what);
    return true;
}

static void add_other_models(json_t *rows, const struct plan_subject *s)
{
    struct plan_load load = s->load;
    if (s->is_file) load.recipe = RECIPE_Q4_K_M;
    const struct shape *any = largest_that_fits(s, &load, NULL);
    const struct shape *kin = s->is_file ? NULL : largest_that_fits(s, &load, s->shape.name);
    add_model(rows, s, &load, kin, "");
    if (any != kin) add_model(rows, s, &load, any, "");
    if (kin || any) return;
    load = (struct plan_load){ .n_streams = 1, .ctx_tokens = LEAST_CTX, .k_type = KV_Q8_0,
                               .v_type = KV_Q8_0, .recipe = RECIPE_Q4_0 };
    add_model(rows, s, &load, largest_that_fits(s, &load, NULL),
              " --quant Q4_0 -np 1 -c 512 -ctk q8_0 -ctv q8_0");
}

json_t *plan_alternatives_json(const struct plan_subject *s)
{
    json_t *rows = json_array();
    if (plan_fits(s, &s->load)) return rows;
    add_fewer_streams(rows, s);
    add_shorter_context(rows, s);
    add_smaller_kv(rows, s);
    add_smaller_type(rows, s);
    if (json_array_size(rows)) return rows;
    add_several(rows, s);
    add_other_models(rows, s);
    return rows;
}
