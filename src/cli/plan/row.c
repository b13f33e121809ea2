#include "cli/plan/row.h"

#include <math.h>

static const double GIB = 1073741824.0;

json_t *plan_bytes_json(double bytes)
{
    return json_integer((json_int_t)llround(bytes));
}

json_t *plan_step_json(const struct estimate *e, uint32_t n_streams)
{
    return json_pack("{s:f s:f s:f s:f s:f s:s s:f s:f}", "arithmetic_ms", e->arithmetic_s * 1e3,
                     "weights_ms", e->weights_s * 1e3, "kv_ms", e->kv_s * 1e3, "launches_ms",
                     e->launches_s * 1e3, "step_ms", e->step_s * 1e3, "bound",
                     bound_name(e->bound), "tok_s", e->tok_s, "tok_s_stream",
                     e->tok_s / n_streams);
}

json_t *plan_memory_json(const struct plan_subject *s, const struct plan_load *load)
{
    const struct plan_memory m = plan_memory_of(s, load);
    const double headroom = (double)(llround(s->machine.usable_bytes) - llround(m.total));
    return json_pack("{s:s s:o s:o s:o s:o s:o s:o s:o s:o s:o s:o s:s s:o s:b}",
                     "source", m.is_exact ? "exact" : "modelled",
                     "weights_bytes", plan_bytes_json(m.weights),
                     "kv_bytes", plan_bytes_json(m.kv),
                     "window_kv_bytes", plan_bytes_json(m.window_kv),
                     "state_bytes", plan_bytes_json(m.states),
                     "kv_bytes_per_token", plan_bytes_json(m.kv_per_token),
                     "kv_bytes_per_stream", plan_bytes_json(m.kv / load->n_streams),
                     "scratch_bytes", plan_bytes_json(m.scratch),
                     "other_bytes", plan_bytes_json(m.streams + m.vocabulary),
                     "total_bytes", plan_bytes_json(m.total),
                     "usable_bytes", plan_bytes_json(s->machine.usable_bytes),
                     "usable_source", s->machine.memory_source,
                     "headroom_bytes", plan_bytes_json(headroom),
                     "fits", plan_fits(s, load));
}

json_t *plan_row_json(const struct plan_subject *s, const struct plan_load *load, uint32_t depth)
{
    const struct plan_memory m = plan_memory_of(s, load);
    const struct estimate e = plan_step_of(s, load, depth);
    json_t *row = plan_step_json(&e, load->n_streams);
    json_object_set_new(row, "streams", json_integer(load->n_streams));
    json_object_set_new(row, "ctx_tokens", json_integer(load->ctx_tokens));
    json_object_set_new(row, "depth_tokens", json_integer(depth));
    json_object_set_new(row, "weights_gib", json_real(m.weights / GIB));
    json_object_set_new(row, "kv_gib", json_real(m.kv / GIB));
    json_object_set_new(row, "total_gib", json_real(m.total / GIB));
    json_object_set_new(row, "fits", json_boolean(plan_fits(s, load)));
    return row;
}
