/* What one request of a load did and how it ended. */
#ifndef CLI_LOAD_RECORD_H
#define CLI_LOAD_RECORD_H

#include <stdbool.h>
#include <stdint.h>

enum load_outcome {
    LOAD_OK,
    LOAD_CONNECT,       /* no connection: name, refusal, TLS, or the time for it ran out */
    LOAD_TIMEOUT,       /* the reply was not complete in time */
    LOAD_HTTP,          /* a status other than 2xx */
    LOAD_CUT,           /* the connection or the stream ended before the reply did */
    LOAD_BAD_REPLY,     /* not the JSON or the events that were asked for */
    LOAD_ERROR_EVENT,   /* the stream said that something went wrong */
    LOAD_DROPPED,       /* still running when the run was interrupted: neither ok nor failed */
    LOAD_N_OUTCOMES
};

/* "timeout", as reports write it. */
const char *load_outcome_name(enum load_outcome outcome);

/* Times are clock_ns(); 0: it did not come to that. */
struct load_record {
    uint64_t scheduled_ns;      /* when it should have been sent: in a closed loop, when it was */
    uint64_t send_ns;
    uint64_t end_ns;            /* the last byte, or when it was given up */
    uint64_t *chunk_ns;         /* (n_chunks) arrivals of chunks with generated text */
    uint32_t n_chunks, chunk_capacity;
    uint64_t n_prompt, n_cached, n_output; /* tokens; n_output without usage: chunks */
    bool has_usage;             /* the server said how many tokens */
    bool is_streamed;
    enum load_outcome outcome;
    int status;                 /* of HTTP; 0: none came */
    double retry_after_s;       /* below 0: not told */
    char *message;              /* of a failure; may be NULL */
};

void load_record_add_chunk(struct load_record *r, uint64_t now_ns);

/* The first cause stays: later calls do nothing. `text` is copied, made one printable line. */
void load_record_fail(struct load_record *r, enum load_outcome outcome, const char *text);

void load_record_free(struct load_record *r);

#endif
