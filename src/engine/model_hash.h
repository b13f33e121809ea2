/* The hash of a model file's content, all parts of a split one, and its memory in a cache folder: a
 * file whose identity (device, inode, size, times) has not changed is not read again.
 *
 * One small file per model path, "model-<hash of the path>.id". It is only believed whole, for
 * exactly these identities, and only written for files that nobody has touched for two seconds: a
 * change within the same tick of the file system's clock would not show. */
#ifndef ENGINE_MODEL_HASH_H
#define ENGINE_MODEL_HASH_H

#include "base/cache_dir.h"
#include "base/hash.h"
#include "gguf/gguf.h"

/* Hashes what is mapped. PL_E_IO: the file changed meanwhile. A memory that cannot be kept is no
 * failure. was_known: nothing but the memory was read. */
pl_status model_hash(const struct gguf *g, const struct cache_dir *dir, uint32_t n_threads,
                     struct hash128 *out, bool *was_known, pl_err *err);

#endif
