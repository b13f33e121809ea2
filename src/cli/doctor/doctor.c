/* What is asked on every system. */
#include "cli/doctor/doctor.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/exposure.h"
#include "cli/plan/subject.h"

void doctor_find(struct doctor *d, const char *name, enum finding_state state, const char *text,
                 const char *mend, ...)
{
    if (d->n_findings == MAX_FINDINGS) return;
    struct finding *f = &d->finding[d->n_findings++];
    va_list args;
    *f = (struct finding){ .name = name, .state = state };
    va_start(args, mend);
    vsnprintf(f->text, sizeof f->text, text, args);
    va_end(args);
    if (mend) snprintf(f->mend, sizeof f->mend, "%s", mend);
}

void doctor_ask_limits(struct doctor *d)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files)) return;
    const bool is_enough = files.rlim_cur >= 2048;      /* 1024 connections and what else is open */
    doctor_find(d, "open files", is_enough ? FINDING_FINE : FINDING_WRONG, "%llu may be open",
                is_enough ? NULL : "1024 connections want 2048: ulimit -n 65536, or LimitNOFILE in "
                                   "the unit", (unsigned long long)files.rlim_cur);
}

void doctor_ask_gpu(struct doctor *d, const char *backend)
{
    char name[64];
    pl_err err;
    if (pl_backend_reach(backend, name, &err))
        doctor_find(d, "GPU", FINDING_WRONG, "%s",
                    "the processor would compute: run paceline self-test --backend metal in a "
                    "terminal of this Mac, and as the user of the service", err.text);
    else if (*name)
        doctor_find(d, "GPU", FINDING_FINE, "%s is reached", NULL, name);
}

/* "[::1]" as URLs have it, a name, or an address of either protocol. NULL: none of this
 * machine's. */
static struct addrinfo *address_of(const char *host, uint16_t port)
{
    char service[8], bare[256];
    const struct addrinfo hints =
        { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *found;
    const size_t n = strlen(host);
    const bool has_brackets = n > 2 && host[0] == '[' && host[n - 1] == ']';
    snprintf(bare, sizeof bare, "%.*s", (int)(has_brackets ? n - 2 : n), host + has_brackets);
    snprintf(service, sizeof service, "%u", port);
    return getaddrinfo(bare, service, &hints, &found) ? NULL : found;
}

void doctor_ask_port(struct doctor *d, const char *host, uint16_t port)
{
    const int one = 1;
    struct addrinfo *at = address_of(host, port);
    const int fd = at ? socket(at->ai_family, SOCK_STREAM, 0) : -1;
    if (fd < 0) {
        if (at) freeaddrinfo(at);
        doctor_find(d, "port", FINDING_WRONG,
                    "%s is no IPv4 address, IPv6 address or name of this machine",
                    "name one with --host, as 127.0.0.1, ::1 or 0.0.0.0", host);
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (!bind(fd, at->ai_addr, at->ai_addrlen))
        doctor_find(d, "port", FINDING_FINE, "%s:%u is free", NULL, host, port);
    else if (errno == EADDRNOTAVAIL)
        doctor_find(d, "port", FINDING_WRONG,
                    "%s is no IPv4 address, IPv6 address or name of this machine",
                    "name one with --host, as 127.0.0.1, ::1 or 0.0.0.0", host);
    else
        doctor_find(d, "port", FINDING_WRONG, "%s:%u: %s",
                    "a server may run already; name another port with --port", host, port,
                    strerror(errno));
    close(fd);
    freeaddrinfo(at);
    if (!exposure_is_local(host))
        doctor_find(d, "reach", FINDING_NOTE, "other machines reach a server on %s",
                    "have it ask for a key: --api-key-file FILE", host);
}

/* ---- model ---------------------------------------------------------------------------------- */

static void wait_for_end(pl_stream *stream, uint64_t until_ns)
{
    for (pl_event event = { .kind = PL_EVENT_TOKEN }; event.kind != PL_EVENT_END;) {
        if (clock_ns() > until_ns) pl_stream_cancel(stream);
        if (!pl_stream_next(stream, &event)) {
            event.kind = PL_EVENT_TOKEN;
            pl_stream_wait(stream, 50);
        }
    }
}

/* Tokens a second of one stream, decoded for a second; 0: it failed. */
static double decode_rate(pl_engine *engine, pl_err *err)
{
    const int32_t prompt[] = { 1, 2, 3, 4 };
    pl_request request = { .tokens = prompt, .n_tokens = 4, .max_tokens = 1000,
                           .sampling = pl_sampling_default(), .ignore_eos = true };
    pl_stream *stream;
    pl_stats stats;
    request.sampling.temperature = 0;
    if (pl_submit(engine, &request, &stream, err)) return 0;
    wait_for_end(stream, clock_ns() + 1000000000u);
    pl_stream_close(stream);
    pl_stats_read(engine, &stats);
    return stats.decode_step_ns
               ? (double)stats.n_decode_step_tokens * 1e9 / (double)stats.decode_step_ns : 0;
}

static void compare_speed(struct doctor *d, const pl_plan *plan, double tok_s,
                          const pl_machine *limits)
{
    struct plan_subject s = { .load = { .n_streams = 1 } };
    plan_subject_of_plan(&s, plan);
    plan_subject_limits(&s, estimate_backend_of(plan->backend), limits->cpu_name,
                        "limits measured before", limits->macs_per_s, limits->read_bytes_per_s);
    const double expected = plan_step_of(&s, &s.load, 32).tok_s;
    const bool is_fine = tok_s >= 0.7 * expected;
    doctor_find(d, "speed", is_fine ? FINDING_FINE : FINDING_WRONG,
                "one stream decodes %.1f tok/s; by %.0f GMAC/s and %.1f GB/s, measured before, "
                "%.1f are modelled",
                is_fine ? NULL : "something else uses the machine, or it is slowed "
                "down by heat or a power limit: look at the other findings and at top",
                tok_s, limits->macs_per_s * 1e-9, limits->read_bytes_per_s * 1e-9, expected);
}

void doctor_ask_model(struct doctor *d, const pl_params *given)
{
    pl_params params = *given;
    pl_machine limits;
    pl_engine *engine = NULL;
    pl_err err = { 0 };

    params.n_streams = 1;
    params.default_ctx_tokens = 1024;
    params.step_tokens = 64;
    char gpu[64];
    if (pl_backend_reach(params.backend, gpu, &err)) params.backend = "cpu";    /* as serve does */
    pl_status st = pl_machine_measure(&limits, params.backend, params.n_threads, &err);
    if (!st) st = pl_open(&engine, &params, &err);
    if (st) {
        doctor_find(d, "model", FINDING_WRONG, "%s",
                    st == PL_E_MEMORY ? "paceline plan says what would fit"
                                      : "fetch the file again, or choose another", err.text);
        return;
    }
    const pl_plan *plan = pl_engine_plan(engine);
    doctor_find(d, "model", FINDING_FINE, "%s (%s, %s) opens; %.2f B weights", NULL,
                plan->model_name, plan->architecture, plan->quantisation,
                (double)plan->n_parameters * 1e-9);
    const double tok_s = decode_rate(engine, &err);
    if (tok_s > 0) compare_speed(d, plan, tok_s, &limits);
    else doctor_find(d, "speed", FINDING_WRONG, "no token came: %s", "run it with paceline run",
                     err.text);
    pl_close(engine);
}
