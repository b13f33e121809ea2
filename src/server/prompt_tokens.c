#include "server/prompt_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

bool prompt_token_id(const json_t *v, int32_t *id)
{
    const json_int_t value = json_integer_value(v);
    if (!json_is_integer(v) || value < 0 || value > INT32_MAX) return false;
    *id = (int32_t)value;
    return true;
}

pl_status prompt_tokens_add(pl_tokens *to, const int32_t *ids, size_t n, pl_err *err)
{
    int32_t *more = realloc(to->ids, (to->n + n + 1) * sizeof *more);
    if (!more) return pl_fail(err, PL_E_MEMORY, "out of memory");
    to->ids = more;
    if (n) memcpy(to->ids + to->n, ids, n * sizeof *ids);
    to->n += n;
    return PL_OK;
}

pl_status prompt_tokens_add_text(pl_tokens *to, const pl_engine *engine, const char *text, size_t n,
                                 unsigned flags, pl_err *err)
{
    pl_tokens more = { 0 };
    pl_status st = pl_tokenize(engine, text, n, flags, &more, err);
    if (!st) st = prompt_tokens_add(to, more.ids, more.n, err);
    pl_tokens_free(&more);
    return st;
}
