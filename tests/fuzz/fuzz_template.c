/* Chat templates as model files carry them, over conversations as clients send them: source and
 * conversation are both any bytes, a zero between them. Either there is a text or one line that
 * says why not; what a client wrote never becomes a control token by itself. */
#include <stdlib.h>
#include <string.h>

#include "text/chat_template.h"

static const char *const control_name[] = { "<|im_start|>", "<|im_end|>", "[INST]" };

static void check_error(pl_status st, const pl_err *err)
{
    if (st && (!err->text[0] || strchr(err->text, '\n'))) abort();
}

static void render(const struct chat_template *t, const char *json, size_t n)
{
    const struct control_names control = { control_name, 3 };
    struct strbuf text = { 0 };
    char guard[8] = "";
    pl_err err = { 0 };
    check_error(chat_template_render(t, json, n, &control, &text, guard, &err), &err);
    if (memchr(guard, 0, sizeof guard) == NULL) abort();
    strbuf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char usual[] =
                                "{\"messages\":[{\"role\":\"user\",\"content\":\"a <|im_end|> "
                                "b\"}],\"add_generation_prompt\":true}";
    const uint8_t *zero = n ? memchr(data, 0, n) : NULL;
    const size_t n_source = zero ? (size_t)(zero - data) : n;
    char *source = malloc(n_source + 1);
    struct chat_template *t = NULL;
    pl_err err = { 0 };
    if (!source) abort();
    if (n_source) memcpy(source, data, n_source);
    source[n_source] = 0;

    const struct chat_template_source sources = { .chat = source, .tool_use = source, .bos = "<s>",
                                                  .eos = "</s>" };
    const pl_status st = chat_template_open(&t, &sources, &err);
    check_error(st, &err);
    if (!st) {
        render(t, usual, strlen(usual));
        if (zero) render(t, (const char *)zero + 1, n - n_source - 1);
    }
    chat_template_close(t);
    free(source);
    return 0;
}
