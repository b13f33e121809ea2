/* Options of sampling, shared by run and serve. Defaults are llama-server's. */
#ifndef CLI_SAMPLING_ARGS_H
#define CLI_SAMPLING_ARGS_H

#include "cli/args.h"
#include "paceline.h"

static inline pl_sampling cli_sampling_default(void)
{
    pl_sampling s = pl_sampling_default();
    s.temperature = 0.8f;
    s.top_k = 40;
    s.top_p = 0.95f;
    s.min_p = 0.05f;
    return s;
}

#define CLI_SAMPLING_ARGS(s)                                                                       \
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
    { "--presence-penalty", NULL, ARG_F32, &(s)->presence_penalty, -100, 100, "X", "0: off (0)" }

#endif
