/* The file that holds a model's packed weights, as bytes: what is in it and how it is distrusted.
 *
 *     header        struct pack_header
 *     entries       (n_entries) struct pack_entry, one a matrix in the order they are loaded
 *     block hashes  (n_blocks) hash64 of each PACK_BLOCK_BYTES of payload; the last may be short
 *     payload       from a multiple of PACK_ALIGN on: each matrix at a multiple of 64, in whatever
 *                   order of bytes its backend reads
 *
 * I1  the header's hash covers the header, the tables' hash entries and block hashes, the block
 *     hashes the payload: every byte that is ever read is covered
 * I2  entries follow one another without gaps but for the rounding to 64
 *
 * A file is of use for one model content, one target, byte order and version alone; anything else
 * is refused with the reason and written anew. No state, any thread. */
#ifndef BACKEND_PACK_PACK_FILE_H
#define BACKEND_PACK_PACK_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/status.h"

enum {
    PACK_FILE_VERSION = 2,
    PACK_BLOCK_BYTES = 4 << 20,
    PACK_ALIGN = 2 << 20,           /* a huge page: the payload can be mapped with them */
    PACK_TARGET_BYTES = 24,
};

/* What a file is for. */
struct pack_key {
    struct hash128 model;
    char target[PACK_TARGET_BYTES]; /* "cpu-avx2": who reads the payload. Zeros to its end */
    uint64_t layout_version;        /* of what the target understands by a format */
};

struct pack_header {
    char magic[8];                  /* "plpacked" */
    uint32_t byte_order;            /* 0x01020304 as the writing machine stores it */
    uint32_t file_version, n_entries, reserved;
    struct pack_key key;
    uint64_t block_bytes, n_blocks;
    uint64_t payload_offset, payload_bytes;
    uint64_t tables_hash;           /* of entries and block hashes */
    uint64_t header_hash;           /* of all before it */
};

struct pack_entry {
    uint64_t name_hash;             /* hash64 of the tensor's name */
    uint32_t type, n_rows, n_k;     /* as the model file has it */
    uint32_t format;                /* the target's number for how it is packed */
    uint64_t offset, n_bytes;       /* in the payload */
};

/* A file that was found good but for the payload's bytes. Points into it. */
struct pack_view {
    const struct pack_header *header;
    const struct pack_entry *entry;
    const uint64_t *block_hash;
    const uint8_t *payload;
};

struct pack_key pack_key_of(struct hash128 model, const char *target, uint32_t layout_version);

/* Fills all but the hashes; entries have their sizes and get their offsets. */
struct pack_header pack_header_of(const struct pack_key *key, struct pack_entry *entry,
                                  uint32_t n_entries);

/* Hashes what is complete: tables first, as they stand after the header. */
void pack_header_seal(struct pack_header *header, const void *tables);

/* Bytes of entries and block hashes. */
uint64_t pack_tables_bytes(const struct pack_header *header);

/* PL_E_UNSUPPORTED: sound but for another model, target or version; PL_E_FORMAT: damaged. data is
 * 8-byte aligned. */
pl_status pack_file_check(struct pack_view *out, const uint8_t *data, size_t n_bytes,
                          const struct pack_key *key, pl_err *err);

/* One block of the payload; its bytes must be there. */
bool pack_block_is_good(const struct pack_view *view, uint64_t block);

#endif
