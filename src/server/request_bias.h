/* logit_bias: of token ids, or of texts, which are tokens once there is an engine. */
#ifndef SERVER_REQUEST_BIAS_H
#define SERVER_REQUEST_BIAS_H

#include "server/request_fields.h"

void request_read_bias(struct fields *f);

/* Texts join the ids in sampling.bias. Any thread. */
pl_status request_resolve_bias(struct request *r, const pl_engine *engine, pl_err *err);

#endif
