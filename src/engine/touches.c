#include "engine/touches.h"

#include <math.h>

static float penalised(const struct pick *p, float x, uint32_t count)
{
    if (p->repetition_penalty > 0)
        x = x > 0 ? x / p->repetition_penalty : x * p->repetition_penalty;
    return x - (float)count * p->frequency_penalty - p->presence_penalty;
}

static void touch_logit(const struct pick *p, const struct row *row, struct touch *t)
{
    float x = t->logit = row->x[t->token];
    if (t->count && !p->penalises_later) x = penalised(p, x, t->count);
    row->x[t->token] = x + t->bias;
    row_measure_block(row, (uint32_t)t->token / ROW_BLOCK);
}

void touches_penalise(const struct pick *p, const struct row *row, float scale)
{
    for (const struct touch *t = p->touch; t < p->touch + p->n_touched; t++) {
        float *x = &row->x[t->token];
        if (!t->count || !(*x > -INFINITY)) continue;
        *x = penalised(p, *x * scale, t->count) / scale;
        row_measure_block(row, (uint32_t)t->token / ROW_BLOCK);
    }
}

struct touch touches_apply(const struct pick *p, const struct row *row)
{
    struct touch last = { .token = p->last };
    for (uint32_t i = 0; i < p->n_touched; i++) {
        if (p->touch[i].token == p->last) last = p->touch[i];
        else touch_logit(p, row, &p->touch[i]);
    }
    if (last.token == NO_LAST) return last;
    last.count++;
    touch_logit(p, row, &last);
    return last;
}

float touches_raw_logit(const struct pick *p, const struct touch *last, const struct row *row,
                        int32_t token)
{
    if (last->token == token) return last->logit;
    for (uint32_t i = 0; i < p->n_touched; i++)
        if (p->touch[i].token == token) return p->touch[i].logit;
    return row->x[token];
}
