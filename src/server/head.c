#include "server/head.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct reading {
    struct head *head;
    struct head_problem problem;
    uint32_t n_hosts, n_codings;
    bool is_chunked;
};

static void refuse(struct reading *r, unsigned status, const char *code, const char *text)
{
    if (!r->problem.status) r->problem = (struct head_problem){ status, code, text };
}

/* A number of digits alone, as libmicrohttpd wants it: not even space may follow. One that is too
 * large for 64 bits is too large a body. */
static void read_length(struct reading *r, const char *value, size_t n)
{
    uint64_t length = 0;
    if (!n) refuse(r, 400, "bad_content_length", "Content-Length is empty; a number is wanted");
    for (size_t i = 0; i < n; i++) {
        if (value[i] < '0' || value[i] > '9') {
            refuse(r, 400, "bad_content_length", "Content-Length is no number of bytes");
            return;
        }
        const uint64_t digit = (uint64_t)(value[i] - '0');
        if (length > (UINT64_MAX - digit) / 10)
            refuse(r, 413, "body_too_large", "Content-Length is larger than any body may be");
        length = length * 10 + digit;
    }
    if (r->head->has_length && r->head->n_body_bytes != length)
        refuse(r, 400, "bad_content_length", "there are two Content-Length headers that differ");
    r->head->has_length = true;
    r->head->n_body_bytes = length;
}

static enum MHD_Result see_length(void *arg, enum MHD_ValueKind kind, const char *key, size_t n_key,
                                  const char *value, size_t n_value)
{
    (void)kind;
    if (n_key == 14 && !strncasecmp(key, "Content-Length", n_key))
        read_length(arg, value ? value : "", n_value);
    return MHD_YES;
}

/* Space before the colon would hide a header that another server sees. */
static bool is_name(const char *key, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)key[i]) && !strchr("!#$%&'*+-.^_`|~", key[i])) return false;
    return n > 0 && !memchr(key, 0, n);
}

static bool is_value(const char *value, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)value[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

static enum MHD_Result see_header(void *arg, enum MHD_ValueKind kind, const char *key, size_t n_key,
                                  const char *value, size_t n_value)
{
    struct reading *r = arg;
    if (!is_name(key, n_key))
        refuse(r, 400, "bad_header", "the name of a header holds a character that it may not");
    if (value && !is_value(value, n_value))
        refuse(r, 400, "bad_header", "the value of a header holds a control character");
    see_length(arg, kind, key, n_key, value, n_value);
    if (n_key == 4 && !strncasecmp(key, "Host", n_key)) r->n_hosts++;
    if (n_key == 17 && !strncasecmp(key, "Transfer-Encoding", n_key)) {
        r->n_codings++;
        r->is_chunked = n_value == 7 && !strncasecmp(value, "chunked", n_value);
    }
    return MHD_YES;
}

struct head_problem head_read_length(struct MHD_Connection *connection, struct head *out)
{
    struct reading r = { .head = out };
    *out = (struct head){ 0 };
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, see_length, &r);
    return r.problem;
}

struct head_problem head_read(struct MHD_Connection *connection, const char *version,
                              struct head *out)
{
    struct reading r = { .head = out };
    const bool is_1_1 = strcmp(version, "HTTP/1.0") != 0;
    *out = (struct head){ 0 };
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (size && size->header_size > HEAD_MAX_BYTES)
        refuse(&r, 431, "headers_too_large", "the request's headers are larger than 32768 bytes");
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, see_header, &r);
    if (is_1_1 && r.n_hosts != 1)
        refuse(&r, 400, "bad_host", r.n_hosts ? "there is more than one Host header"
                                              : "there is no Host header; one is wanted");
    if (r.n_codings && out->has_length)
        refuse(&r, 400, "bad_transfer_encoding", "Content-Length and Transfer-Encoding are both "
               "there; either alone is wanted");
    if (r.n_codings && !is_1_1)
        refuse(&r, 400, "bad_transfer_encoding", "HTTP/1.0 knows no Transfer-Encoding");
    if (r.n_codings && (r.n_codings > 1 || !r.is_chunked))
        refuse(&r, 501, "bad_transfer_encoding", "a Transfer-Encoding other than chunked is not "
               "supported");
    return r.problem;
}

/* ---- request ids ---------------------------------------------------------------------------- */

/* What may stand in headers and log lines without quotes. */
static bool is_id(const char *text)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || (text[n] && strchr("-_.:/+=@", text[n]))) n++;
    return n && !text[n] && n < REQUEST_ID_BYTES;
}

void head_request_id(struct exchange *x)
{
    struct server *s = x->server;
    const char *given =
        MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "X-Request-Id");
    if (given && is_id(given))
        snprintf(x->id, sizeof x->id, "%s", given);
    else
        snprintf(x->id, sizeof x->id, "req-%llx%08lx", (unsigned long long)s->started_s,
                 atomic_fetch_add(&s->n_request_ids, 1));
}
