/* The model files of a repository, as a hub lists them or as they lie in a folder, and which of
 * them a name means.
 *
 * A model is one file or all parts of a split one (NAME-00001-of-00003.gguf ...). Its tag is the
 * quantisation as the file's name states it: "Q4_K_M". Files for other purposes (mmproj, imatrix)
 * are no models and are left out. */
#ifndef CLI_MODELS_LISTING_H
#define CLI_MODELS_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/models/name.h"

enum { LISTING_MAX_FILES = 20000, LISTING_MAX_PARTS = 999, LISTING_TAG_MAX = 24 };

struct listing_file {
    char *path;             /* in the repository */
    uint64_t n_bytes;       /* when whole */
    uint64_t n_have_bytes;  /* in a folder: of n_bytes */
    char sha256[65];        /* in hex; empty: not known */
    bool is_partial;
};

struct listing_model {
    char first[PULL_PATH_MAX];  /* path of its only file, or of part 1, there or not */
    char tag[LISTING_TAG_MAX];  /* empty: its name states none */
    uint32_t n_parts, n_there;  /* there: listed, and not partial */
    uint64_t n_bytes, n_have_bytes;
};

struct listing {            /* zeroed is empty */
    struct listing_file *files;
    size_t n_files, files_capacity;
    struct listing_model *models;   /* made by listing_group, by path */
    size_t n_models;
};

/* Adds a file if it is one of a model; `path` is safe. */
pl_status listing_add(struct listing *l, const struct listing_file *file, pl_err *err);

/* Adds a page of a hub's JSON. PL_E_FORMAT where it is no such listing, or names a model file
 * outside its own folder. */
pl_status listing_add_page(struct listing *l, const char *json, size_t n, pl_err *err);

/* After the last file: sorts, drops what is listed twice (the partial one), finds the models. */
pl_status listing_group(struct listing *l, pl_err *err);

/* The model that `name` means. Where it names neither tag nor file: the only one, or else, with
 * `is_guessing`, Q4_K_M or Q8_0. PL_E_PARAM with what there is. */
pl_status listing_choose(const struct listing *l, const struct pull_name *name, bool is_guessing,
                         const struct listing_model **out, pl_err *err);

const struct listing_file *listing_find(const struct listing *l, const char *path);

/* Path of part 1..n_parts of a model. */
void listing_part_path(char *to, size_t capacity, const char *first, uint32_t part);

/* The rest of the name that means this model and no other: its tag, or its path. */
const char *listing_suffix(const struct listing *l, const struct listing_model *m);

/* A line each model: tag, size, path. */
void listing_print(const struct listing *l, FILE *to);

void listing_free(struct listing *l);

/* The quantisation that a file's name or else its folder's states, in capitals; empty: none. */
void listing_tag(char tag[LISTING_TAG_MAX], const char *path);

/* Of "...-00002-of-00003.gguf": part 2 of 3. False: the path is not of that form. */
bool listing_split_of(const char *path, uint32_t *part, uint32_t *n_parts);

#endif
