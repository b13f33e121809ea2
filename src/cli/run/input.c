#include "cli/run/input.h"

#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/folders.h"
#include "cli/run/interrupt.h"

enum { MAX_HISTORY_LINES = 1000 };

static const char QUOTES[] = "\"\"\"";

static char *prompt_first(EditLine *editor)
{
    static char text[] = "> ";
    (void)editor;
    return text;
}

static char *prompt_more(EditLine *editor)
{
    static char text[] = "... ";
    (void)editor;
    return text;
}

/* ---- the editor ----------------------------------------------------------------------------- */

/* Letters beyond ASCII are one column each only where the editor knows the encoding. */
static void use_utf8(void)
{
    if (setlocale(LC_CTYPE, "") && !strcmp(nl_langinfo(CODESET), "UTF-8")) return;
    if (!setlocale(LC_CTYPE, "C.UTF-8")) setlocale(LC_CTYPE, "en_US.UTF-8");
}

/* Ctrl-C is a key while a line is typed, not a signal: one that came between the prompt and the
 * wait for a key would be seen only with the key that follows. */
static unsigned char on_ctrl_c(EditLine *editor, int key)
{
    (void)editor;
    (void)key;
    interrupt_set();
    return CC_EOF;
}

static void bind_keys(EditLine *editor)
{
    static const char *const keys[][2] = {
        { "^C", "interrupt" },
        { "^R", "em-inc-search-prev" },
        { "\\e[3~", "ed-delete-next-char" },
        { "\\e[1~", "ed-move-to-beg" },
        { "\\e[4~", "ed-move-to-end" },
        { "\\e[1;5C", "em-next-word" },
        { "\\e[1;5D", "ed-prev-word" },
    };
    el_set(editor, EL_EDITOR, "emacs");
    el_set(editor, EL_ADDFN, "interrupt", "forgets what was typed", on_ctrl_c);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        el_set(editor, EL_BIND, keys[i][0], keys[i][1], NULL);
    el_source(editor, NULL);            /* ~/.editrc: what its user prefers */
}

static void open_history(struct input *in)
{
    HistEvent event;
    if (!(in->history = history_init())) return;
    history(in->history, &event, H_SETSIZE, MAX_HISTORY_LINES);
    history(in->history, &event, H_SETUNIQUE, 1);
    el_set(in->editor, EL_HIST, history, in->history);
    pl_err ignored;
    char *path = in->history_path;
    if (!folders_cache(path, sizeof in->history_path - 16) || folders_make(path, 0755, &ignored)) {
        *path = 0;
        return;
    }
    strcat(path, "/run_history");
    history(in->history, &event, H_LOAD, path);
}

/* Kept at once, so that a session that is cut loses nothing. A line that begins with a space is
 * not. */
static void remember(struct input *in, const char *line)
{
    HistEvent event;
    if (!in->history || !*line || *line == ' ') return;
    history(in->history, &event, H_ENTER, line);
    if (*in->history_path) history(in->history, &event, H_SAVE, in->history_path);
}

void input_open(struct input *in)
{
    *in = (struct input){ .editor = NULL };
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) return;
    use_utf8();
    in->editor = el_init("paceline", stdin, stdout, stderr);
    if (!in->editor) return;
    el_set(in->editor, EL_SIGNAL, 1);   /* the terminal is put right before a signal is acted on */
    bind_keys(in->editor);
    open_history(in);
}

void input_close(struct input *in)
{
    if (in->history) history_end(in->history);
    if (in->editor) el_end(in->editor);
    free(in->line);
    strbuf_free(&in->text);
    *in = (struct input){ .editor = NULL };
}

/* ---- a line, a question --------------------------------------------------------------------- */

/* Without its end; NULL at the end of input or after Ctrl-C. */
static char *read_line(struct input *in, bool is_first)
{
    if (in->editor) {
        int n = 0;
        el_set(in->editor, EL_PROMPT, is_first ? prompt_first : prompt_more);
        el_set(in->editor, EL_PREP_TERM, 1);    /* before the prompt asks for keys, not after */
        el_set(in->editor, EL_SETTY, "-d", "intr=", NULL);      /* of the terminal as prepared */
        const char *line = el_gets(in->editor, &n);
        if (!line || n <= 0) return NULL;
        if (in->capacity < (size_t)n + 1) {
            char *more = realloc(in->line, (size_t)n + 1);
            if (!more) return NULL;
            in->line = more;
            in->capacity = (size_t)n + 1;
        }
        memcpy(in->line, line, (size_t)n);
        in->line[n] = 0;
    } else {
        if (is_first && isatty(STDIN_FILENO)) fputs("> ", stderr);
        if (getline(&in->line, &in->capacity, stdin) <= 0) return NULL;
    }
    in->line[strcspn(in->line, "\r\n")] = 0;
    if (in->editor) remember(in, in->line);
    return in->line;
}

/* The lines from one that begins with """ to one that ends with it, without these. */
static bool read_quoted(struct input *in, const char *line)
{
    const size_t n_quotes = sizeof QUOTES - 1;
    strbuf_clear(&in->text);
    for (line += n_quotes; line; line = read_line(in, false)) {
        const size_t n = strlen(line);
        const bool is_last = n >= n_quotes && !strcmp(line + n - n_quotes, QUOTES);
        strbuf_add(&in->text, line, is_last ? n - n_quotes : n);
        if (is_last) return true;
        if (in->text.n) strbuf_add_str(&in->text, "\n");
    }
    return false;
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t")] == 0;
}

enum input_kind input_read(struct input *in, const char **text)
{
    interrupt_clear();              /* what stopped the last reply is not meant for this line */
    for (;;) {
        const char *line = read_line(in, true);
        *text = line;
        if (line && in->editor && !strncmp(line, QUOTES, sizeof QUOTES - 1))
            line = *text = read_quoted(in, line) && in->text.bytes ? in->text.bytes : NULL;
        if (interrupt_is_set()) {
            clearerr(stdin);
            return INPUT_INTERRUPTED;
        }
        if (!line) {
            if (in->editor || isatty(STDIN_FILENO)) fputc('\n', in->editor ? stdout : stderr);
            return INPUT_END;
        }
        if (!is_blank(line)) return INPUT_TEXT;
    }
}
