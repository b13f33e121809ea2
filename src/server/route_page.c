#include "server/route_page.h"

#include <stdio.h>
#include <string.h>

#include "server/accept.h"
#include "server/answer.h"
#include "server/route_info.h"

/* What web/page/build.js made: policy and etag end with a zero byte. */
extern const unsigned char page_html[], page_gz[], page_br[], page_policy[], page_etag[];
extern const size_t page_html_bytes, page_gz_bytes, page_br_bytes;

struct form {
    const char *coding;             /* of Content-Encoding; NULL: as it is */
    const unsigned char *bytes;
    size_t n;
};

static const char *header(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

/* The smallest that the client takes. */
static struct form choose_form(const struct exchange *x)
{
    const char *accepted = header(x, "Accept-Encoding");
    if (accept_has(accepted, "br")) return (struct form){ "br", page_br, page_br_bytes };
    if (accept_has(accepted, "gzip")) return (struct form){ "gzip", page_gz, page_gz_bytes };
    return (struct form){ NULL, page_html, page_html_bytes };
}

static void add_headers(struct MHD_Response *response, const struct form *form, const char *etag)
{
    MHD_add_response_header(response, "ETag", etag);
    MHD_add_response_header(response, "Cache-Control", "no-cache");
    MHD_add_response_header(response, "Vary", "Accept, Accept-Encoding");
    MHD_add_response_header(response, "Content-Security-Policy", (const char *)page_policy);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "Cross-Origin-Opener-Policy", "same-origin");
    if (form->coding) MHD_add_response_header(response, "Content-Encoding", form->coding);
}

enum MHD_Result route_page(struct exchange *x)
{
    char etag[64];
    if (x->server->no_page || !accept_has(header(x, "Accept"), "text/html")) return route_root(x);
    const struct form form = choose_form(x);
    snprintf(etag, sizeof etag, "\"%s%s%s\"", (const char *)page_etag, form.coding ? "-" : "",
             form.coding ? form.coding : "");
    const char *known = header(x, "If-None-Match");
    const bool is_known = known && strstr(known, etag);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(is_known ? 0 : form.n, (void *)(uintptr_t)form.bytes,
                                        MHD_RESPMEM_PERSISTENT);
    if (response) add_headers(response, &form, etag);
    return answer_set(x, is_known ? 304 : 200, response, "text/html; charset=utf-8");
}
