#include "cli/top/screen.h"

#include <langinfo.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static SCREEN *screen;
static bool is_coloured;

enum { PAIR_GOOD = 1, PAIR_BAD };

pl_status top_screen_open(bool has_colours, pl_err *err)
{
    const char *term = getenv("TERM");
    screen = newterm(NULL, stdout, stdin);
    if (!screen)
        return pl_fail(err, PL_E_PARAM, "the terminal \"%.40s\" (TERM) is not known here; --once "
                       "needs none", term ? term : "");
    set_term(screen);
    cbreak();
    noecho();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    set_escdelay(25);
    curs_set(0);
    is_coloured = has_colours && start_color() == OK;
    if (is_coloured) {
        use_default_colors();
        init_pair(PAIR_GOOD, COLOR_GREEN, -1);
        init_pair(PAIR_BAD, COLOR_RED, -1);
    }
    return PL_OK;
}

void top_screen_close(void)
{
    if (!screen) return;
    endwin();
    delscreen(screen);
    screen = NULL;
}

/* The terminal is asked, as a signal of its new size may never come: into a container, say. */
static void follow_size(void)
{
    struct winsize size;
    if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && is_term_resized(size.ws_row, size.ws_col))
        resizeterm(size.ws_row, size.ws_col);
}

void top_screen_begin(struct frame *f)
{
    int rows, columns;
    follow_size();
    getmaxyx(stdscr, rows, columns);
    f->n = 0;
    f->max_lines = rows > 0 ? (size_t)rows : 1;
    f->columns = columns > 0 ? (size_t)columns : 1;
    f->is_utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
}

static attr_t attributes(enum frame_style style)
{
    switch (style) {
    case FRAME_STRONG:
        return A_BOLD;
    case FRAME_FAINT:
        return A_DIM;
    case FRAME_GOOD:
        return A_BOLD | (is_coloured ? (attr_t)COLOR_PAIR(PAIR_GOOD) : 0);
    case FRAME_BAD:
        return A_BOLD | (is_coloured ? (attr_t)COLOR_PAIR(PAIR_BAD) : A_REVERSE);
    default:
        return A_NORMAL;
    }
}

void top_screen_show(const struct frame *f)
{
    erase();
    for (size_t i = 0; i < f->n; i++) {
        const attr_t a = attributes(f->line[i].style);
        attron((int)a);
        mvaddstr((int)i, 0, f->line[i].text);
        attroff((int)a);
    }
    refresh();
}

enum top_key top_screen_key(void)
{
    for (;;) {
        switch (getch()) {
        case ERR:
            return TOP_KEY_NONE;
        case 'q':
        case 'Q':
            return TOP_KEY_QUIT;
        case '\t':
        case KEY_DOWN:
        case 'j':
            return TOP_KEY_NEXT;
        case KEY_BTAB:
        case KEY_UP:
        case 'k':
            return TOP_KEY_BACK;
        case ' ':
        case 'p':
            return TOP_KEY_PAUSE;
        case KEY_RESIZE:
            return TOP_KEY_RESIZE;
        }
    }
}
