/* A compiled kernel library, as the engine sees it. */
#ifndef METAL_EMULATOR_LIBRARY_H
#define METAL_EMULATOR_LIBRARY_H

#include "abi.h"
#include "emulator.h"

struct emu_kernel {
    struct emu_library *library;
    const struct emu_part *part;
    const struct emu_entry *entry;
};

struct emu_library {
    void *handle;
    char path[512];
    bool is_checked;
    const struct emu_part *part[EMU_MAX_PARTS];
    uint32_t n_parts;
    struct emu_kernel *kernel;
    size_t n_kernels;
    uintptr_t image_low, image_high;
};

/* Replaces %1 and %2 in `format` by the source lines of these addresses. */
void library_describe(const struct emu_library *l, const char *format, const void *const pc[2],
                      char *text, size_t n_text);

#endif
