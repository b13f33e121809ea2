#include "cli/load_progress.h"

#include <unistd.h>

enum { PARTS = 10000 };

static bool on_progress(void *arg, float fraction)
{
    struct load_progress *p = arg;
    progress_at(&p->shown, (uint64_t)(fraction * PARTS));
    return !p->fn || p->fn(p->arg, fraction);
}

void load_progress_begin(struct load_progress *p, pl_params *params, FILE *to, pl_progress_fn *fn,
                         void *arg)
{
    *p = (struct load_progress){ .fn = fn, .arg = arg };
    progress_begin(&p->shown, to, "loading", PARTS, 0);
    p->shown.is_share = true;
    params->on_progress = on_progress;
    params->progress_arg = p;
}

void load_progress_end(struct load_progress *p)
{
    progress_end(&p->shown);
}

pl_status load_progress_open(pl_engine **engine, pl_params *params, pl_err *err)
{
    struct load_progress progress;
    load_progress_begin(&progress, params, isatty(STDERR_FILENO) ? stderr : NULL, NULL, NULL);
    const pl_status st = pl_open(engine, params, err);
    load_progress_end(&progress);
    params->on_progress = NULL;         /* what it would tell is gone */
    return st;
}
