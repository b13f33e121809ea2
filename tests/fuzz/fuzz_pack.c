/* Random bytes as a file of packed weights. What pack_file_check believes must lie inside the file
 * (the address sanitizer sees what does not); once as it is, and once with its hashes and key made
 * to fit, without which random bytes never get past them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/pack/pack_file.h"

static void check(bool holds, const char *claim)
{
    if (holds) return;
    fprintf(stderr, "does not hold: %s\n", claim);
    abort();
}

static void read_all(const struct pack_view *v, const uint8_t *data, size_t n)
{
    const struct pack_header *h = v->header;
    uint64_t end = 0;
    check(v->payload - data == (ptrdiff_t)h->payload_offset, "the payload lies where it is said");
    for (uint32_t i = 0; i < h->n_entries; i++) {
        const struct pack_entry *e = &v->entry[i];
        check(e->offset >= end && e->offset % 64 == 0, "entries follow one another");
        end = e->offset + e->n_bytes;
        check(h->payload_offset + end <= n, "an entry lies inside the file");
    }
    for (uint64_t i = 0; i < h->n_blocks; i++) pack_block_is_good(v, i);
}

static void try(const uint8_t *data, size_t n, const struct pack_key *key)
{
    struct pack_view v;
    pl_err err = { 0 };
    const pl_status st = pack_file_check(&v, data, n, key, &err);
    check(!st == !err.text[0], "a failure has a message, a success none");
    if (!st) read_all(&v, data, n);
}

/* Everything that is not a question of sizes. */
static void make_fit(struct pack_header *h, size_t n)
{
    memcpy(h->magic, "plpacked", 8);
    h->byte_order = 0x01020304;
    h->file_version = PACK_FILE_VERSION;
    h->block_bytes = PACK_BLOCK_BYTES;
    if (h->payload_bytes > n) h->payload_bytes %= n + 1;
    h->payload_offset = n - h->payload_bytes;
    h->n_blocks = (h->payload_bytes + PACK_BLOCK_BYTES - 1) / PACK_BLOCK_BYTES;
    if (n - sizeof *h >= pack_tables_bytes(h))
        pack_header_seal(h, h + 1);
    else
        h->header_hash = hash64(h, offsetof(struct pack_header, header_hash));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data);

/* The payload begins at PACK_ALIGN: the input is header and tables, filling and a few bytes of
 * payload (the input's last) are put between. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data)
{
    const struct pack_key key = pack_key_of((struct hash128){ 1, 2 }, "cpu-scalar", 1);
    const size_t n_payload = n_data % 300, n = PACK_ALIGN + n_payload;
    uint8_t *copy = malloc(n_data + 1), *whole = calloc(1, n);
    check(copy && whole, "there is memory");
    memcpy(copy, data, n_data);
    try(copy, n_data, &key);

    const size_t n_head = n_data < PACK_ALIGN ? n_data : PACK_ALIGN;
    memcpy(whole, data, n_head);
    struct pack_header *h = (struct pack_header *)whole;
    h->key = key;
    h->payload_bytes = n_payload;
    make_fit(h, n);
    try(whole, n, &key);
    free(copy);
    free(whole);
    return 0;
}
