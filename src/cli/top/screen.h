/* The terminal, by ncurses: shows frames and reads keys. One at a time in a process. */
#ifndef CLI_TOP_SCREEN_H
#define CLI_TOP_SCREEN_H

#include "base/status.h"
#include "cli/top/frame.h"

enum top_key {
    TOP_KEY_NONE,
    TOP_KEY_QUIT,
    TOP_KEY_NEXT,
    TOP_KEY_BACK,
    TOP_KEY_PAUSE,
    TOP_KEY_RESIZE,
};

/* Takes the terminal over until top_screen_close. */
pl_status top_screen_open(bool has_colours, pl_err *err);
void top_screen_close(void);

/* Clears the frame and gives it the terminal's size, as it is now. */
void top_screen_begin(struct frame *f);
void top_screen_show(const struct frame *f);

/* The next key that was pressed; never waits. */
enum top_key top_screen_key(void);

#endif
