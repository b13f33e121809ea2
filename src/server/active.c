#include "server/active.h"

#include "server/answer.h"
#include "server/model_names.h"

bool active_begin(struct exchange *x, enum MHD_Result *result)
{
    atomic_fetch_add(&x->server->n_active, 1);      /* first: see is_draining in state.h */
    x->is_active = true;
    if (!atomic_load(&x->server->is_draining)) return true;
    atomic_fetch_add(&x->server->n_refused_draining, 1);
    *result = answer_fail(x, 503, NULL, "shutting_down", "the server is shutting down");
    return false;
}

enum MHD_Result active_fail_model(struct exchange *x, const char *name)
{
    return answer_fail(x, 404, "model", "model_not_found", "the model \"%.100s\" is not here; "
                       "\"%s\" is", name, model_names_first(x->server));
}

bool active_has_model(struct exchange *x, const char *name, enum MHD_Result *result)
{
    if (!x->server->has_strict_names || model_names_have(x->server, name)) return true;
    *result = active_fail_model(x, name);
    return false;
}

struct active_end active_end(const struct exchange *x)
{
    if (atomic_load(&x->server->is_draining))
        return (struct active_end){ 503, "shutting_down", "the server is shutting down" };
    return (struct active_end){ 500, "internal_error", "the reply could not be continued" };
}
