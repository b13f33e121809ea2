/* paceline run: one prompt, or a chat, in the terminal. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/context.h"
#include "cli/load_progress.h"
#include "cli/models/models.h"
#include "cli/run/chat.h"
#include "cli/run/commands.h"
#include "cli/run/input.h"
#include "cli/run/interrupt.h"
#include "cli/sampling_args.h"

enum { EXIT_INTERRUPTED = 130 };        /* as a shell says of what SIGINT ended */

/* A person stays: what failed is said, and the next question is asked for. */
static void tell_failure(const pl_err *err)
{
    cli_fail(err);
    if (err->status == PL_E_CONTEXT)
        fputs("/clear forgets the conversation; --ctx-size makes room for a longer one\n", stderr);
}

static int chat_on_terminal(struct chat *c, struct input *in)
{
    const char *text;
    bool is_stopped;
    puts("Ask something; /help says what else there is.");
    for (;;) {
        const enum input_kind kind = input_read(in, &text);
        if (kind == INPUT_END) return 0;
        if (kind == INPUT_INTERRUPTED) {
            puts("\nCtrl-D or /bye leaves.");
            continue;
        }
        const enum chat_command command = commands_do(c, in, text);
        if (command == CHAT_LEAVE) return 0;
        pl_err err = { 0 };
        if (command == CHAT_QUESTION && chat_ask(c, text, &is_stopped, &err)) tell_failure(&err);
    }
}

/* A line a turn, as a script wants it; the first failure ends it. */
static int chat_of_lines(struct chat *c, struct input *in)
{
    const char *text;
    bool is_stopped;
    pl_err err = { 0 };
    for (;;) {
        const enum input_kind kind = input_read(in, &text);
        if (kind == INPUT_END) return 0;
        if (kind == INPUT_INTERRUPTED) return EXIT_INTERRUPTED;
        if (chat_ask(c, text, &is_stopped, &err)) return cli_fail(&err);
    }
}

static int chat(struct chat *c)
{
    struct input in;
    input_open(&in);
    const int code = in.editor ? chat_on_terminal(c, &in) : chat_of_lines(c, &in);
    input_close(&in);
    return code;
}

static int once(struct chat *c, const char *prompt)
{
    bool is_stopped;
    pl_err err = { 0 };
    if (chat_ask(c, prompt, &is_stopped, &err)) return cli_fail(&err);
    return is_stopped ? EXIT_INTERRUPTED : 0;
}

enum { CHAT_CONTEXT = 8192 };           /* useful, and no 128k of KV memory */

int cmd_run(int argc, char **argv)
{
    pl_params params = { .n_streams = 1 };
    struct chat c = { .sampling = cli_sampling_default() };
    const char *prompt = NULL, *template_file = NULL, *dir = NULL;
    uint64_t seed = clock_ns();
    struct sampling_words words_of_sampling = { .samplers = NULL };
    const struct arg table[] = {
        CLI_MODEL_ARGS(&params),
        GPU_LAYERS_ARG(&params),
        MODELS_DIR_ARG(&dir),
        { "--prompt", "-p", ARG_STRING, &prompt, 0, 0, "TEXT",
          "answer this and end (default: chat, a line of standard input a turn)" },
        { "--system-prompt", "-sys", ARG_STRING, &c.system_prompt, 0, 0, "TEXT", "of the chat" },
        { "--raw", NULL, ARG_FLAG, &c.is_raw, 0, 0, NULL,
          "continue the prompt as it stands, without the chat template" },
        { "--n-predict", "-n", ARG_U32, &c.max_tokens, 0, 1 << 24, "N",
          "tokens of the reply at most; 0: to the end of the context (0)" },
        { "--ctx-size", "-c", ARG_U32, &params.ctx_tokens, 0, 1 << 24, "N",
          "tokens of prompt and reply; 0: the model's limit, at most 8192 and what fits (0)" },
        { "--chat-template", NULL, ARG_STRING, &params.chat_template, 0, 0, "NAME",
          "a built-in template (chatml, ...) or another one of the file's (rag, ...)" },
        { "--chat-template-file", NULL, ARG_STRING, &template_file, 0, 0, "FILE",
          "a template instead of the model file's" },
        { "--seed", "-s", ARG_U64, &seed, 0, 0x1p53, "N", "of the random numbers" },
        CLI_SAMPLING_ARGS(&c.sampling, &words_of_sampling),
    };
    const struct arg_page page = {
        "run", "MODEL [OPTIONS]",
        "Answers one prompt, or chats: on a terminal with line editing and history (/help there "
        "says more), else a line of standard input a turn. Ctrl-C ends a reply.",
        "paceline run model.gguf --prompt 'Why is the sky blue?'\n"
        "paceline run model.gguf", table, N_ARGS(table)
    };
    struct arg_strings words = { .n = 0 };
    int code = args_parse(&page, argc, argv, &words, NULL);
    if (code < 0) code = sampling_args_take(&words_of_sampling, &c.sampling);
    if (code < 0) code = args_take_model(&page, &words, &params.model_path);
    if (code >= 0) return code;
    cli_log_to_stderr(false);

    pl_err err = { .text = "out of memory" };
    if (models_resolve(&params.model_path, dir, &err)) return cli_fail(&err);
    char *template_text = NULL;
    size_t n_template;
    if (template_file && !(template_text = cli_read_all(template_file, &n_template))) return 1;
    if (template_text) params.chat_template = template_text;
    c.sampling.seed = seed;

    pl_status st = context_choose(&params, CHAT_CONTEXT, &err);
    if (!st) st = load_progress_open(&c.engine, &params, &err);
    if (!st) st = chat_open(&c, &err);
    int result = st ? cli_fail(&err) : 0;
    if (!st) {
        interrupt_catch();          /* not before: Ctrl-C ends a program that loads */
        result = prompt ? once(&c, prompt) : chat(&c);
    }
    chat_close(&c);
    pl_close(c.engine);
    free(template_text);
    return result;
}
