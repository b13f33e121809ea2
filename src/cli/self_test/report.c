#include "cli/self_test/report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/memory_available.h"
#include "base/status.h"
#include "cli/cli.h"
#include "cli/self_test/clean.h"
#include "estimate/machine.h"

/* ---- log lines ------------------------------------------------------------------------------ */

static bool has_line(const struct strbuf *b, const char *line)
{
    const size_t n = strlen(line);
    for (const char *at = b->bytes; at && (at = strstr(at, line)); at += n)
        if ((at == b->bytes || at[-1] == '\n') && at[n] == '\n') return true;
    return false;
}

/* Each once: a self-test opens the backend for every type. */
static void add_line(struct strbuf *b, const char *line)
{
    if (!has_line(b, line)) strbuf_addf(b, "%s\n", line);
}

static void take_log(void *arg, pl_log_level level, const char *subsystem, const char *line)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };
    static const char compiler[] = "compiler: ", kernel[] = "kernel ";
    struct self_report *r = arg;
    char text[640];
    pthread_mutex_lock(&r->lock);
    if (!strncmp(line, compiler, sizeof compiler - 1)) {
        add_line(&r->compiler, line + sizeof compiler - 1);
    } else if (!strncmp(line, kernel, sizeof kernel - 1)) {
        add_line(&r->kernels, line + sizeof kernel - 1);
    } else if (level <= PL_LOG_INFO) {
        snprintf(text, sizeof text, "%s %s: %s", names[level], subsystem, line);
        add_line(&r->log, text);
    }
    pthread_mutex_unlock(&r->lock);
}

static pl_status fail_io(const struct self_report *r, pl_err *err)
{
    return pl_fail(err, PL_E_IO, "--report %s: %s", r->path, strerror(errno));
}

pl_status report_begin(struct self_report *r, const char *path, pl_err *err)
{
    *r = (struct self_report){ .path = path };
    r->file = strcmp(path, "-") ? fopen(path, "w") : stdout;
    if (!r->file) return fail_io(r, err);
    pthread_mutex_init(&r->lock, NULL);
    pl_set_log(take_log, r, PL_LOG_DEBUG);
    return PL_OK;
}

void report_add_check(struct self_report *r, const char *what, bool is_ok, const char *text)
{
    strbuf_addf(&r->checks, "%-7s %-28s %s\n", is_ok ? "ok" : "FAILED", what, text);
}

/* ---- parts ---------------------------------------------------------------------------------- */

static void add_machine(struct strbuf *to, const struct self_report *r)
{
    struct utsname os;
    strbuf_addf(to, "paceline %s, %s", PL_VERSION, r->machine.cpu_name);
    if (!uname(&os)) strbuf_addf(to, ", %s %s %s", os.sysname, os.release, os.machine);
    strbuf_addf(to, "\ncomputing: %s, %u threads\nmemory: %.1f GiB, %.1f available\n",
                r->is_measured ? r->machine.isa : "not known", r->machine.n_threads,
                (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 1073741824.0,
                (double)memory_available() / 1073741824.0);
}

/* What plan takes for this GPU: machines whose title begins with its name. */
static void add_constants(struct strbuf *to, const struct self_report *r)
{
    const size_t n = strlen(r->machine.isa);
    for (size_t i = 0; i < n_machines; i++) {
        const struct machine *m = &machines[i];
        if (strncmp(m->title, r->machine.isa, n) || m->title[n] != ',') continue;
        strbuf_addf(to, "| %s, as plan has it | %.0f | %.1f | - | %.1f a layer |\n", m->name,
                    m->macs_per_s * 1e-9, m->read_bytes_per_s * 1e-9, m->layer_s * 1e6);
    }
}

static void add_us(struct strbuf *to, double s)
{
    if (s > 0) strbuf_addf(to, " %.2f |", s * 1e6);
    else strbuf_add_str(to, " - |");
}

static void add_rates(struct strbuf *to, const struct self_report *r)
{
    strbuf_add_str(to, "| | G multiply-adds/s | GB/s read | hand-over us | barrier us |\n"
                       "|---|---|---|---|---|\n");
    if (!r->is_measured) return;
    strbuf_addf(to, "| measured | %.1f | %.1f |", r->machine.macs_per_s * 1e-9,
                r->machine.read_bytes_per_s * 1e-9);
    add_us(to, r->machine.hand_over_s);
    add_us(to, r->machine.barrier_s);
    strbuf_add_str(to, "\n");
    if (r->machine.matrix_macs_per_s > 0)
        strbuf_addf(to, "| the processor's matrix unit | %.1f | - | - | - |\n",
                    r->machine.matrix_macs_per_s * 1e-9);
    add_constants(to, r);
}

/* "name constants threads=128 width=32 static_bytes=0" as a row. */
static void add_kernel(struct strbuf *to, const char *line, size_t n)
{
    char text[160], name[128];
    unsigned threads, width, static_bytes;
    snprintf(text, sizeof text, "%.*s", (int)n, line);
    const char *figures = strstr(text, " threads=");
    if (!figures || sscanf(figures, " threads=%u width=%u static_bytes=%u", &threads, &width,
                           &static_bytes) != 3 || !width)
        return;
    snprintf(name, sizeof name, "%.*s", (int)(figures - text), text);
    strbuf_addf(to, "| %s | %u | %u | %u | %u |\n", name, threads, width, threads / width,
                static_bytes);
}

static void add_kernels(struct strbuf *to, const struct self_report *r)
{
    if (!r->kernels.n) {
        strbuf_add_str(to, "this backend compiles none\n");
        return;
    }
    strbuf_add_str(to, "| kernel | threads at most | width | simdgroups | static bytes |\n"
                       "|---|---|---|---|---|\n");
    for (const char *at = r->kernels.bytes, *end; *at; at = end + 1) {
        end = at + strcspn(at, "\n");
        add_kernel(to, at, (size_t)(end - at));
    }
}

static void add_lines(struct strbuf *to, const struct strbuf *lines, const char *none)
{
    strbuf_addf(to, "```\n%s```\n", lines->n ? lines->bytes : none);
}

static void compose(struct strbuf *to, const struct self_report *r)
{
    strbuf_add_str(to, "# paceline self-test report\n\n");
    add_machine(to, r);
    if (*r->failure) strbuf_addf(to, "\n**Not finished:** %s\n", r->failure);
    strbuf_add_str(to, "\n## Rates\n\n");
    add_rates(to, r);
    strbuf_add_str(to, "\n## Checks\n\n");
    add_lines(to, &r->checks, "none was run\n");
    strbuf_add_str(to, "\n## Compiler\n\n");
    add_lines(to, &r->compiler, "it said nothing\n");
    strbuf_add_str(to, "\n## Kernels\n\n");
    add_kernels(to, r);
    strbuf_add_str(to, "\n## Bench\n");
    strbuf_add_str(to, r->bench.n ? r->bench.bytes : "\nnone was run\n");
    strbuf_add_str(to, "\n## Log\n\n");
    add_lines(to, &r->log, "nothing\n");
}

/* ---- writing -------------------------------------------------------------------------------- */

static pl_status write_text(const struct self_report *r, const struct strbuf *text, pl_err *err)
{
    bool is_written = fwrite(text->bytes, 1, text->n, r->file) == text->n;
    is_written &= !(r->file == stdout ? fflush(stdout) : fclose(r->file));
    return is_written ? PL_OK : fail_io(r, err);
}

pl_status report_end(struct self_report *r, pl_err *err)
{
    struct strbuf whole = { 0 }, cleaned = { 0 };
    struct owner owner;
    cli_log_to_stderr(false);
    owner_read(&owner);
    compose(&whole, r);
    if (!whole.failed) clean_add(&cleaned, &owner, whole.bytes);
    const pl_status st = whole.failed || cleaned.failed
        ? pl_fail(err, PL_E_MEMORY, "no memory for the report") : write_text(r, &cleaned, err);
    struct strbuf *all[] = { &whole, &cleaned, &r->checks, &r->bench, &r->compiler, &r->kernels,
                             &r->log };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) strbuf_free(all[i]);
    pthread_mutex_destroy(&r->lock);
    return st;
}
