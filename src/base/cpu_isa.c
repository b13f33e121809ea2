#include "base/cpu_isa.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__)
#include <math.h>
#include <sched.h>

#include "base/cgroup.h"
#include "base/cpu_cores.h"
#endif
#if defined(__APPLE__)
#include <sys/sysctl.h>
#include <sys/types.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#include <sys/prctl.h>
#endif

#if defined(__aarch64__)
enum { SME_BYTES = 64 };        /* of a vector: what the kernels are written for */
#endif

#if defined(__x86_64__)

static bool bit(uint32_t word, int n)
{
    return word >> n & 1;
}

/* Register state that the operating system saves: XCR0. */
static uint64_t saved_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* Linux gives a process the room that tiles take only if it asks (0x1023, of state 18). What it has
 * been given it keeps, and its threads have it, too. */
static bool may_use_tiles(void)
{
#if defined(__linux__)
    return !syscall(SYS_arch_prctl, 0x1023, 18);
#else
    return false;
#endif
}

struct cpu_isa cpu_isa_read(void)
{
    struct cpu_isa isa = { 0 };
    uint32_t a, b, c, d, b7, c7, d7;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) return isa;     /* OSXSAVE */
    const bool has_fma = bit(c, 12), has_avx = bit(c, 28), has_f16c = bit(c, 29);
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return isa;
    const uint64_t state = saved_state();

    isa.avx2 = (state & 6) == 6 && has_avx && has_fma && has_f16c && bit(b7, 5) && bit(b7, 8);
    isa.avx512vnni = isa.avx2 && (state & 0xe6) == 0xe6 && bit(b7, 16) && bit(b7, 17) &&
                     bit(b7, 30) && bit(b7, 31) && bit(c7, 1) && bit(c7, 8) && bit(c7, 11);
    isa.amx = isa.avx512vnni && (state >> 17 & 3) == 3 && bit(d7, 24) && bit(d7, 25) &&
              may_use_tiles();
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) isa.avxvnni = isa.avx2 && bit(a, 4);
    return isa;
}

static void brand(char *out, size_t n)
{
    uint32_t words[12] = { 0 };
    char text[sizeof words + 1] = { 0 };
    for (uint32_t i = 0; i < 3; i++)
        __get_cpuid(0x80000002 + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                    &words[4 * i + 3]);
    memcpy(text, words, sizeof words);
    uint32_t a = 0, b, c, d;
    __get_cpuid(1, &a, &b, &c, &d);
    uint32_t family = a >> 8 & 15, model = a >> 4 & 15;
    if (family == 6 || family == 15) model |= (a >> 16 & 15) << 4;
    if (family == 15) family += a >> 20 & 255;
    snprintf(out, n, "%s (family %u model %u)", text[0] ? text : "x86-64", family, model);
}

#elif defined(__aarch64__) && defined(__linux__)

/* Bytes of a vector in streaming mode, for this process; 0: there is none. */
static int streaming_bytes(void)
{
    enum { GET_LENGTH = 64, LENGTH = 0xffff };      /* PR_SME_GET_VL and its mask */
    const int length = prctl(GET_LENGTH, 0, 0, 0, 0);
    return length < 0 ? 0 : length & LENGTH;
}

struct cpu_isa cpu_isa_read(void)
{
    /* HWCAP_ASIMDHP 1 << 10, HWCAP_ASIMDDP 1 << 20, HWCAP2_I8MM 1 << 13 */
    const unsigned long one = getauxval(AT_HWCAP), two = getauxval(AT_HWCAP2);
    struct cpu_isa isa = { 0 };
    isa.neon = (one >> 10 & 1) && (one >> 20 & 1);
    isa.i8mm = isa.neon && (two >> 13 & 1);
    /* HWCAP2_SME 1 << 23, HWCAP2_SME_I8I32 1 << 26 */
    isa.sme = isa.i8mm && (two >> 23 & 1) && (two >> 26 & 1) && streaming_bytes() == SME_BYTES;
    return isa;
}

/* Arm has no brand string; who made the core and which one it is stands in its main identification
 * register. */
static void brand(char *out, size_t n)
{
    unsigned long long midr = 0;
    FILE *f = fopen("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1", "re");
    if (f) {
        if (fscanf(f, "%llx", &midr) != 1) midr = 0;
        fclose(f);
    }
    if (midr)
        snprintf(out, n, "64-bit Arm (implementer 0x%02llx part 0x%03llx)", midr >> 24 & 255,
                 midr >> 4 & 0xfff);
    else
        snprintf(out, n, "64-bit Arm");
}

#elif defined(__APPLE__)

/* 0 where there is no such name. */
static int has(const char *name)
{
    int value = 0;
    size_t n = sizeof value;
    return sysctlbyname(name, &value, &n, NULL, 0) ? 0 : value;
}

struct cpu_isa cpu_isa_read(void)
{
    struct cpu_isa isa = { 0 };
    isa.neon = has("hw.optional.arm.FEAT_DotProd") && has("hw.optional.arm.FEAT_FP16");
    isa.i8mm = isa.neon && has("hw.optional.arm.FEAT_I8MM");
    isa.sme = isa.i8mm && has("hw.optional.arm.FEAT_SME") && has("hw.optional.arm.SME_I8I32") &&
              has("hw.optional.arm.sme_max_svl_b") == SME_BYTES;
    return isa;
}

static void brand(char *out, size_t n)
{
    snprintf(out, n, "Apple Silicon");
    sysctlbyname("machdep.cpu.brand_string", out, &n, NULL, 0);
}

#else

struct cpu_isa cpu_isa_read(void)
{
    return (struct cpu_isa){ 0 };
}

static void brand(char *out, size_t n)
{
    snprintf(out, n, "unknown processor");
}

#endif

void cpu_name_read(char *out, size_t n)
{
    char text[128];
    size_t kept = 0;
    brand(text, sizeof text);
    for (const char *p = text; *p && kept + 1 < n; p++)     /* brands come with runs of spaces */
        if (*p != ' ' || (kept && out[kept - 1] != ' ')) out[kept++] = *p;
    if (n) out[kept] = 0;
}

#if defined(__linux__)

uint32_t cpu_performance_cores(void)
{
    cpu_set_t set;
    uint32_t cpu[CPU_SETSIZE], n = 0;
    if (sched_getaffinity(0, sizeof set, &set)) CPU_ZERO(&set);
    for (uint32_t i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set)) cpu[n++] = i;
    n = cpu_fast_cores("", cpu, n);
    const double quota = cgroup_limits_read("").cpus;       /* a part of a core takes a whole one */
    if (quota > 0 && quota < n) n = (uint32_t)ceil(quota);
    return n ? n : 1;
}

#else

uint32_t cpu_performance_cores(void)
{
#if defined(__APPLE__)
    int value = 0;
    size_t n = sizeof value;
    if (!sysctlbyname("hw.perflevel0.physicalcpu", &value, &n, NULL, 0) && value > 0)
        return (uint32_t)value;
#endif
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
}

#endif
