/* paceline run: one prompt, or a chat, in the terminal. */
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/models/models.h"
#include "cli/sampling_args.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

struct run {
    pl_params params;
    pl_sampling sampling;
    uint32_t max_tokens;
    bool is_raw, is_chat;
    pl_engine *engine;
    json_t *messages;
};

/* Prints the reply as it grows and keeps it in *reply. Ctrl-C ends the reply, not the program. */
static pl_finish stream_reply(pl_stream *stream, struct strbuf *reply, pl_usage *usage)
{
    pl_event event;
    for (;;) {
        if (interrupted) pl_stream_cancel(stream);
        if (!pl_stream_wait(stream, 100)) continue;
        while (pl_stream_next(stream, &event)) {
            if (event.kind != PL_EVENT_ADMITTED) {
                fwrite(event.text, 1, event.n_text_bytes, stdout);
                strbuf_add(reply, event.text, event.n_text_bytes);
            }
            if (event.kind == PL_EVENT_END) {
                *usage = event.usage;
                return event.finish;
            }
        }
        fflush(stdout);
    }
}

static pl_status prompt_of_chat(struct run *r, pl_tokens *tokens, pl_err *err)
{
    json_t *all = json_pack("{s:O s:b}", "messages", r->messages, "add_generation_prompt", 1);
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    pl_status st = text ? pl_chat_prompt(r->engine, text, strlen(text), NULL, tokens, err)
                        : PL_E_MEMORY;
    free(text);
    json_decref(all);
    return st;
}

static pl_status answer(struct run *r, const char *prompt, struct strbuf *reply, pl_err *err)
{
    pl_tokens tokens = { 0 };
    pl_stream *stream = NULL;
    pl_usage usage;
    pl_status st = r->is_raw ? pl_tokenize(r->engine, prompt, strlen(prompt),
                                           PL_TOKENIZE_SPECIAL | PL_TOKENIZE_BOS, &tokens, err)
                             : prompt_of_chat(r, &tokens, err);
    if (!st) {
        const pl_request request = { .tokens = tokens.ids, .n_tokens = tokens.n,
                                     .max_tokens = r->max_tokens, .sampling = r->sampling };
        st = pl_submit(r->engine, &request, &stream, err);
    }
    if (!st) {
        const pl_finish finish = stream_reply(stream, reply, &usage);
        const double s = (double)usage.decode_ns * 1e-9;
        printf("\n");
        fprintf(stderr, "[%u prompt tokens (%u cached) in %.2f s, %u reply tokens, %.1f tok/s%s]\n",
                usage.n_prompt, usage.n_cached, (double)usage.prefill_ns * 1e-9, usage.n_reply,
                s > 0 && usage.n_reply > 1 ? (usage.n_reply - 1) / s : 0,
                finish == PL_FINISH_LENGTH ? ", cut: --n-predict or --ctx-size is used up" : "");
    }
    pl_stream_close(stream);
    pl_tokens_free(&tokens);
    return st;
}

static void add_message(struct run *r, const char *role, const char *content, size_t n)
{
    json_array_append_new(r->messages, json_pack("{s:s s:s%}", "role", role, "content", content, n));
}

static pl_status chat(struct run *r, pl_err *err)
{
    char *line = NULL;
    size_t capacity = 0;
    pl_status st = PL_OK;
    const bool is_terminal = isatty(STDIN_FILENO);

    while (!st) {
        if (is_terminal) fputs("> ", stdout), fflush(stdout);
        interrupted = 0;
        const ssize_t n = getline(&line, &capacity, stdin);
        if (n <= 0) break;
        line[strcspn(line, "\n")] = 0;
        if (!*line) continue;
        struct strbuf reply = { 0 };
        add_message(r, "user", line, strlen(line));
        st = answer(r, line, &reply, err);
        add_message(r, "assistant", reply.bytes ? reply.bytes : "", reply.n);
        strbuf_free(&reply);
    }
    free(line);
    return st;
}

static pl_status once(struct run *r, const char *prompt, pl_err *err)
{
    struct strbuf reply = { 0 };
    if (!r->is_raw) add_message(r, "user", prompt, strlen(prompt));
    const pl_status st = answer(r, prompt, &reply, err);
    strbuf_free(&reply);
    return st;
}

int cmd_run(int argc, char **argv)
{
    struct run r = { .params = { .n_streams = 1 }, .sampling = cli_sampling_default() };
    const char *prompt = NULL, *system_prompt = NULL, *template_file = NULL, *dir = NULL;
    uint64_t seed = clock_ns();
    const struct arg table[] = {
        CLI_MODEL_ARGS(&r.params),
        MODELS_DIR_ARG(&dir),
        { "--prompt", "-p", ARG_STRING, &prompt, 0, 0, "TEXT",
          "answer this and end (default: chat, a line of standard input a turn)" },
        { "--system-prompt", "-sys", ARG_STRING, &system_prompt, 0, 0, "TEXT", "of the chat" },
        { "--raw", NULL, ARG_FLAG, &r.is_raw, 0, 0, NULL,
          "continue the prompt as it stands, without the chat template" },
        { "--n-predict", "-n", ARG_U32, &r.max_tokens, 0, 1 << 24, "N",
          "tokens of the reply at most; 0: to the end of the context (0)" },
        { "--ctx-size", "-c", ARG_U32, &r.params.ctx_tokens, 0, 1 << 24, "N",
          "tokens of prompt and reply; 0: the model's limit, at most 8192 (0)" },
        { "--chat-template", NULL, ARG_STRING, &r.params.chat_template, 0, 0, "NAME",
          "a built-in template instead of the file's: chatml, ..." },
        { "--chat-template-file", NULL, ARG_STRING, &template_file, 0, 0, "FILE",
          "a template instead of the model file's" },
        { "--seed", "-s", ARG_U64, &seed, 0, 0x1p53, "N", "of the random numbers" },
        CLI_SAMPLING_ARGS(&r.sampling),
    };
    const struct arg_page page = {
        "run", "--model FILE [OPTIONS]",
        "Answers one prompt, or lines of standard input as a chat. Ctrl-C ends a reply.",
        "paceline run --model model.gguf --prompt 'Why is the sky blue?'\n"
        "paceline run --model model.gguf", table, N_ARGS(table)
    };
    const int code = args_parse(&page, argc, argv, NULL, NULL);
    if (code >= 0) return code;
    if (!r.params.model_path) return args_missing(&page, "--model FILE");
    cli_log_to_stderr(false);

    pl_err err = { .text = "out of memory" };
    if (models_resolve(&r.params.model_path, dir, &err)) return cli_fail(&err);
    char *template_text = NULL;
    size_t n_template;
    if (template_file && !(template_text = cli_read_all(template_file, &n_template))) return 1;
    if (template_text) r.params.chat_template = template_text;
    r.sampling.seed = seed;
    signal(SIGINT, on_interrupt);

    pl_plan plan;
    pl_status st = PL_OK;
    if (!r.params.ctx_tokens) {     /* a chat wants a useful context, not 128k of KV memory */
        r.params.ctx_tokens = 1;
        st = pl_plan_compute(&plan, &r.params, &err);
        if (!st) r.params.ctx_tokens = plan.model_ctx_tokens < 8192 ? plan.model_ctx_tokens : 8192;
    }
    if (!st) st = pl_open(&r.engine, &r.params, &err);
    r.messages = json_array();
    if (!st && system_prompt) add_message(&r, "system", system_prompt, strlen(system_prompt));
    if (!st) st = prompt ? once(&r, prompt, &err) : chat(&r, &err);
    json_decref(r.messages);
    pl_close(r.engine);
    free(template_text);
    return st ? cli_fail(&err) : 0;
}
