/* Whether a backend computes rightly on this machine: a small random model against the exact
 * backend (that one against the CPU's scalar code), for every weight and KV type, and a column's
 * bytes against those it gets alone. Takes some seconds. One thread; no engine need be open. */
#ifndef BACKEND_SELF_TEST_H
#define BACKEND_SELF_TEST_H

#include "backend/backend.h"

/* One line of the report. */
typedef void self_test_fn(void *arg, const char *what, bool is_ok, const char *text);

/* PL_E_INTERNAL: it ran and some checks failed; other errors: it could not run. */
pl_status backend_self_test(const struct backend_ops *ops, self_test_fn *fn, void *arg,
                            pl_err *err);

#endif
