/* What other threads bring to the engine thread, and objects that go back to the pool. */
#ifndef ENGINE_ENGINE_WAKE_H
#define ENGINE_ENGINE_WAKE_H

#include "engine/engine.h"

/* Any thread: there is something to look at. */
void engine_wake(struct pl_engine *e);

/* Any thread: a stream's flags were set. */
void engine_cancel_wake(struct pl_engine *e);

/* The consumer's thread, before it lets go of the stream: if it waits, its place in the queue is
 * another's at once, not when the step that runs has ended. */
void engine_give_place(struct pl_engine *e, struct pl_stream *s);

/* Puts an object that both sides are done with back into the pool. */
void engine_free_stream(struct pl_engine *e, struct pl_stream *s);

/* With the lock held: gives the stream's place in the queue up, if it still has it. */
void engine_leave_queue(struct pl_engine *e, struct pl_stream *s);

#endif
