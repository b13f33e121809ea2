#include "cli/run/commands.h"

#include <stdio.h>
#include <string.h>

static void help(const struct input *in)
{
    puts("/clear      forget the conversation; the system prompt stays\n"
         "/help       this\n"
         "/bye        leave (Ctrl-D likewise)\n"
         "\"\"\"         begins and ends a question of several lines\n"
         "Ctrl-C      stops a reply; at the prompt: forgets what was typed\n"
         "Ctrl-R      looks in the history; arrow keys go through it");
    if (*in->history_path)
        printf("History: %s (a line that begins with a space is not kept)\n", in->history_path);
}

static bool is_word(const char *text, size_t n, const char *word)
{
    return strlen(word) == n && !memcmp(text, word, n);
}

enum chat_command commands_do(struct chat *c, const struct input *in, const char *text)
{
    const size_t n = strcspn(text, " \t\n");
    if (*text != '/' || memchr(text + 1, '/', n - 1)) return CHAT_QUESTION;
    if (is_word(text, n, "/bye") || is_word(text, n, "/exit") || is_word(text, n, "/quit"))
        return CHAT_LEAVE;
    if (is_word(text, n, "/clear")) {
        chat_forget(c);
        puts("The conversation is forgotten.");
    } else if (is_word(text, n, "/help") || is_word(text, n, "/?")) {
        help(in);
    } else {
        printf("There is no command %.*s; /help names them.\n", (int)n, text);
    }
    return CHAT_DONE;
}
