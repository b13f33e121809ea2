/* Twenty threads, one engine: each thread submits a prompt of its own and reads its reply; the
 * engine decodes as many of them together as it has slots, and the others wait in its queue. No
 * lock, no pool of contexts. What a thread is told is what it would have been told alone.
 *
 *   cc streams.c $(pkg-config --cflags --libs paceline) -lpthread -o streams
 *   streams MODEL [N_THREADS [N_TOKENS]] */
#include <paceline.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_SLOTS = 8, MAX_THREADS = 256, MAX_TEXT = 4096 };

struct rider {
    pl_engine *engine;
    unsigned number, n_tokens;
    char text[MAX_TEXT];        /* of its reply */
    size_t n_text;
    pl_finish finish;
    pl_usage usage;
    pl_err err;
};

static pl_status submit(struct rider *r, pl_stream **stream)
{
    char words[64];
    pl_tokens prompt;
    const int n = snprintf(words, sizeof words, "Rider %u says:", r->number);
    pl_status st = pl_tokenize(r->engine, words, (size_t)n, PL_TOKENIZE_BOS, &prompt, &r->err);
    if (st) return st;
    const pl_request request = { .tokens = prompt.ids, .n_tokens = prompt.n,
                                 .max_tokens = r->n_tokens, .sampling = pl_sampling_default() };
    st = pl_submit(r->engine, &request, stream, &r->err);
    pl_tokens_free(&prompt);    /* it was copied */
    return st;
}

static void keep(struct rider *r, const pl_event *event)
{
    const size_t room = MAX_TEXT - r->n_text;
    const size_t n = event->n_text_bytes < room ? event->n_text_bytes : room;
    memcpy(r->text + r->n_text, event->text, n);
    r->n_text += n;
}

static void *ride(void *arg)
{
    struct rider *r = arg;
    pl_stream *stream;
    pl_event event = { 0 };
    if (submit(r, &stream)) return NULL;
    while (event.kind != PL_EVENT_END) {
        if (!pl_stream_next(stream, &event)) {
            pl_stream_wait(stream, 1000);
            continue;
        }
        keep(r, &event);
        /* the first one changes its mind after its first token */
        if (r->number == 0 && event.kind == PL_EVENT_TOKEN) pl_stream_cancel(stream);
    }
    r->finish = event.finish;
    r->usage = event.usage;
    pl_stream_close(stream);
    return NULL;
}

static int report(pl_engine *engine, const struct rider *rider, unsigned n)
{
    int n_failed = 0;
    for (unsigned i = 0; i < n; i++) {
        const struct rider *r = &rider[i];
        n_failed += r->err.status != PL_OK;
        if (r->err.status) {
            fprintf(stderr, "rider %u: %s\n", i, r->err.text);
            continue;
        }
        printf("%u %s %u ", i, r->finish == PL_FINISH_CANCELLED ? "cancelled" : "done",
               r->usage.n_reply);
        fwrite(r->text, 1, r->n_text, stdout);  /* whatever bytes they are */
        putchar('\n');
    }
    pl_stats stats;
    pl_stats_read(engine, &stats);
    fprintf(stderr, "%llu tokens in %llu steps: %.1f a step; %.1f tok/s\n",
            (unsigned long long)stats.n_reply_tokens, (unsigned long long)stats.n_steps,
            (double)stats.n_reply_tokens / (double)stats.n_steps, stats.reply_tokens_per_s);
    return n_failed;
}

int main(int argc, char **argv)
{
    const int n = argc > 2 ? atoi(argv[2]) : 20, n_tokens = argc > 3 ? atoi(argv[3]) : 32;
    if (argc < 2 || n < 1 || n > MAX_THREADS || n_tokens < 1) {
        fprintf(stderr, "usage: streams MODEL [N_THREADS [N_TOKENS]], of at most %d threads\n",
                MAX_THREADS);
        return 2;
    }
    const pl_params params = { .model_path = argv[1], .n_streams = N_SLOTS,
                               .ctx_tokens = (uint32_t)n_tokens + 64 };
    pl_engine *engine;
    pl_err err;
    if (pl_open(&engine, &params, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    struct rider *rider = calloc((size_t)n, sizeof *rider);
    pthread_t *thread = calloc((size_t)n, sizeof *thread);
    if (!rider || !thread) abort();
    for (int i = 0; i < n; i++) {
        rider[i].engine = engine;
        rider[i].number = (unsigned)i;
        rider[i].n_tokens = (unsigned)n_tokens;
        if (pthread_create(&thread[i], NULL, ride, &rider[i])) abort();
    }
    for (int i = 0; i < n; i++) pthread_join(thread[i], NULL);
    const int n_failed = report(engine, rider, (unsigned)n);
    pl_close(engine);
    free(rider);
    free(thread);
    return n_failed ? 1 : 0;
}
