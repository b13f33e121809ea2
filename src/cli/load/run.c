#include "cli/load/run.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "cli/load/arrivals.h"
#include "cli/load/transfer.h"

enum { TICK_MS = 100, FAILURE_PAUSE_MS = 100, PROGRESS_MS = 200, SPARE_FILES = 64 };

#define MS ((uint64_t)1000000)

struct client {                     /* sends one request after the other */
    struct load_transfer transfer;
    uint64_t ready_ns;              /* of the closed loop: not before that */
    bool is_open, is_running;
};

struct phase {                      /* warm-up, or the counted run */
    const struct load_options *o;
    struct load_run *run;
    const volatile sig_atomic_t *stop;
    load_progress_fn *progress;
    void *arg;
    pl_err *err;

    CURLM *multi;
    struct client *clients;         /* (n_clients) */
    uint32_t n_clients, n_running;

    bool is_warmup;
    uint64_t n_requests;            /* 0: no bound */
    uint64_t begin_ns, end_ns;      /* end_ns 0: no bound */
    uint64_t first_number, n_begun, n_done, n_failed, n_chunks;
    uint64_t next_progress_ns;
    struct load_arrivals arrivals;
    uint64_t arrival_ns;            /* of the next request */
    bool has_failed;                /* our own failure: *err says why */
};

/* ---- records -------------------------------------------------------------------------------- */

static pl_status keep_record(struct phase *p, struct load_record *record)
{
    struct load_run *run = p->run;
    if (run->n_records == run->capacity) {
        const size_t capacity = run->capacity ? 2 * run->capacity : 256;
        struct load_record *records = realloc(run->records, capacity * sizeof *records);
        if (!records) {
            load_record_free(record);
            return pl_fail(p->err, PL_E_MEMORY, "out of memory after %zu requests", run->n_records);
        }
        run->records = records;
        run->capacity = capacity;
    }
    run->records[run->n_records++] = *record;
    *record = (struct load_record){ 0 };
    return PL_OK;
}

void load_run_free(struct load_run *run)
{
    for (size_t i = 0; i < run->n_records; i++) load_record_free(&run->records[i]);
    free(run->records);
    *run = (struct load_run){ 0 };
}

static void take_record(struct phase *p, struct load_record *record)
{
    const bool is_failed = record->outcome != LOAD_OK && record->outcome != LOAD_DROPPED;
    p->n_done += record->outcome != LOAD_DROPPED;
    p->n_failed += is_failed;
    if (!p->is_warmup) {
        p->has_failed |= keep_record(p, record) != PL_OK;
        return;
    }
    p->run->n_warmup++;
    p->run->n_warmup_failed += is_failed;
    load_record_free(record);
}

/* ---- beginning and ending requests ---------------------------------------------------------- */

static void begin_request(struct phase *p, struct client *c, uint64_t scheduled_ns)
{
    const uint64_t number = p->first_number + p->n_begun;
    if (load_transfer_prepare(&c->transfer, p->o, number, scheduled_ns, p->err)) {
        p->has_failed = true;
        return;
    }
    if (curl_multi_add_handle(p->multi, c->transfer.easy)) {
        pl_fail(p->err, PL_E_MEMORY, "libcurl takes no more than %u requests", p->n_running);
        p->has_failed = true;
        return;
    }
    c->is_running = true;
    p->n_running++;
    p->n_begun++;
}

static void end_request(struct phase *p, struct client *c, CURLcode code)
{
    struct load_record *record = &c->transfer.record;
    curl_multi_remove_handle(p->multi, c->transfer.easy);
    load_transfer_end(&c->transfer, code);
    p->n_chunks += record->n_chunks;
    c->ready_ns = record->outcome == LOAD_OK ? 0 : record->end_ns + FAILURE_PAUSE_MS * MS;
    c->is_running = false;
    p->n_running--;
    take_record(p, record);
}

static void drop_requests(struct phase *p)
{
    for (uint32_t i = 0; i < p->n_clients; i++) {
        struct client *c = &p->clients[i];
        if (!c->is_running) continue;
        c->transfer.record.outcome = LOAD_DROPPED;
        end_request(p, c, CURLE_OK);
    }
}

static void collect_ended(struct phase *p)
{
    int n_left;
    for (CURLMsg *m; (m = curl_multi_info_read(p->multi, &n_left));) {
        if (m->msg != CURLMSG_DONE) continue;
        const CURLcode code = m->data.result;       /* gone once the handle is removed */
        char *private = NULL;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
        end_request(p, (struct client *)(void *)private, code);
    }
}

static struct client *free_client(struct phase *p, uint64_t now_ns)
{
    for (uint32_t i = 0; i < p->n_clients; i++) {
        struct client *c = &p->clients[i];
        if (c->is_running || (!load_is_open(p->o) && c->ready_ns > now_ns)) continue;
        if (!c->is_open) {
            if (load_transfer_open(&c->transfer, p->o, p->err)) {
                p->has_failed = true;
                return NULL;
            }
            c->is_open = true;
        }
        return c;
    }
    return NULL;
}

/* Whether another request is to begin, now or later. In the open loop those that arrived in time
 * but had to wait are still due: leaving them out would leave out the slowest. */
static bool has_more(const struct phase *p, uint64_t now_ns)
{
    if (p->has_failed || *p->stop) return false;
    if (p->n_requests && p->n_begun == p->n_requests) return false;
    return !p->end_ns || (load_is_open(p->o) ? p->arrival_ns : now_ns) < p->end_ns;
}

static void begin_due(struct phase *p)
{
    const bool is_open = load_is_open(p->o);
    struct client *c;
    for (uint64_t now = clock_ns(); has_more(p, now); now = clock_ns()) {
        if (is_open && p->arrival_ns > now) return;
        if (!(c = free_client(p, now))) return;
        begin_request(p, c, is_open ? p->arrival_ns : 0);
        if (is_open) p->arrival_ns = p->begin_ns + load_arrivals_next_ns(&p->arrivals);
    }
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* When something will be due that no socket tells; rounded down, so that the last millisecond
 * before an arrival is spent looking and not oversleeping. */
static int wait_ms(const struct phase *p)
{
    const uint64_t now = clock_ns();
    uint64_t due = now + TICK_MS * MS;
    if (!has_more(p, now)) return TICK_MS;
    if (load_is_open(p->o)) {
        if (p->n_running < p->n_clients && p->arrival_ns < due) due = p->arrival_ns;
    } else {
        for (uint32_t i = 0; i < p->n_clients; i++)
            if (!p->clients[i].is_running && p->clients[i].ready_ns < due)
                due = p->clients[i].ready_ns;
    }
    return due > now ? (int)((due - now) / MS) : 0;
}

static void tell(struct phase *p, bool is_last)
{
    const uint64_t now = clock_ns();
    if (!p->progress || (!is_last && now < p->next_progress_ns)) return;
    p->next_progress_ns = now + PROGRESS_MS * MS;
    struct load_progress told = {
        .is_warmup = p->is_warmup, .is_last = is_last, .n_done = p->n_done,
        .n_failed = p->n_failed, .n_requests = p->n_requests, .n_chunks = p->n_chunks,
        .n_running = p->n_running, .elapsed_s = (double)(now - p->begin_ns) * 1e-9,
        .duration_s = p->end_ns ? p->o->duration_s : 0,
    };
    for (uint32_t i = 0; i < p->n_clients; i++)
        if (p->clients[i].is_running) told.n_chunks += p->clients[i].transfer.record.n_chunks;
    p->progress(p->arg, &told);
}

/* ---- the run -------------------------------------------------------------------------------- */

static void run_phase(struct phase *p)
{
    int n_active;
    p->begin_ns = clock_ns();
    p->end_ns = !p->is_warmup && p->o->duration_s > 0
                    ? p->begin_ns + (uint64_t)(p->o->duration_s * 1e9) : 0;
    if (load_is_open(p->o)) p->arrival_ns = p->begin_ns + load_arrivals_next_ns(&p->arrivals);
    for (;;) {
        begin_due(p);
        curl_multi_perform(p->multi, &n_active);
        collect_ended(p);
        tell(p, false);
        if (*p->stop || p->has_failed) break;
        if (!p->n_running && !has_more(p, clock_ns())) break;
        curl_multi_poll(p->multi, NULL, 0, wait_ms(p), NULL);
    }
    drop_requests(p);
    tell(p, true);
}

/* As many sockets as there are clients; the usual soft limit is 1024, or 256 on macOS. */
static pl_status raise_file_limit(uint32_t n_clients, pl_err *err)
{
    struct rlimit limit;
    const rlim_t wanted = (rlim_t)n_clients + SPARE_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted) return PL_OK;
    const rlim_t had = limit.rlim_cur;
    limit.rlim_cur = wanted;
    if (wanted <= limit.rlim_max && !setrlimit(RLIMIT_NOFILE, &limit)) return PL_OK;
    return pl_fail(err, PL_E_PARAM, "%u requests at a time need %llu open files, %llu are allowed: "
                   "ask for fewer, or raise the limit (ulimit -n)", n_clients,
                   (unsigned long long)wanted, (unsigned long long)had);
}

static pl_status open_phase(struct phase *p)
{
    const struct load_options *o = p->o;
    p->n_clients = load_is_open(o) ? o->max_in_flight : o->concurrency;
    if (o->n_requests && !o->n_warmup && p->n_clients > o->n_requests)
        p->n_clients = (uint32_t)o->n_requests;
    const pl_status st = raise_file_limit(p->n_clients, p->err);
    if (st) return st;
    p->clients = calloc(p->n_clients, sizeof *p->clients);
    p->multi = curl_multi_init();
    if (!p->clients || !p->multi) return pl_fail(p->err, PL_E_MEMORY, "out of memory");
    curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long)p->n_clients);
    return PL_OK;
}

static void close_phase(struct phase *p)
{
    for (uint32_t i = 0; p->clients && i < p->n_clients; i++)
        if (p->clients[i].is_open) load_transfer_close(&p->clients[i].transfer);
    if (p->multi) curl_multi_cleanup(p->multi);
    free(p->clients);
}

pl_status load_run(struct load_run *out, const struct load_options *o,
                   const volatile sig_atomic_t *stop, load_progress_fn *progress, void *arg,
                   pl_err *err)
{
    struct phase p = { .o = o, .run = out, .stop = stop, .progress = progress, .arg = arg,
                       .err = err };
    *out = (struct load_run){ 0 };
    const pl_status st = open_phase(&p);
    if (!st) {
        load_arrivals_begin(&p.arrivals, o->rate, o->seed);
        if (o->n_warmup) {
            p.is_warmup = true;
            p.n_requests = o->n_warmup;
            run_phase(&p);
            load_arrivals_begin(&p.arrivals, o->rate, o->seed);
        }
        p.is_warmup = false;
        p.first_number += p.n_begun;
        p.n_begun = p.n_done = p.n_failed = p.n_chunks = 0;
        p.n_requests = o->n_requests;
        if (!*stop && !p.has_failed) run_phase(&p);
        out->begin_ns = p.begin_ns;
        out->was_interrupted = *stop;
    }
    close_phase(&p);
    return st ? st : p.has_failed ? err->status : PL_OK;
}
