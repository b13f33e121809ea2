#include "cli/service/mac_settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/program.h"

#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

static const uint64_t GIB = 1u << 30;

/* What macOS lets the GPU wire by itself: two thirds of small memories, three quarters of large. */
static uint64_t own_limit(uint64_t memory_bytes)
{
    return memory_bytes <= 36 * GIB ? memory_bytes / 3 * 2 : memory_bytes / 4 * 3;
}

uint32_t mac_settings_wanted(const struct mac_state *s, uint64_t wanted_bytes,
                             struct mac_setting out[MAC_SETTINGS_MAX])
{
    const uint64_t limit = s->wired_limit_mib ? s->wired_limit_mib << 20
                                              : own_limit(s->memory_bytes);
    const uint64_t most = s->memory_bytes > 16 * GIB ? s->memory_bytes - 6 * GIB
                                                     : s->memory_bytes / 4 * 3;
    uint32_t n = 0;
    /* "powermode" on machines that have three modes, "highpowermode" on the first that had two */
    const bool has_modes = strstr(s->capabilities, " powermode");
    if ((has_modes || strstr(s->capabilities, "highpowermode")) && s->power_mode != 2) {
        out[n] =
            (struct mac_setting){ .why = "High power mode keeps the clock up under lasting load." };
        snprintf(out[n].words[0], sizeof out->words[0], "sudo");
        snprintf(out[n].words[1], sizeof out->words[0], "pmset");
        snprintf(out[n].words[2], sizeof out->words[0], "-a");
        snprintf(out[n].words[3], sizeof out->words[0], has_modes ? "powermode" : "highpowermode");
        snprintf(out[n++].words[4], sizeof out->words[0], has_modes ? "2" : "1");
    }
    if (wanted_bytes > limit && wanted_bytes <= most) {
        out[n] =
            (struct mac_setting){ .why = "The model takes more than the GPU may wire (until the "
                                              "next restart of the machine)." };
        snprintf(out[n].words[0], sizeof out->words[0], "sudo");
        snprintf(out[n].words[1], sizeof out->words[0], "sysctl");
        snprintf(out[n++].words[2], sizeof out->words[0], "iogpu.wired_limit_mb=%" PRIu64,
                 (wanted_bytes + GIB < most ? wanted_bytes + GIB : most) >> 20);
    }
    return n;
}

/* ---- asking --------------------------------------------------------------------------------- */

static void print_words(const struct mac_setting *s)
{
    for (int i = 0; i < 5 && s->words[i][0]; i++) printf(" %s", s->words[i]);
    putchar('\n');
}

static bool is_agreed(const struct mac_setting *s)
{
    char line[16];
    printf("%s\nRun", s->why);
    print_words(s);
    fputs("now? [y/N] ", stdout);
    fflush(stdout);
    return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

void mac_settings_ask(const struct mac_setting *s, bool dry_run)
{
    const char *argv[6] = { NULL };
    if (dry_run) {
        fputs("would ask, and run if agreed:", stdout);
        print_words(s);
        return;
    }
    if (!is_agreed(s)) return;
    for (int i = 0; i < 5 && s->words[i][0]; i++) argv[i] = s->words[i];
    if (program_run(argv)) fputs("paceline: it was not changed\n", stderr);
}

#if defined(__APPLE__)
static bool read_state(struct mac_state *s, char *text, size_t n)
{
    static const char *const capabilities[] = { "pmset", "-g", "cap", NULL };
    static const char *const current[] = { "pmset", "-g", NULL };
    char now[8192];
    size_t n_bytes = sizeof s->memory_bytes, n_limit = sizeof s->wired_limit_mib;
    *s = (struct mac_state){ .capabilities = text, .power_mode = -1 };
    if (program_output(capabilities, text, n)) text[0] = 0;
    if (!program_output(current, now, sizeof now)) s->power_mode = program_number(now, "powermode");
    sysctlbyname("iogpu.wired_limit_mb", &s->wired_limit_mib, &n_limit, NULL, 0);
    return !sysctlbyname("hw.memsize", &s->memory_bytes, &n_bytes, NULL, 0);
}
#else
static bool read_state(struct mac_state *s, char *text, size_t n)
{
    snprintf(text, n, " powermode");
    *s = (struct mac_state){ .capabilities = text, .power_mode = 0, .memory_bytes = 24 * GIB };
    return true;
}
#endif

void mac_settings_offer(uint64_t wanted_bytes, bool dry_run)
{
    struct mac_setting settings[MAC_SETTINGS_MAX];
    struct mac_state state;
    char text[8192];
#if defined(__APPLE__)
    const bool is_mac = true;
#else
    const bool is_mac = false;
#endif
    if (!dry_run && (!is_mac || !isatty(STDIN_FILENO))) return;
    if (!read_state(&state, text, sizeof text)) return;
    const uint32_t n = mac_settings_wanted(&state, wanted_bytes, settings);
    for (uint32_t i = 0; i < n; i++) mac_settings_ask(&settings[i], dry_run);
}
