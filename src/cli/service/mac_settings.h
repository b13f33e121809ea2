/* Settings of macOS that make a Mac a better server: proposed, and changed only when asked. */
#ifndef CLI_SERVICE_MAC_SETTINGS_H
#define CLI_SERVICE_MAC_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

enum { MAC_SETTINGS_MAX = 2 };

struct mac_setting {
    const char *why;
    char words[5][48];          /* the command: "sudo", "pmset", ...; empty words at the end */
};

struct mac_state {
    const char *capabilities;   /* what `pmset -g cap` prints */
    int power_mode;             /* 0 automatic, 1 low, 2 high; -1: unknown */
    uint64_t memory_bytes;
    uint64_t wired_limit_mib;   /* iogpu.wired_limit_mb; 0: the system's own */
};

/* What of this is worth changing for a model that takes wanted_bytes (0: unknown). Returns how many
 * settings it wrote. */
uint32_t mac_settings_wanted(const struct mac_state *state, uint64_t wanted_bytes,
                             struct mac_setting out[MAC_SETTINGS_MAX]);

/* Asks for one on standard input and runs it if that is agreed to ("y"); dry_run: prints what would
 * be asked. */
void mac_settings_ask(const struct mac_setting *setting, bool dry_run);

/* Asks for each on the terminal and runs what was agreed to; dry_run: prints what would be asked.
 * Does nothing on other systems, but for a dry run, which supposes a Mac of 24 GiB that has all. */
void mac_settings_offer(uint64_t wanted_bytes, bool dry_run);

#endif
