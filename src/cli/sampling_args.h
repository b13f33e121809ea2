/* Options of sampling, shared by run and serve. Names and defaults are llama-server's. */
#ifndef CLI_SAMPLING_ARGS_H
#define CLI_SAMPLING_ARGS_H

#include "cli/args.h"
#include "paceline.h"

/* As they are spelled; sampling_args_take makes sense of them. */
struct sampling_words {
    const char *samplers, *letters;
    struct arg_strings breakers;
};

static inline pl_sampling cli_sampling_default(void)
{
    pl_sampling s = pl_sampling_default();
    s.temperature = 0.8f;
    s.top_k = 40;
    s.top_p = 0.95f;
    s.min_p = 0.05f;
    return s;
}

/* Prints one line and returns 2 where something is wrong, else -1. The sampling may point to what
 * lives as long as the program. */
int sampling_args_take(const struct sampling_words *words, pl_sampling *s);

#define CLI_SAMPLING_ARGS(s, words)                                                                \
    { "--temp", "--temperature", ARG_F32, &(s)->temperature, 0, 100, "X",                          \
      "temperature; 0: greedy (0.8)" },                                                            \
    { "--top-k", NULL, ARG_U32, &(s)->top_k, 0, 1 << 21, "N", "0: off (40)" },                     \
    { "--top-p", NULL, ARG_F32, &(s)->top_p, 0, 1, "X", "1: off (0.95)" },                         \
    { "--min-p", NULL, ARG_F32, &(s)->min_p, 0, 1, "X", "0: off (0.05)" },                         \
    { "--typical", "--typical-p", ARG_F32, &(s)->typical_p, 0, 1, "X", "1: off (1)" },             \
    { "--repeat-penalty", NULL, ARG_F32, &(s)->repetition_penalty, 0.01, 100, "X", "1: off (1)" }, \
    { "--repeat-last-n", NULL, ARG_U32, &(s)->penalty_last_n, 0, 1 << 24, "N",                     \
      "tokens the penalties look back on (64)" },                                                  \
    { "--frequency-penalty", NULL, ARG_F32, &(s)->frequency_penalty, -100, 100, "X",               \
      "0: off (0)" },                                                                              \
    { "--presence-penalty", NULL, ARG_F32, &(s)->presence_penalty, -100, 100, "X", "0: off (0)" }, \
    { "--dry-multiplier", NULL, ARG_F32, &(s)->dry_multiplier, 0, 100, "X",                        \
      "how much goes on with a repetition loses; 0: off (0)" },                                    \
    { "--dry-base", NULL, ARG_F32, &(s)->dry_base, 1, 100, "X",                                    \
      "so many times more with each token it is longer (1.75)" },                                  \
    { "--dry-allowed-length", NULL, ARG_U32, &(s)->dry_allowed_length, 0, 1 << 24, "N",            \
      "of repetitions (2)" },                                                                      \
    { "--dry-penalty-last-n", NULL, ARG_I32, &(s)->dry_last_n, -1, 1 << 24, "N",                   \
      "tokens DRY looks back on; -1: all (-1)" },                                                  \
    { "--dry-sequence-breaker", NULL, ARG_STRINGS, &(words)->breakers, 0, 0, "TEXT",               \
      "repetitions end where it is written; several times; none: nowhere (\\n : \" *)" },          \
    { "--top-nsigma", "--top-n-sigma", ARG_F32, &(s)->top_n_sigma, -1, 1000, "X",                  \
      "logits so many deviations below the best are left out; -1: off (-1)" },                     \
    { "--xtc-probability", NULL, ARG_F32, &(s)->xtc_probability, 0, 1, "X",                        \
      "how often XTC leaves out the top choices; 0: off (0)" },                                    \
    { "--xtc-threshold", NULL, ARG_F32, &(s)->xtc_threshold, 0, 1, "X",                            \
      "the probability that makes one; above 0.5: off (0.1)" },                                    \
    { "--dynatemp-range", NULL, ARG_F32, &(s)->dynatemp_range, 0, 100, "X",                        \
      "the temperature goes up and down by it with the entropy; 0: off (0)" },                     \
    { "--dynatemp-exp", NULL, ARG_F32, &(s)->dynatemp_exponent, 0, 100, "X", "(1)" },              \
    { "--mirostat", NULL, ARG_U32, &(s)->mirostat, 0, 2, "N",                                      \
      "1, 2: its version, in place of all samplers but the temperature; 0: off (0)" },             \
    { "--mirostat-ent", NULL, ARG_F32, &(s)->mirostat_tau, 0, 100, "X",                            \
      "bits of surprise that it aims at (5)" },                                                    \
    { "--mirostat-lr", NULL, ARG_F32, &(s)->mirostat_eta, 0, 10, "X", "how fast (0.1)" },          \
    { "--samplers", NULL, ARG_STRING, &(words)->samplers, 0, 0, "NAMES",                           \
      "that run, in their order "                                                                  \
      "(penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature)" },                     \
    { "--sampler-seq", "--sampling-seq", ARG_STRING, &(words)->letters, 0, 0, "LETTERS",           \
      "likewise (edskypmxt)" }

#endif
