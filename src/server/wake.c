#include "server/wake.h"

bool wake_open(struct wake *w, struct MHD_Connection *connection)
{
    *w = (struct wake){ .connection = connection };
    return !pthread_mutex_init(&w->lock, NULL);
}

void wake_close(struct wake *w)
{
    pthread_mutex_lock(&w->lock);
    pthread_mutex_unlock(&w->lock);
    pthread_mutex_destroy(&w->lock);
}

static void wake_locked(struct wake *w)
{
    w->has_news = true;
    if (w->is_suspended && !w->is_elsewhere) {
        w->is_suspended = false;
        MHD_resume_connection(w->connection);
    }
}

void wake_up(struct wake *w)
{
    pthread_mutex_lock(&w->lock);
    wake_locked(w);
    pthread_mutex_unlock(&w->lock);
}

void wake_ping(struct wake *w)
{
    pthread_mutex_lock(&w->lock);
    w->is_ping_due = true;
    wake_locked(w);
    pthread_mutex_unlock(&w->lock);
}

bool wake_suspend(struct wake *w)
{
    pthread_mutex_lock(&w->lock);
    const bool is_idle = !w->has_news && !w->is_gone;
    if (is_idle) {
        w->is_suspended = true;
        MHD_suspend_connection(w->connection);
    }
    pthread_mutex_unlock(&w->lock);
    return is_idle;
}

bool wake_take_news(struct wake *w, bool *is_ping_due)
{
    pthread_mutex_lock(&w->lock);
    const bool is_gone = w->is_gone;
    w->has_news = false;
    *is_ping_due = w->is_ping_due;
    w->is_ping_due = false;
    pthread_mutex_unlock(&w->lock);
    return is_gone;
}

bool wake_mark_gone(struct wake *w)
{
    pthread_mutex_lock(&w->lock);
    const bool is_new = !w->is_gone;
    w->is_gone = true;
    pthread_mutex_unlock(&w->lock);
    return is_new;
}

bool wake_is_gone(struct wake *w)
{
    pthread_mutex_lock(&w->lock);
    const bool is_gone = w->is_gone;
    pthread_mutex_unlock(&w->lock);
    return is_gone;
}

void wake_hand_over(struct wake *w)
{
    pthread_mutex_lock(&w->lock);
    w->is_elsewhere = w->is_suspended = true;
    MHD_suspend_connection(w->connection);
    pthread_mutex_unlock(&w->lock);
}

void wake_give_back(struct wake *w)
{
    pthread_mutex_lock(&w->lock);
    w->is_elsewhere = false;
    wake_locked(w);
    pthread_mutex_unlock(&w->lock);
}
