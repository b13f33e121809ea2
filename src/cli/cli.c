#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"

int cli_fail(const pl_err *err)
{
    fprintf(stderr, "paceline: %s\n", err->text);
    return err->status == PL_E_PARAM ? 2 : 1;
}

static FILE *log_file;

/* A model file is read for its plan and again when it is opened: what was said of it is not
 * repeated. Files are read by one thread at a time. */
static bool was_said(const char *subsystem, const char *line)
{
    static uint64_t said[64];
    static size_t n_said;
    if (strcmp(subsystem, "tokenizer") && strcmp(subsystem, "model")) return false;
    uint64_t hash = 0xcbf29ce484222325u;        /* FNV-1a */
    for (; *line; line++) hash = (hash ^ (unsigned char)*line) * 0x100000001b3u;
    for (size_t i = 0; i < n_said && i < 64; i++)
        if (said[i] == hash) return true;
    said[n_said++ % 64] = hash;
    return false;
}

static void log_line(void *arg, pl_log_level level, const char *subsystem, const char *line)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };
    (void)arg;
    if (was_said(subsystem, line)) return;
    fprintf(stderr, "%s %s: %s\n", names[level], subsystem, line);
    if (log_file) fprintf(log_file, "%s %s: %s\n", names[level], subsystem, line);
}

void cli_log_to_stderr(bool verbose)
{
    pl_set_log(log_line, NULL, verbose ? PL_LOG_DEBUG : PL_LOG_WARN);
}

void cli_log_also_to(FILE *file)
{
    log_file = file;
}

static void print_bytes(FILE *to, const char *what, uint64_t n_bytes, const char *note)
{
    fprintf(to, "  %-10s %10.1f MiB  %s\n", what, (double)n_bytes / 1048576.0, note);
}

void cli_print_plan(FILE *to, const pl_plan *p)
{
    char note[160];
    fprintf(to, "model      %s (%s, %s, %.2f B weights, %u layers, vocabulary %u)\n", p->model_name,
            p->architecture, p->quantisation, (double)p->n_parameters * 1e-9, p->n_layers,
            p->n_vocab);
    fprintf(to, "machine    %s, backend %s, %s, %u threads\n", p->cpu_name, p->backend, p->isa,
            p->n_threads);
    if (*p->gpu_refusal)
        fprintf(to, "GPU        not used, the processor computes: %s\n", p->gpu_refusal);
    if (p->n_cpu_layers)
        fprintf(to, "layers     the first %u of %u on the CPU\n", p->n_cpu_layers, p->n_layers);
    fprintf(to, "memory\n");
    print_bytes(to, "weights", p->weights_bytes,
                !strcmp(p->backend, "exact") ? "as in the file"
                : p->shared_bytes ? "packed for this instruction set, mapped from the pack cache"
                                  : "packed for this instruction set");
    snprintf(note, sizeof note, "%u pages of %u tokens = %" PRIu64 " tokens, %" PRIu64
             " bytes each (K %s, V %s)", p->n_pages, p->page_tokens, p->kv_tokens,
             p->kv_bytes_per_token, p->cache_type_k, p->cache_type_v);
    print_bytes(to, "KV pool", p->kv_bytes, note);
    if (p->window_kv_bytes) {
        snprintf(note, sizeof note, "of that, %u of %u layers, which look back %u tokens",
                 p->n_window_layers, p->n_layers, p->window_tokens);
        print_bytes(to, "windows", p->window_kv_bytes, note);
    }
    if (p->state_bytes)
        print_bytes(to, "states", p->state_bytes,
                    "of that, of layers that remember a stream in a state of fixed size");
    snprintf(note, sizeof note, "a step of up to %u columns", p->step_tokens);
    print_bytes(to, "scratch", p->scratch_bytes, note);
    snprintf(note, sizeof note, "%u slots, queue of %u requests", p->n_streams, p->queue_requests);
    print_bytes(to, "streams", p->stream_bytes, note);
    print_bytes(to, "vocabulary", p->vocab_bytes, "");
    print_bytes(to, "total", p->total_bytes, "");
    fprintf(to,
            "limits     %u streams of %u tokens each (prompt + reply; the model's limit is %u); %u "
            "prompt tokens a step beside running streams; queue %u requests, %" PRIu64
            " tokens\n", p->n_streams, p->ctx_tokens, p->model_ctx_tokens, p->prefill_tokens,
            p->queue_requests, p->queue_tokens);
}

char *cli_read_all(const char *path, size_t *n_bytes)
{
    FILE *from = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    if (!from) {
        fprintf(stderr, "paceline: %s: %s\n", path, strerror(errno));
        return NULL;
    }
    struct strbuf all = { 0 };
    char part[65536];
    size_t n;
    while ((n = fread(part, 1, sizeof part, from)) > 0) strbuf_add(&all, part, n);
    const bool is_bad = ferror(from);
    if (from != stdin) fclose(from);
    strbuf_add(&all, "", 0);
    if (is_bad || all.failed) {
        fprintf(stderr, "paceline: %s: %s\n", path, all.failed ? "out of memory" : "read error");
        strbuf_free(&all);
        return NULL;
    }
    *n_bytes = all.n;
    return all.bytes;
}
