#include "backend/cuda/library.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char file_name[] = "libpaceline_cuda.so";

/* The program's folder; false: unknown, as where there is no /proc. */
static bool program_folder(char *out, size_t n_bytes)
{
    const ssize_t n = readlink("/proc/self/exe", out, n_bytes - 1);
    if (n <= 0) return false;
    out[n] = '\0';
    char *slash = strrchr(out, '/');
    if (!slash) return false;
    *slash = '\0';
    return true;
}

bool cuda_library_find(char *path, size_t n_bytes)
{
    static const char *const folders[] = { "", "/../lib", "/../lib/paceline" };
    char folder[PATH_MAX];
    if (!program_folder(folder, sizeof folder)) return false;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        const int n = snprintf(path, n_bytes, "%s%s/%s", folder, folders[i], file_name);
        if (n > 0 && (size_t)n < n_bytes && !access(path, R_OK)) return true;
    }
    return false;
}

pl_status cuda_library_open(const struct cuda_plugin **out, const char *path, pl_err *err)
{
    char found[PATH_MAX];
    *out = NULL;
    if (!path && !cuda_library_find(found, sizeof found))
        return pl_fail(err, PL_E_UNSUPPORTED, "%s is neither beside the program nor in ../lib: "
                       "install it, or build with nvcc (scripts/setup.sh --cuda)", file_name);
    path = path ? path : found;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) return pl_fail(err, PL_E_UNSUPPORTED, "%s", dlerror());
    cuda_plugin_fn *plugin = NULL;
    void *const symbol = dlsym(library, CUDA_PLUGIN_SYMBOL);
    memcpy(&plugin, &symbol, sizeof plugin);        /* ISO C has no such cast */
    if (!plugin)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s has no %s: it is another library", path,
                       CUDA_PLUGIN_SYMBOL);
    const struct cuda_plugin *p = plugin();
    if (p->version != CUDA_PLUGIN_VERSION)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s is of version %u; this program wants %u: install "
                       "both from one build", path, p->version, CUDA_PLUGIN_VERSION);
    *out = p;
    return PL_OK;
}
