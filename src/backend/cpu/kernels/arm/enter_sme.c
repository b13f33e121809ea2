/* smstart and smstop make all vector registers zero: what a caller may expect to stay, the lower
 * halves of v8 to v15, is put on the stack meanwhile. Nobody else's matrix is there to be kept: the
 * threads that come here run nothing but this engine. */
#include "backend/cpu/kernels/arm/enter_sme.h"

#ifdef __APPLE__
#define NAME "_sme_enter"
#define BEGIN ".private_extern " NAME "\n"
#define END ""
#else
#define NAME "sme_enter"
#define BEGIN ".hidden " NAME "\n.type " NAME ", %function\n"
#define END ".size " NAME ", . - " NAME "\n"
#endif

__asm__(".text\n"
        ".p2align 2\n"
        ".globl " NAME "\n" BEGIN
        NAME ":\n"
        "    hint #34\n"                    /* bti c */
        "    stp x29, x30, [sp, #-80]!\n"
        "    mov x29, sp\n"
        "    stp d8, d9, [sp, #16]\n"
        "    stp d10, d11, [sp, #32]\n"
        "    stp d12, d13, [sp, #48]\n"
        "    stp d14, d15, [sp, #64]\n"
        "    mov x9, x0\n"
        "    mov x0, x1\n"
        "    .inst 0xd503477f\n"            /* smstart */
        "    blr x9\n"
        "    .inst 0xd503467f\n"            /* smstop */
        "    ldp d8, d9, [sp, #16]\n"
        "    ldp d10, d11, [sp, #32]\n"
        "    ldp d12, d13, [sp, #48]\n"
        "    ldp d14, d15, [sp, #64]\n"
        "    ldp x29, x30, [sp], #80\n"
        "    ret\n" END);
