#include "cli/build_info.h"

#include <jansson.h>
#include <string.h>
#ifdef PACELINE_HAS_SERVER
#include <curl/curl.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>
#endif

#include "base/cpu_isa.h"
#include "cli/names.h"
#include "paceline.h"

#ifndef PACELINE_SOURCE_ID      /* who builds it without CMake need not say */
#define PACELINE_SOURCE_ID "unknown"
#define PACELINE_COMPILER "unknown"
#endif
#define COMMA ,

static void print_kernels(FILE *to)
{
    const struct cpu_isa isa = cpu_isa_read();
    const struct {
        const char *name;
        bool is_here;
    } all[] = { { "avx2", isa.avx2 },     { "avxvnni", isa.avxvnni },
                { "avx512vnni", isa.avx512vnni }, { "amx", isa.amx },
                { "neon", isa.neon },     { "i8mm", isa.i8mm },
                { "sme", isa.sme } };
    fputs("kernels    scalar", to);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].is_here) fprintf(to, ", %s", all[i].name);
    fputs(" on this machine\n", to);
}

static void print_backends(FILE *to)
{
    const char *const names[] = { BACKEND_NAMES(COMMA) };
    const char *between = "backends   ";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char what[64];
        if (!strcmp(names[i], "auto") || pl_backend_reach(names[i], what, NULL)) continue;
        fprintf(to, "%s%s%s%s%s", between, names[i], *what ? " (" : "", what, *what ? ")" : "");
        between = ", ";
    }
    fputs(" on this machine\n", to);
}

void build_info_print(FILE *to)
{
    fprintf(to, "paceline   %s\n", pl_version());
    fprintf(to, "source     %s\n", PACELINE_SOURCE_ID);
    fprintf(to, "compiler   %s\n", PACELINE_COMPILER);
    print_kernels(to);
    print_backends(to);
    fprintf(to, "libraries  jansson %s", jansson_version_str());
#ifdef PACELINE_HAS_SERVER
    fprintf(to, ", libmicrohttpd %s, curl %s, GnuTLS %s", MHD_get_version(),
            curl_version_info(CURLVERSION_NOW)->version, gnutls_check_version(NULL));
#endif
    fputc('\n', to);
}
