#include "base/worker.h"

#include <string.h>

static struct worker_job *next_job(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->first && !w->is_closing) pthread_cond_wait(&w->changed, &w->lock);
    struct worker_job *job = w->first;
    if (job) w->first = job->next;
    pthread_mutex_unlock(&w->lock);
    return job;
}

static void *work(void *arg)
{
    struct worker_job *job;
    while ((job = next_job(arg))) job->run(job);
    return NULL;
}

static int start_thread(struct worker *w, size_t stack_bytes)
{
    pthread_attr_t attr;
    int code = pthread_attr_init(&attr);
    if (code) return code;
    code = pthread_attr_setstacksize(&attr, stack_bytes);
    if (!code) code = pthread_create(&w->thread, &attr, work, w);
    pthread_attr_destroy(&attr);
    return code;
}

pl_status worker_open(struct worker *w, size_t stack_bytes, pl_err *err)
{
    *w = (struct worker){ 0 };
    if (pthread_mutex_init(&w->lock, NULL)) return pl_fail(err, PL_E_MEMORY, "cannot make a lock");
    if (pthread_cond_init(&w->changed, NULL)) {
        pthread_mutex_destroy(&w->lock);
        return pl_fail(err, PL_E_MEMORY, "cannot make a condition");
    }
    const int code = start_thread(w, stack_bytes);
    w->is_open = !code;
    if (!code) return PL_OK;
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    return pl_fail(err, PL_E_MEMORY, "cannot start a thread: %s", strerror(code));
}

void worker_add(struct worker *w, struct worker_job *job)
{
    pthread_mutex_lock(&w->lock);
    job->next = NULL;
    if (w->first) w->last->next = job;
    else w->first = job;
    w->last = job;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

void worker_close(struct worker *w)
{
    if (!w->is_open) return;
    pthread_mutex_lock(&w->lock);
    w->is_closing = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    *w = (struct worker){ 0 };
}
