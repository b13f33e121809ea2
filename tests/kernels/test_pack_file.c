/* The file of packed weights as bytes: what was written is believed, and nothing else is. */
#include "product_fixture.h"

#include "backend/pack/pack_file.h"

static const struct hash128 model = { 0x1122334455667788, 0x99aabbccddeeff00 };

/* ---- a whole file in memory ----------------------------------------------------------------- */

struct file {
    uint8_t *bytes;
    size_t n;
};

static struct pack_header *header_of(const struct file *f)
{
    return (struct pack_header *)f->bytes;
}

static struct pack_entry *entry_of(const struct file *f)
{
    return (struct pack_entry *)(header_of(f) + 1);
}

/* Three matrices of more than one block together; the middle one's size is no multiple of 64. */
static struct file make_file(void)
{
    static const uint64_t sizes[] = { 3 << 20, 100, (3 << 20) + 128 };
    const struct pack_key key = pack_key_of(model, "cpu-scalar", PANEL_LAYOUT_VERSION);
    struct pack_entry entry[COUNT(sizes)];
    struct rng r;

    for (uint32_t i = 0; i < COUNT(sizes); i++)
        entry[i] = (struct pack_entry){ .name_hash = i, .type = QUANT_Q8_0, .n_rows = 16 + i,
                                        .n_k = 32, .format = PANEL_Q8_0, .n_bytes = sizes[i] };
    const struct pack_header h = pack_header_of(&key, entry, COUNT(sizes));
    struct file f = { NULL, h.payload_offset + h.payload_bytes };
    f.bytes = calloc(1, f.n);
    assert_non_null(f.bytes);
    memcpy(f.bytes, &h, sizeof h);
    memcpy(f.bytes + sizeof h, entry, sizeof entry);

    rng_seed(&r, 5);
    for (size_t i = h.payload_offset; i < f.n; i++) f.bytes[i] = (uint8_t)rng_u64(&r);
    uint64_t *block_hash = (uint64_t *)(entry_of(&f) + COUNT(sizes));
    for (uint64_t i = 0; i < h.n_blocks; i++) {
        const uint64_t at = i * PACK_BLOCK_BYTES, left = h.payload_bytes - at;
        block_hash[i] = hash64(f.bytes + h.payload_offset + at,
                               left < PACK_BLOCK_BYTES ? left : PACK_BLOCK_BYTES);
    }
    pack_header_seal(header_of(&f), entry_of(&f));
    return f;
}

static pl_status check(const struct file *f, pl_err *err)
{
    const struct pack_key key = pack_key_of(model, "cpu-scalar", PANEL_LAYOUT_VERSION);
    struct pack_view view;
    return pack_file_check(&view, f->bytes, f->n, &key, err);
}

static void check_refused(const struct file *f, pl_status want, const char *text)
{
    pl_err err = { .text = "" };
    const pl_status st = check(f, &err);
    if (st != want || !strstr(err.text, text))
        fail_msg("status %d \"%s\", wanted %d \"%s\"", (int)st, err.text, (int)want, text);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void what_was_written_is_believed(void **state)
{
    (void)state;
    const struct file f = make_file();
    const struct pack_key key = pack_key_of(model, "cpu-scalar", PANEL_LAYOUT_VERSION);
    struct pack_view v;
    pl_err err;

    if (pack_file_check(&v, f.bytes, f.n, &key, &err)) fail_msg("%s", err.text);
    assert_int_equal(v.header->n_entries, 3);
    assert_int_equal(v.header->n_blocks, 2);
    assert_int_equal((v.payload - f.bytes) % PACK_ALIGN, 0);
    assert_int_equal(v.entry[1].offset, 3 << 20);
    assert_int_equal(v.entry[2].offset, (3 << 20) + 128);
    assert_true(pack_block_is_good(&v, 0) && pack_block_is_good(&v, 1));
    free(f.bytes);
}

/* No byte of header, tables or payload can change unseen; what is between is never read. */
static void every_flipped_byte_is_noticed(void **state)
{
    (void)state;
    const struct file f = make_file();
    const struct pack_header good = *header_of(&f);
    const size_t n_head = sizeof good + pack_tables_bytes(&good);
    const struct pack_view v = { &good, entry_of(&f), (const uint64_t *)(entry_of(&f) + 3),
                                 f.bytes + good.payload_offset };

    for (size_t i = 0; i < n_head; i++)
        for (int bit = 0; bit < 8; bit += 7) {
            pl_err err = { .text = "" };
            f.bytes[i] ^= (uint8_t)(1 << bit);
            if (!check(&f, &err) || !err.text[0]) fail_msg("byte %zu bit %d", i, bit);
            f.bytes[i] ^= (uint8_t)(1 << bit);
        }
    for (size_t i = 0; i < good.payload_bytes; i += 99991) {
        f.bytes[good.payload_offset + i] ^= 0x10;
        if (pack_block_is_good(&v, i / PACK_BLOCK_BYTES)) fail_msg("payload byte %zu", i);
        f.bytes[good.payload_offset + i] ^= 0x10;
    }
    assert_int_equal(check(&f, NULL), PL_OK);
    free(f.bytes);
}

/* With hashes that fit, each field is still held against the others. */
static void every_field_is_checked_for_itself(void **state)
{
    (void)state;
    struct file f = make_file();
    struct pack_header *h = header_of(&f);
    struct pack_entry *e = entry_of(&f);
    const struct pack_header good = *h;
    const struct pack_entry good_entry[3] = { e[0], e[1], e[2] };
#define WITH(change, status, text)                                                                 \
    do {                                                                                           \
        change;                                                                                    \
        if (pack_tables_bytes(h) <= PACK_ALIGN) pack_header_seal(h, e);                            \
        else h->header_hash = hash64(h, offsetof(struct pack_header, header_hash));                \
        check_refused(&f, status, text);                                                           \
        *h = good;                                                                                 \
        memcpy(e, good_entry, sizeof good_entry);                                                  \
    } while (0)
    WITH(h->magic[0] = 'x', PL_E_FORMAT, "not a file of packed weights");
    WITH(h->byte_order = 0x04030201, PL_E_UNSUPPORTED, "byte order");
    WITH(h->file_version++, PL_E_UNSUPPORTED, "of version 3; 2 is wanted");
    WITH(h->key.layout_version--, PL_E_UNSUPPORTED, "packed in layout");
    WITH(h->key.model.low ^= 1, PL_E_UNSUPPORTED, "another model");
    WITH(h->key.model.high ^= 1, PL_E_UNSUPPORTED, "another model");
    WITH(strcpy(h->key.target, "cpu-avx2"), PL_E_UNSUPPORTED, "something else than cpu-scalar");
    WITH(h->block_bytes *= 2, PL_E_FORMAT, "contradicts itself");
    WITH(h->n_blocks++, PL_E_FORMAT, "contradicts itself");
    WITH(h->payload_offset += 64, PL_E_FORMAT, "contradicts itself");
    WITH(h->payload_offset = 0, PL_E_FORMAT, "contradicts itself");
    WITH(h->payload_offset = (uint64_t)1 << 63, PL_E_FORMAT, "contradicts itself");
    WITH(h->payload_bytes = UINT64_MAX, PL_E_FORMAT, "contradicts itself");
    WITH(h->payload_bytes += 64, PL_E_FORMAT, "bytes;");
    WITH(h->n_entries = 2, PL_E_FORMAT, "entries of");
    WITH(h->n_entries = UINT32_MAX, PL_E_FORMAT, "contradicts itself");
    WITH(e[1].offset += 64, PL_E_FORMAT, "entry 1");
    WITH(e[0].n_bytes = UINT64_MAX, PL_E_FORMAT, "entry 0");
    WITH(e[2].n_bytes += 64, PL_E_FORMAT, "entry 2");
    WITH(e[2].n_bytes -= 64, PL_E_FORMAT, "entries of");
#undef WITH
    assert_int_equal(check(&f, NULL), PL_OK);
    free(f.bytes);
}

static void a_file_of_another_length_is_refused(void **state)
{
    (void)state;
    struct file f = make_file();
    const size_t n = f.n;
    const size_t lengths[] = { 0, 1, sizeof(struct pack_header) - 1, sizeof(struct pack_header),
                               PACK_ALIGN, n / 2, n - 1 };

    for (size_t i = 0; i < COUNT(lengths); i++) {
        f.n = lengths[i];
        uint8_t *exact = malloc(f.n + 1);       /* so that a read beyond the end is seen */
        const struct file cut = { exact, f.n };
        memcpy(exact, f.bytes, f.n);
        check_refused(&cut, PL_E_FORMAT, "bytes;");
        free(exact);
    }
    free(f.bytes);
}

/* What panel_pack makes of a fixed input, for each type, as one number. */
static uint64_t layout_fingerprint(void)
{
    uint64_t all[COUNT(file_types)];
    struct rng r;

    rng_seed(&r, 1);
    for (size_t i = 0; i < COUNT(file_types); i++) {
        const uint32_t n_k = 512, n_rows = 13;
        const enum panel_format format =
            (enum panel_format)panel_format_of(file_types[i].type, n_k);
        uint8_t *rows = random_rows(&r, &file_types[i], n_rows, n_k, FILL_RANDOM);
        uint8_t *panel = aligned_alloc(64, panel_bytes(format, n_k));
        assert_non_null(panel);
        panel_pack(format, panel, file_types[i].type, rows, n_rows, n_k);
        all[i] = hash64(panel, panel_bytes(format, n_k)) + format;
        free(panel);
        free(rows);
    }
    return hash64(all, sizeof all);
}

static void a_changed_layout_has_a_new_version(void **state)
{
    (void)state;
    static const uint64_t fingerprints[] = { [1] = 0x880b68b8d7f58e5b,
                                             [2] = 0x0a5dbff09fce8e99 };
    const uint64_t found = layout_fingerprint();

    if (PANEL_LAYOUT_VERSION >= COUNT(fingerprints) || fingerprints[PANEL_LAYOUT_VERSION] != found)
        fail_msg("panels have the fingerprint 0x%llx, not that of PANEL_LAYOUT_VERSION %d: raise "
                 "it (panel.h) and add the fingerprint here",
                 (unsigned long long)found, PANEL_LAYOUT_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_believed),
        cmocka_unit_test(every_flipped_byte_is_noticed),
        cmocka_unit_test(every_field_is_checked_for_itself),
        cmocka_unit_test(a_file_of_another_length_is_refused),
        cmocka_unit_test(a_changed_layout_has_a_new_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
