/* One HTTP exchange at a time over libcurl: what is sent, and how a transfer's end is told. */
#ifndef CLI_LOAD_TRANSFER_H
#define CLI_LOAD_TRANSFER_H

#include <curl/curl.h>

#include "base/status.h"
#include "cli/load/options.h"
#include "cli/load/reply.h"

struct load_transfer {          /* does not move while its handle is in use */
    CURL *easy;
    struct curl_slist *headers;
    char *body;
    struct load_reply reply;
    struct load_record record;
    char error[CURL_ERROR_SIZE];
};

/* A handle with all that is the same for every request. Release with load_transfer_close. */
pl_status load_transfer_open(struct load_transfer *t, const struct load_options *o, pl_err *err);
void load_transfer_close(struct load_transfer *t);

/* Makes ready request `number`, which should have been sent at `scheduled_ns`: to be given to a
 * multi handle next. */
pl_status load_transfer_prepare(struct load_transfer *t, const struct load_options *o,
                                uint64_t number, uint64_t scheduled_ns, pl_err *err);

/* Fills t->record of a transfer that ended with `code`; the caller takes the record over. */
void load_transfer_end(struct load_transfer *t, CURLcode code);

/* The first name that /v1/models tells. Release with free. */
pl_status load_model_name(char **out, const struct load_options *o, pl_err *err);

#endif
