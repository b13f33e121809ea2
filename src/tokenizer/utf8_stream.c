/* Whole characters out of token bytes: a token may end inside a character. */
#include <string.h>

#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

static size_t put_replacement(char *out)
{
    memcpy(out, "\xef\xbf\xbd", 3); /* U+FFFD */
    return 3;
}

/* One byte. What is pending is always the beginning of a character, so a byte that does not
 * continue it ends a maximal subpart: that becomes one U+FFFD and the byte starts afresh. */
static size_t push_byte(struct utf8_stream *s, unsigned char byte, char *out)
{
    size_t n_out = 0;

    s->pending[s->n_pending++] = byte;
    int length = utf8_length(s->pending, s->n_pending);
    if (length < 0 && s->n_pending > 1) {
        n_out += put_replacement(out);
        s->pending[0] = byte;
        s->n_pending = 1;
        length = utf8_length(s->pending, 1);
    }
    if (length == 0) return n_out;

    if (length < 0) {
        n_out += put_replacement(out + n_out);
    } else {
        memcpy(out + n_out, s->pending, (size_t)length);
        n_out += (size_t)length;
    }
    s->n_pending = 0;
    return n_out;
}

size_t utf8_stream_push(struct utf8_stream *s, const char *bytes, size_t n, char *out)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++) n_out += push_byte(s, (unsigned char)bytes[i], out + n_out);
    return n_out;
}

size_t utf8_stream_finish(struct utf8_stream *s, char *out)
{
    const size_t n_out = s->n_pending ? put_replacement(out) : 0;
    s->n_pending = 0;
    return n_out;
}
