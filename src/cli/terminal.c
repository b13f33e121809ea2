#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool terminal_has_colours(FILE *to)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if (no_color && *no_color) return false;
    if (term && !strcmp(term, "dumb")) return false;
    return isatty(fileno(to));
}

unsigned terminal_width(FILE *to)
{
    struct winsize size;
    if (!isatty(fileno(to))) return 0;
    return !ioctl(fileno(to), TIOCGWINSZ, &size) && size.ws_col ? size.ws_col : 80;
}
