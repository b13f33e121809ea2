/* The prompts of a load: one fixed, lines of a file in turn, or words drawn for given lengths.
 *
 * The prompt of a request follows from its number and the seed alone, whatever order replies come
 * in. Drawn words are short and common, so that most vocabularies have each as one token; how many
 * tokens a prompt really has is what the server reports. */
#ifndef CLI_LOAD_PROMPTS_H
#define CLI_LOAD_PROMPTS_H

#include <jansson.h>
#include <stdint.h>

#include "base/status.h"

struct load_prompts;

struct load_prompts_params {
    bool is_chat;               /* prompts become messages */
    const char *text;           /* the one prompt; NULL: not that */
    const char *file;           /* a prompt a line, or an object a line; NULL: not that */
    double mean_words, stddev_words;    /* of drawn prompts, which the above leave unused */
    double shared;              /* share of mean_words that is the same in every drawn prompt */
    uint64_t seed;
};

/* PL_E_PARAM or PL_E_IO with the line of the file that is to blame. */
pl_status load_prompts_open(struct load_prompts **out, const struct load_prompts_params *params,
                            pl_err *err);
void load_prompts_close(struct load_prompts *p);

/* Sets "messages" or "prompt", and "max_tokens" where the file says so, in the body of request
 * `number`. False: out of memory. */
bool load_prompts_set(const struct load_prompts *p, uint64_t number, json_t *body);

/* "128 words drawn with seed 1, first 50 % shared" */
void load_prompts_describe(const struct load_prompts *p, char *out, size_t n_out);

/* "N" or "N:STDDEV"; false: it is neither. */
bool load_prompts_parse_words(const char *text, double *mean, double *stddev);

#endif
