#include <paceline.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)     /* hello MODEL TEXT: how the text goes on */
{
    pl_engine *engine;
    pl_stream *stream;
    pl_tokens text;
    pl_event event = { 0 };
    pl_err err = { .text = "usage: hello MODEL TEXT" };
    if (argc != 3 || pl_open(&engine, &(pl_params){ .model_path = argv[1] }, &err) ||
        pl_tokenize(engine, argv[2], strlen(argv[2]), PL_TOKENIZE_BOS, &text, &err) ||
        pl_submit(engine, &(pl_request){ .tokens = text.ids, .n_tokens = text.n, .max_tokens = 16,
                                         .sampling = pl_sampling_default() }, &stream, &err))
        return fprintf(stderr, "%s\n", err.text), 1;
    while (event.kind != PL_EVENT_END)
        if (!pl_stream_next(stream, &event)) pl_stream_wait(stream, 1000);
        else fwrite(event.text, 1, event.n_text_bytes, stdout);
    pl_stream_close(stream);
    pl_tokens_free(&text), pl_close(engine);
}
