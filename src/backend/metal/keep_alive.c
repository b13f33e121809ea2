#include "backend/metal/keep_alive.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/cond.h"

struct keep_alive {
    uint64_t keep_ns, period_ns;
    void (*ask)(void *arg);
    void *arg;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t used_ns, asked_ns;     /* under lock, and so down to is_closing */
    bool is_asleep, is_closing;
    bool has_lock, has_changed, has_thread;
};

/* With the lock held: where nobody did for a period. */
static void ask(struct keep_alive *k, uint64_t now_ns)
{
    if (k->asked_ns && now_ns - k->asked_ns < k->period_ns) return;
    k->asked_ns = now_ns;
    k->ask(k->arg);
}

static void *run(void *arg)
{
    struct keep_alive *k = arg;
    pthread_mutex_lock(&k->lock);
    while (!k->is_closing) {
        const uint64_t now_ns = clock_ns();
        k->is_asleep = now_ns - k->used_ns >= k->keep_ns;
        if (k->is_asleep) {
            pthread_cond_wait(&k->changed, &k->lock);
            continue;
        }
        ask(k, now_ns);
        cond_wait_until(&k->changed, &k->lock, k->asked_ns + k->period_ns);
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

pl_status keep_alive_open(struct keep_alive **out, uint64_t keep_ns, uint64_t period_ns,
                          void (*ask_fn)(void *arg), void *arg, pl_err *err)
{
    struct keep_alive *k = *out = calloc(1, sizeof *k);
    if (!k) return pl_fail(err, PL_E_MEMORY, "no memory to keep the GPU's memory with");
    k->keep_ns = keep_ns;
    k->period_ns = period_ns;
    k->ask = ask_fn;
    k->arg = arg;
    k->used_ns = clock_ns();
    k->has_lock = !pthread_mutex_init(&k->lock, NULL);
    k->has_changed = k->has_lock && !cond_init(&k->changed);
    if (k->has_changed && (!keep_ns || !pthread_create(&k->thread, NULL, run, k))) {
        k->has_thread = keep_ns != 0;
        return PL_OK;
    }
    keep_alive_close(k);
    *out = NULL;
    return pl_fail(err, PL_E_MEMORY, "cannot start the thread that keeps the GPU's memory");
}

void keep_alive_use(struct keep_alive *k)
{
    pthread_mutex_lock(&k->lock);
    k->used_ns = clock_ns();
    ask(k, k->used_ns);
    if (k->is_asleep) pthread_cond_signal(&k->changed);
    k->is_asleep = false;
    pthread_mutex_unlock(&k->lock);
}

bool keep_alive_is_asleep(struct keep_alive *k)
{
    pthread_mutex_lock(&k->lock);
    const bool is_asleep = k->is_asleep;
    pthread_mutex_unlock(&k->lock);
    return is_asleep;
}

void keep_alive_close(struct keep_alive *k)
{
    if (!k) return;
    if (k->has_thread) {
        pthread_mutex_lock(&k->lock);
        k->is_closing = true;
        pthread_cond_signal(&k->changed);
        pthread_mutex_unlock(&k->lock);
        pthread_join(k->thread, NULL);
    }
    if (k->has_changed) pthread_cond_destroy(&k->changed);
    if (k->has_lock) pthread_mutex_destroy(&k->lock);
    free(k);
}
