#include "server/call_id.h"

#include <stdio.h>

#include "base/hash.h"

void call_id_add(struct strbuf *to, const char *reply_id, uint32_t choice, uint32_t call)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char name[80];
    const int n = snprintf(name, sizeof name, "%.48s %u %u", reply_id, choice, call);
    uint64_t x = hash64(name, (size_t)n);
    for (int i = 0; i < 9; i++, x /= 36) strbuf_addf(to, "%c", digits[x % 36]);
}
