/* Waking and suspending one connection. A connection whose request has nothing to do is suspended
 * and costs nothing; whoever has news for it wakes it. A wake-up must not be lost between "nothing
 * to do" and the suspension, so both sides hold the lock:
 *     handler:  lock; if (!has_news) suspend;                unlock
 *     wakers:   lock; has_news = true; if suspended resume;  unlock
 * Nothing else is done under it, in particular no call into the engine, whose wake-up runs under
 * the stream's own lock. While another thread works on the request only that thread may resume:
 * events of a stream that was just submitted must not give the connection back before all of the
 * request is.
 *
 * Threads: the handler is libmicrohttpd's thread, wakers are any. This knows libmicrohttpd and
 * nothing else of the server. */
#ifndef SERVER_WAKE_H
#define SERVER_WAKE_H

#include <stdbool.h>

#include <microhttpd.h>
#include <pthread.h>

struct wake {
    struct MHD_Connection *connection;
    pthread_mutex_t lock;           /* guards what follows */
    bool has_news, is_suspended;
    bool is_elsewhere;              /* another thread works on the request */
    bool is_gone;                   /* the client left */
    bool is_ping_due;
};

bool wake_open(struct wake *w, struct MHD_Connection *connection);  /* false: no lock to be had */
void wake_close(struct wake *w);    /* nobody wakes any more; waits for who woke last to let go */

void wake_up(struct wake *w);
void wake_ping(struct wake *w);     /* the news is that a ping is due */

/* False: there are news, look again. A client that left is news until it is gone. */
bool wake_suspend(struct wake *w);

/* True: the client left. *is_ping_due is told once. */
bool wake_take_news(struct wake *w, bool *is_ping_due);

/* True the first time. Wakes nobody: there may be something to do first. */
bool wake_mark_gone(struct wake *w);
bool wake_is_gone(struct wake *w);

/* Suspends while another thread works on the request. wake_give_back is that thread's last access:
 * the request may be gone when it returns. */
void wake_hand_over(struct wake *w);
void wake_give_back(struct wake *w);

#endif
