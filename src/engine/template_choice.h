/* Which of a model file's chat templates run. A file has one under tokenizer.chat_template, and may
 * have others under tokenizer.chat_template.NAME (tokenizer.chat_templates lists the names): of
 * those "tool_use" runs where a conversation has tools, the others where they are asked for. */
#ifndef ENGINE_TEMPLATE_CHOICE_H
#define ENGINE_TEMPLATE_CHOICE_H

#include "base/status.h"
#include "gguf/gguf.h"

struct template_choice {
    char *chat;             /* a source, owned; NULL: the model has none */
    char *tool_use;         /* likewise; NULL: `chat` serves tools too */
};

/* chosen: NULL for the file's own choice, or a built-in's name, the name of one of the file's, or a
 * source; that one then serves everything. PL_E_PARAM: there is no such name. */
pl_status template_choose(struct template_choice *out, const struct gguf *g, const char *chosen,
                          pl_err *err);
void template_choice_free(struct template_choice *c);

#endif
