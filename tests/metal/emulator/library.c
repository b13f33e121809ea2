#include "library.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checker.h"
#include "worker.h"

static const struct emu_engine engine = {
    .meet = worker_meet,
    .simd_barrier = worker_simd_barrier,
    .barrier = worker_barrier,
    .shared = worker_shared,
    .access = checker_access,
};

/* ---- compiling ------------------------------------------------------------------------------ */

static char *failed(const char *what)
{
    char *text = malloc(strlen(what) + 1);
    return text ? strcpy(text, what) : NULL;
}

/* All that the stream has; "" when there is no memory. */
static char *read_all(FILE *from)
{
    size_t n = 0, room = 4096;
    char *text = malloc(room);
    while (text) {
        n += fread(text + n, 1, room - 1 - n, from);
        if (n < room - 1) break;
        char *more = realloc(text, room *= 2);
        if (!more) free(text);
        text = more;
    }
    if (text) text[n] = 0;
    return text;
}

/* What build.py says about the source; *status: its exit status. NULL: it could not be run. */
static char *run_build(const char *source, const char *mode, int *status)
{
    char name[] = "/tmp/metal-emulated-XXXXXX", command[1200];
    const int file = mkstemp(name);
    if (file < 0) return NULL;
    FILE *to = fdopen(file, "w");
    bool is_written = to && fputs(source, to) >= 0;
    if (to) is_written = fclose(to) == 0 && is_written;
    else close(file);
    snprintf(command, sizeof command, "python3 '%s/build.py' %s %s 2>&1", EMULATOR_FOLDER, mode,
             name);
    FILE *from = is_written ? popen(command, "r") : NULL;
    char *text = from ? read_all(from) : NULL;
    *status = from ? pclose(from) : -1;
    unlink(name);
    return text;
}

bool emu_lint(const char *source, char **log)
{
    int status = -1;
    char *said = run_build(source, "lint", &status);
    *log = NULL;
    if (said && status == 0) {
        free(said);
        return true;
    }
    *log = said ? said : failed("build.py cannot be run");
    return false;
}

/* ---- loading -------------------------------------------------------------------------------- */

/* Where the library's own code and data lie. */
static int find_image(struct dl_phdr_info *info, size_t size, void *context)
{
    struct emu_library *l = context;
    (void)size;
    if (strcmp(info->dlpi_name, l->path)) return 0;
    l->image_low = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        const uintptr_t end = info->dlpi_addr + h->p_vaddr + h->p_memsz;
        if (h->p_type == PT_LOAD && end > l->image_high) l->image_high = end;
    }
    return 1;
}

static bool list_kernels(struct emu_library *l)
{
    for (uint32_t p = 0; p < l->n_parts; p++)
        for (const struct emu_entry *e = l->part[p]->entries; e->name; e++) l->n_kernels++;
    l->kernel = calloc(l->n_kernels + 1, sizeof *l->kernel);
    if (!l->kernel) return false;
    size_t n = 0;
    for (uint32_t p = 0; p < l->n_parts; p++)
        for (const struct emu_entry *e = l->part[p]->entries; e->name; e++)
            l->kernel[n++] = (struct emu_kernel){ l, l->part[p], e };
    return true;
}

struct emu_library *emu_library_open(const char *path, enum emu_build build, char **log)
{
    struct emu_library *l = calloc(1, sizeof *l);
    *log = NULL;
    if (!l) return NULL;
    snprintf(l->path, sizeof l->path, "%s", path);
    l->is_checked = build == EMU_CHECKED;
    l->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!l->handle) *log = failed(dlerror());
    for (; l->handle && l->n_parts < EMU_MAX_PARTS; l->n_parts++) {
        char name[32];
        snprintf(name, sizeof name, "emu_part_%u", l->n_parts);
        const struct emu_part *part = dlsym(l->handle, name);
        if (!part) break;
        l->part[l->n_parts] = part;
        part->bind(&engine);
    }
    if (l->handle && list_kernels(l)) {
        dl_iterate_phdr(find_image, l);
        return l;
    }
    emu_library_close(l);
    return NULL;
}

struct emu_library *emu_compile(const char *source, enum emu_build build, char **log)
{
    static const char *const modes[] = { "run", "checked", "fast", "functions" };
    int status = -1;
    char *said = run_build(source, modes[build], &status);
    *log = NULL;
    if (!said || status != 0) {
        *log = said ? said : failed("build.py cannot be run");
        return NULL;
    }
    said[strcspn(said, "\n")] = 0;
    struct emu_library *l = emu_library_open(said, build, log);
    free(said);
    if (!l && !*log) *log = failed("no memory for the library");
    return l;
}

void emu_library_close(struct emu_library *library)
{
    if (!library) return;
    if (library->handle) dlclose(library->handle);
    free(library->kernel);
    free(library);
}

/* ---- kernels -------------------------------------------------------------------------------- */

const struct emu_kernel *emu_kernel_find(const struct emu_library *library, const char *name)
{
    for (size_t i = 0; i < library->n_kernels; i++)
        if (!strcmp(library->kernel[i].entry->name, name)) return &library->kernel[i];
    return NULL;
}

const struct emu_kernel *emu_kernel_at(const struct emu_library *library, size_t i)
{
    return i < library->n_kernels ? &library->kernel[i] : NULL;
}

const char *emu_kernel_name(const struct emu_kernel *kernel)
{
    return kernel->entry->name;
}

uint32_t emu_kernel_buffers(const struct emu_kernel *kernel)
{
    return kernel->entry->buffers;
}

uint32_t emu_kernel_shared(const struct emu_kernel *kernel)
{
    return kernel->entry->shared;
}

uint32_t emu_kernel_max_threads(const struct emu_kernel *kernel)
{
    const uint32_t declared = kernel->entry->max_threads;
    return declared ? declared : EMU_MAX_THREADS;
}

/* ---- lines ---------------------------------------------------------------------------------- */

/* The innermost line of the kernels' own source: what the shim's functions are inlined into. */
static void line_of(const struct emu_library *l, const void *pc, char *text, size_t n)
{
    char command[700], line[600];
    const uintptr_t at = (uintptr_t)pc - 1 - l->image_low;  /* pc is where a call returns to */
    snprintf(text, n, "address %#zx", (size_t)at);
    if ((uintptr_t)pc < l->image_low || (uintptr_t)pc >= l->image_high) return;
    snprintf(command, sizeof command,
             "llvm-symbolizer-19 --functions=short --obj='%s' %#zx 2>/dev/null",
             l->path, (size_t)at);
    FILE *from = popen(command, "r");
    char function[200] = "";
    while (from && fgets(line, sizeof line, from)) {
        line[strcspn(line, "\n")] = 0;
        const char *place = strstr(line, "kernels.metal:");
        if (place) {
            const int digits = (int)strcspn(place + 14, ":");
            snprintf(text, n, "%s, line %.*s", function, digits, place + 14);
            break;
        }
        snprintf(function, sizeof function, "%.199s", line);
    }
    if (from) pclose(from);
}

void library_describe(const struct emu_library *l, const char *format, const void *const pc[2],
                      char *text, size_t n_text)
{
    size_t n = 0;
    for (const char *p = format; *p && n + 1 < n_text; p++) {
        if (p[0] != '%' || (p[1] != '1' && p[1] != '2')) {
            text[n++] = *p;
            continue;
        }
        line_of(l, pc[p[1] - '1'], text + n, n_text - n);
        n += strlen(text + n);
        p++;
    }
    if (n_text) text[n] = 0;
}
