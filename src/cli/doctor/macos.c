#include "cli/doctor/doctor.h"

#ifdef __APPLE__
#include <notify.h>
#include <sys/resource.h>
#include <sys/sysctl.h>

#include "base/memory_available.h"
#include "cli/program.h"

static const double GIB = 1073741824.0;

static bool read_number(const char *name, uint64_t *out)
{
    uint64_t value = 0;
    size_t n = sizeof value;
    if (sysctlbyname(name, &value, &n, NULL, 0)) return false;
    *out = value;       /* little-endian: 32-bit answers fill the low half */
    return true;
}

static void ask_memory(struct doctor *d)
{
    struct xsw_usage swap;
    size_t n = sizeof swap;
    uint64_t total;
    const double available = (double)memory_available();
    if (read_number("hw.memsize", &total))
        doctor_find(d, "memory", available < GIB ? FINDING_WRONG : FINDING_FINE,
                    "%.1f of %.1f GiB are available", available < GIB ?
                    "end what takes the memory; paceline plan says what a model needs" : NULL,
                    available / GIB, (double)total / GIB);
    if (!sysctlbyname("vm.swapusage", &swap, &n, NULL, 0))
        doctor_find(d, "swap", swap.xsu_used > GIB ? FINDING_NOTE : FINDING_FINE,
                    "%.1f GiB are used", swap.xsu_used > GIB ?
                    "weights that are swapped out stall every stream: free memory, or run with "
                    "--mlock" : NULL, (double)swap.xsu_used / GIB);
}

static void ask_wired_limit(struct doctor *d)
{
    uint64_t mib;
    if (!read_number("iogpu.wired_limit_mb", &mib)) return;
    if (mib == 0)
        doctor_find(d, "wired limit", FINDING_FINE, "the system's own (iogpu.wired_limit_mb is 0)",
                    NULL);
    else
        doctor_find(d, "wired limit", FINDING_NOTE, "iogpu.wired_limit_mb is %llu",
                    "it is lost at a restart of the machine; paceline plan says what a model needs",
                    (unsigned long long)mib);
}

/* A process that was started in the background computes at a tenth of the speed. */
static void ask_background(struct doctor *d)
{
    const bool is_clamped = getpriority(PRIO_DARWIN_PROCESS, 0) == PRIO_DARWIN_BG;
    doctor_find(d, "background", is_clamped ? FINDING_WRONG : FINDING_FINE, "%s",
                is_clamped ? "start it with ProcessType Interactive: paceline service install"
                           : NULL,
                is_clamped ? "this process is held in the background class"
                           : "not in the background class");
}

/* /usr/include/libkern/OSThermalNotification.h: 0 nominal to 4 sleeping. */
static void ask_heat(struct doctor *d)
{
    static const char *const levels[] = { "nominal", "moderate", "heavy", "trapping", "sleeping" };
    int token;
    uint64_t level = 0;
    if (notify_register_check("com.apple.system.thermalpressurelevel", &token)) return;
    if (!notify_get_state(token, &level) && level < 5)
        doctor_find(d, "heat",
                    level == 0 ? FINDING_FINE : level == 1 ? FINDING_NOTE : FINDING_WRONG,
                    "thermal pressure is %s", level == 0 ? NULL :
                    "the chip slows down: better cooling, or plan with --derate", levels[level]);
    notify_cancel(token);
}

static void ask_power(struct doctor *d)
{
    static const char *const argv[] = { "pmset", "-g", NULL };
    char text[8192];
    if (program_output(argv, text, sizeof text)) return;
    const int low = program_number(text, "lowpowermode"), mode = program_number(text, "powermode");
    if (low == 1 || mode == 1)
        doctor_find(d, "power mode", FINDING_WRONG, "low power mode is on",
                    "sudo pmset -a lowpowermode 0");
    else if (mode == 0)
        doctor_find(d, "power mode", FINDING_NOTE, "automatic",
                    "sudo pmset -a powermode 2 keeps the clock up under lasting load");
    else if (mode == 2)
        doctor_find(d, "power mode", FINDING_FINE, "high power", NULL);
}

void doctor_ask_system(struct doctor *d)
{
    ask_memory(d);
    ask_wired_limit(d);
    ask_power(d);
    ask_background(d);
    ask_heat(d);
}
#endif
