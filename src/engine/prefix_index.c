#include "engine/prefix_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Two lanes of xor, multiply by an odd constant, shift down; the second takes in the first, so that
 * the pair depends on every token and its place. Each step is a bijection of the 128 bits,
 * which prefix_index.h I2 rests on. */
struct prefix_key prefix_key_next(struct prefix_key before, const int32_t *tokens)
{
    uint64_t a = before.bits[0] ^ 0x8f1b2d6c4a3e5977u;
    uint64_t b = before.bits[1] ^ 0x2545f4914f6cdd1du;

    for (int i = 0; i < PAGE_TOKENS; i++) {
        const uint64_t t = (uint32_t)tokens[i];
        a = (a ^ t) * 0xd6e8feb86659fd93u;
        a ^= a >> 32;
        b = (b + (a << 23 | a >> 41) + (t << 32)) * 0xc2b2ae3d27d4eb4fu;
        b ^= b >> 29;
    }
    a = (a ^ (b << 31 | b >> 33)) * 0x9e3779b97f4a7c15u;
    return (struct prefix_key){ { a ^ a >> 32, b } };
}

static bool key_equal(struct prefix_key a, struct prefix_key b)
{
    return a.bits[0] == b.bits[0] && a.bits[1] == b.bits[1];
}

static bool holds(const struct prefix_entry *e, const int32_t *tokens)
{
    return memcmp(e->token, tokens, sizeof e->token) == 0;
}

/* At least twice the pages, so that probing ends soon and always at an empty place. */
static uint64_t table_size(uint32_t n_pages)
{
    uint64_t size = 8;
    while (size < 2 * (uint64_t)n_pages) size *= 2;
    return size;
}

uint64_t prefix_index_bytes(uint32_t n_pages)
{
    return table_size(n_pages) * sizeof(uint32_t) + n_pages * sizeof(struct prefix_entry);
}

pl_status prefix_index_open(struct prefix_index *x, uint32_t n_pages, pl_err *err)
{
    *x = (struct prefix_index){ .mask = table_size(n_pages) - 1, .n_pages = n_pages };
    x->table = calloc(x->mask + 1, sizeof *x->table);
    x->entry = calloc(n_pages, sizeof *x->entry);
    if (!x->table || !x->entry) {
        prefix_index_close(x);
        return pl_fail(err, PL_E_MEMORY, "no %llu bytes for the prefix index of %u KV pages",
                       (unsigned long long)prefix_index_bytes(n_pages), n_pages);
    }
    return PL_OK;
}

void prefix_index_close(struct prefix_index *x)
{
    free(x->table);
    free(x->entry);
    *x = (struct prefix_index){ 0 };
}

/* Where the key is, or the empty place where it would go. */
static uint64_t place_of(const struct prefix_index *x, struct prefix_key key)
{
    uint64_t at = key.bits[0] & x->mask;
    while (x->table[at] && !key_equal(x->entry[x->table[at] - 1].key, key)) at = (at + 1) & x->mask;
    return at;
}

int64_t prefix_index_find(const struct prefix_index *x, struct prefix_key key,
                          const int32_t *tokens)
{
    const uint32_t found = x->table[place_of(x, key)];
    return found && holds(&x->entry[found - 1], tokens) ? (int64_t)found - 1 : KV_NO_PAGE;
}

enum prefix_added prefix_index_add(struct prefix_index *x, uint32_t page, struct prefix_key key,
                                   const int32_t *tokens)
{
    const uint64_t at = place_of(x, key);

    if (x->table[at])
        return holds(&x->entry[x->table[at] - 1], tokens) ? PREFIX_PRESENT : PREFIX_COLLISION;
    x->table[at] = page + 1;
    x->entry[page].key = key;
    memcpy(x->entry[page].token, tokens, sizeof x->entry[page].token);
    x->n_entered++;
    return PREFIX_ADDED;
}

/* Closes the gap: an entry further on moves into it unless its home lies after the gap, where a
 * search for it would never look before the gap. */
void prefix_index_remove(struct prefix_index *x, uint32_t page)
{
    uint64_t gap = place_of(x, x->entry[page].key);
    assert(x->table[gap] == page + 1);

    for (uint64_t at = (gap + 1) & x->mask; x->table[at]; at = (at + 1) & x->mask) {
        const uint64_t home = x->entry[x->table[at] - 1].key.bits[0] & x->mask;
        if (((at - home) & x->mask) < ((at - gap) & x->mask)) continue;
        x->table[gap] = x->table[at];
        gap = at;
    }
    x->table[gap] = 0;
    x->n_entered--;
}

const char *prefix_index_audit(const struct prefix_index *x)
{
    uint32_t n = 0;
    for (uint64_t at = 0; at <= x->mask; at++) {
        if (!x->table[at]) continue;
        const uint32_t page = x->table[at] - 1;
        if (page >= x->n_pages) return "prefix index: a page number out of range";
        if (place_of(x, x->entry[page].key) != at) return "prefix index: an entry is out of reach";
        n++;
    }
    return n == x->n_entered ? NULL : "prefix index: n_entered is wrong";
}
