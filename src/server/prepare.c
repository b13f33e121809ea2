#include "server/prepare.h"

#include <string.h>

#include "base/status.h"
#include "server/routes.h"

static struct exchange *next_job(struct preparer *p)
{
    pthread_mutex_lock(&p->lock);
    while (!p->first && !p->is_closing) pthread_cond_wait(&p->changed, &p->lock);
    struct exchange *x = p->first;
    if (x) p->first = x->next_job;
    pthread_mutex_unlock(&p->lock);
    return x;
}

static void *prepare(void *arg)
{
    struct server *s = arg;
    struct exchange *x;
    while ((x = next_job(&s->preparer))) {
        x->result = x->route->run(x);
        wake_give_back(&x->wake);   /* from here on x may be gone */
    }
    return NULL;
}

bool preparer_take(struct exchange *x)
{
    struct preparer *p = &x->server->preparer;
    pthread_mutex_lock(&p->lock);
    const bool is_open = !p->is_closing;
    if (is_open) {
        wake_hand_over(&x->wake);
        x->next_job = NULL;
        if (p->first) p->last->next_job = x;
        else p->first = x;
        p->last = x;
        pthread_cond_signal(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return is_open;
}

pl_status preparer_open(struct server *s, pl_err *err)
{
    struct preparer *p = &s->preparer;
    if (pthread_mutex_init(&p->lock, NULL)) return pl_fail(err, PL_E_MEMORY, "cannot make a lock");
    if (pthread_cond_init(&p->changed, NULL)) {
        pthread_mutex_destroy(&p->lock);
        return pl_fail(err, PL_E_MEMORY, "cannot make a condition");
    }
    p->is_open = true;
    for (; p->n_threads < N_PREPARING_THREADS; p->n_threads++) {
        const int code = pthread_create(&p->thread[p->n_threads], NULL, prepare, s);
        if (code) return pl_fail(err, PL_E_MEMORY, "cannot start a thread: %s", strerror(code));
    }
    return PL_OK;
}

void preparer_stop(struct server *s)
{
    struct preparer *p = &s->preparer;
    if (!p->is_open) return;
    pthread_mutex_lock(&p->lock);
    p->is_closing = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < p->n_threads; i++) pthread_join(p->thread[i], NULL);
    p->n_threads = 0;
}

void preparer_close(struct server *s)
{
    struct preparer *p = &s->preparer;
    if (!p->is_open) return;
    preparer_stop(s);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    p->is_open = false;
}
