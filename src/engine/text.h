/* The text side of an engine: tokenizer and chat template. Read-only once open: any thread. */
#ifndef ENGINE_TEXT_H
#define ENGINE_TEXT_H

#include "base/strbuf.h"
#include "engine/template_choice.h"
#include "gguf/gguf.h"
#include "text/chat_template.h"
#include "tokenizer/tokenizer.h"

enum { TEXT_MAX_ENDS = 32 };

struct text {
    struct tokenizer *tokenizer;
    int32_t end[TEXT_MAX_ENDS];     /* (n_ends) the tokens that end a reply; a vocabulary has a
                                     * handful, and more than these are not kept */
    uint32_t n_ends;
    struct template_choice source;  /* of the templates */
    struct chat_template *template; /* NULL: none, or it does not compile: */
    pl_err template_err;            /* why */
    char *bos_text;                 /* "" for none */
    struct control_names control;
    struct strbuf control_bytes;    /* the names, one zero-terminated after another */
};

/* chat_template: as template_choose takes it; NULL: the file's own. A template of the file that
 * does not compile is no failure here: the model can still be used without. */
pl_status text_open(struct text *t, const struct gguf *g, const char *chat_template, pl_err *err);
void text_close(struct text *t);

#endif
