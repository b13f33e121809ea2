#include "backend/pack/pack_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const uint32_t byte_order = 0x01020304;
static const uint64_t max_payload_bytes = (uint64_t)1 << 50;    /* sums below cannot overflow */

static uint64_t rounded(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

struct pack_key pack_key_of(struct hash128 model, const char *target, uint32_t layout_version)
{
    struct pack_key key = { .model = model, .layout_version = layout_version };
    for (size_t i = 0; i < sizeof key.target - 1 && target[i]; i++) key.target[i] = target[i];
    return key;
}

uint64_t pack_tables_bytes(const struct pack_header *h)
{
    return h->n_entries * sizeof(struct pack_entry) + h->n_blocks * sizeof(uint64_t);
}

struct pack_header pack_header_of(const struct pack_key *key, struct pack_entry *entry,
                                  uint32_t n_entries)
{
    struct pack_header h = {
        .magic = { 'p', 'l', 'p', 'a', 'c', 'k', 'e', 'd' }, .byte_order = byte_order,
        .file_version = PACK_FILE_VERSION, .n_entries = n_entries, .key = *key,
        .block_bytes = PACK_BLOCK_BYTES,
    };
    for (uint32_t i = 0; i < n_entries; i++) {
        entry[i].offset = h.payload_bytes;
        h.payload_bytes += rounded(entry[i].n_bytes, 64);
    }
    h.n_blocks = rounded(h.payload_bytes, PACK_BLOCK_BYTES) / PACK_BLOCK_BYTES;
    h.payload_offset = rounded(sizeof h + pack_tables_bytes(&h), PACK_ALIGN);
    return h;
}

void pack_header_seal(struct pack_header *h, const void *tables)
{
    h->tables_hash = hash64(tables, pack_tables_bytes(h));
    h->header_hash = hash64(h, offsetof(struct pack_header, header_hash));
}

static pl_status check_kind(const struct pack_header *h, const struct pack_key *key, pl_err *err)
{
    if (memcmp(h->magic, "plpacked", sizeof h->magic) != 0)
        return pl_fail(err, PL_E_FORMAT, "not a file of packed weights");
    if (h->byte_order != byte_order)
        return pl_fail(err, PL_E_UNSUPPORTED, "written on a machine of another byte order");
    if (h->file_version != PACK_FILE_VERSION)
        return pl_fail(err, PL_E_UNSUPPORTED, "of version %" PRIu32 "; %d is wanted",
                       h->file_version, PACK_FILE_VERSION);
    if (h->header_hash != hash64(h, offsetof(struct pack_header, header_hash)))
        return pl_fail(err, PL_E_FORMAT, "its header is damaged");
    if (!hash128_equal(h->key.model, key->model))
        return pl_fail(err, PL_E_UNSUPPORTED, "of another model");
    if (memcmp(h->key.target, key->target, sizeof key->target) != 0)
        return pl_fail(err, PL_E_UNSUPPORTED, "for something else than %s", key->target);
    if (h->key.layout_version != key->layout_version)
        return pl_fail(err, PL_E_UNSUPPORTED, "packed in layout %" PRIu64 "; %" PRIu64
                       " is wanted", h->key.layout_version, key->layout_version);
    return PL_OK;
}

static pl_status check_shape(const struct pack_header *h, size_t n_bytes, pl_err *err)
{
    const uint64_t n_blocks = rounded(h->payload_bytes, PACK_BLOCK_BYTES) / PACK_BLOCK_BYTES;
    if (h->block_bytes != PACK_BLOCK_BYTES || h->payload_bytes > max_payload_bytes ||
        h->n_blocks != n_blocks || h->payload_offset % PACK_ALIGN ||
        h->payload_offset < sizeof *h + pack_tables_bytes(h) ||
        h->payload_offset > max_payload_bytes)
        return pl_fail(err, PL_E_FORMAT, "its header contradicts itself");
    if (n_bytes != h->payload_offset + h->payload_bytes)
        return pl_fail(err, PL_E_FORMAT, "%zu bytes; %" PRIu64 " are wanted", n_bytes,
                       h->payload_offset + h->payload_bytes);
    return PL_OK;
}

static pl_status check_entries(const struct pack_view *v, pl_err *err)
{
    const struct pack_header *h = v->header;
    uint64_t end = 0;
    for (uint32_t i = 0; i < h->n_entries; i++) {
        const struct pack_entry *e = &v->entry[i];
        if (e->offset != end || e->n_bytes > h->payload_bytes - end ||
            rounded(e->n_bytes, 64) > h->payload_bytes - end)
            return pl_fail(err, PL_E_FORMAT, "its entry %" PRIu32 " contradicts the header", i);
        end += rounded(e->n_bytes, 64);
    }
    if (end != h->payload_bytes)
        return pl_fail(err, PL_E_FORMAT, "entries of %" PRIu64 " bytes; %" PRIu64 " are wanted",
                       end, h->payload_bytes);
    return PL_OK;
}

pl_status pack_file_check(struct pack_view *out, const uint8_t *data, size_t n_bytes,
                          const struct pack_key *key, pl_err *err)
{
    const struct pack_header *h = (const struct pack_header *)data;
    if (n_bytes < sizeof *h)
        return pl_fail(err, PL_E_FORMAT, "%zu bytes; a header has %zu", n_bytes, sizeof *h);
    pl_status st = check_kind(h, key, err);
    if (!st) st = check_shape(h, n_bytes, err);
    if (st) return st;

    const struct pack_entry *entry = (const struct pack_entry *)(h + 1);
    *out = (struct pack_view){ h, entry, (const uint64_t *)(entry + h->n_entries),
                               data + h->payload_offset };
    if (h->tables_hash != hash64(entry, pack_tables_bytes(h)))
        return pl_fail(err, PL_E_FORMAT, "its tables are damaged");
    return check_entries(out, err);
}

bool pack_block_is_good(const struct pack_view *v, uint64_t block)
{
    const uint64_t first = block * PACK_BLOCK_BYTES, left = v->header->payload_bytes - first;
    return v->block_hash[block] ==
           hash64(v->payload + first, left < PACK_BLOCK_BYTES ? left : PACK_BLOCK_BYTES);
}
