/* What a function under test writes to standard output or error. */
#ifndef TESTS_CAPTURED_H
#define TESTS_CAPTURED_H

#include <stdio.h>
#include <unistd.h>

struct captured {
    int fd, saved;
    FILE *file;
    char text[1 << 16];         /* of the last capture */
};

/* From now on what is written to `fd` (1 or 2) is collected. */
static inline void captured_begin(struct captured *c, int fd)
{
    fflush(NULL);
    c->fd = fd;
    c->file = tmpfile();
    c->saved = dup(fd);
    dup2(fileno(c->file), fd);
}

/* Puts the stream back; returns all that was written. */
static inline const char *captured_end(struct captured *c)
{
    fflush(NULL);
    dup2(c->saved, c->fd);
    close(c->saved);
    rewind(c->file);
    c->text[fread(c->text, 1, sizeof c->text - 1, c->file)] = 0;
    fclose(c->file);
    return c->text;
}

#endif
