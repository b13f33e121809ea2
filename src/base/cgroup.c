#include "base/cgroup.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A group of one hierarchy, as a folder; going up is to cut the end of `path`. */
struct group {
    const char *root, *mount;   /* "/sys/fs/cgroup/memory" */
    char path[PATH_MAX / 4];    /* "/system.slice/a.service"; "": the hierarchy's own root */
};

static FILE *open_file(const struct group *g, const char *file)
{
    char whole[PATH_MAX];
    snprintf(whole, sizeof whole, "%s%s%s/%s", g->root, g->mount, g->path, file);
    return fopen(whole, "re");
}

/* The number behind `key` in a file of "key number" lines; `otherwise` where there is none, as
 * where it is the word "max". */
static uint64_t read_number(const struct group *g, const char *file, const char *key,
                            uint64_t otherwise)
{
    char line[256];
    uint64_t value = otherwise;
    const size_t n_key = strlen(key);
    FILE *f = open_file(g, file);
    if (!f) return otherwise;
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, key, n_key) && sscanf(line + n_key, "%" SCNu64, &value) == 1) break;
    fclose(f);
    return value;
}

static bool go_up(struct group *g)
{
    char *slash = strrchr(g->path, '/');
    if (!slash) return false;
    *slash = 0;
    return true;
}

/* ---- one group ------------------------------------------------------------------------------ */

static void take_memory(struct cgroup_limits *l, uint64_t limit, uint64_t used, uint64_t droppable)
{
    if (limit >= UINT64_MAX / 4) return;    /* version 1 says "none" by a huge number */
    const uint64_t held = used > droppable ? used - droppable : 0;
    const uint64_t left = limit > held ? limit - held : 0;
    if (left > l->memory_left_bytes || (left == l->memory_left_bytes && limit >= l->memory_bytes))
        return;
    l->memory_bytes = limit;
    l->memory_left_bytes = left;
}

static void take_cpus(struct cgroup_limits *l, long long quota, long long period)
{
    if (quota <= 0 || period <= 0) return;
    const double cpus = (double)quota / (double)period;
    if (l->cpus == 0 || cpus < l->cpus) l->cpus = cpus;
}

static void take_version_2(struct cgroup_limits *l, const struct group *g)
{
    const uint64_t max = read_number(g, "memory.max", "", UINT64_MAX);
    const uint64_t high = read_number(g, "memory.high", "", UINT64_MAX);
    take_memory(l, high < max ? high : max, read_number(g, "memory.current", "", 0),
                read_number(g, "memory.stat", "inactive_file ", 0));
    long long quota = 0, period = 0;
    FILE *f = open_file(g, "cpu.max");      /* "200000 100000", "max 100000" */
    if (!f) return;
    if (fscanf(f, "%lld %lld", &quota, &period) == 2) take_cpus(l, quota, period);
    fclose(f);
}

static void take_memory_1(struct cgroup_limits *l, const struct group *g)
{
    take_memory(l, read_number(g, "memory.limit_in_bytes", "", UINT64_MAX),
                read_number(g, "memory.usage_in_bytes", "", 0),
                read_number(g, "memory.stat", "total_inactive_file ", 0));
}

/* No quota is -1 there, which reads as a huge number. */
static void take_cpus_1(struct cgroup_limits *l, const struct group *g)
{
    const uint64_t quota = read_number(g, "cpu.cfs_quota_us", "", 0);
    const uint64_t period = read_number(g, "cpu.cfs_period_us", "", 0);
    if (quota <= INT64_MAX && period <= INT64_MAX)
        take_cpus(l, (long long)quota, (long long)period);
}

/* ---- all of them ---------------------------------------------------------------------------- */

typedef void take_fn(struct cgroup_limits *l, const struct group *g);

/* From the group to its hierarchy's root. In a container the path may be one of the machine's,
 * which is not mounted there: what is, is the root. */
static void walk(struct cgroup_limits *l, take_fn *take, const char *root, const char *mount,
                 const char *path)
{
    struct group g = { root, mount, "" };
    snprintf(g.path, sizeof g.path, "%s", strcmp(path, "/") ? path : "");
    do take(l, &g);
    while (go_up(&g));
}

static bool has_controller(const char *list, const char *name)
{
    const size_t n = strlen(name);
    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == n && !strncmp(at, name, n)) return true;
    return false;
}

/* "4:memory:/a/b": version 1 of a controller, "0::/a/b": version 2. */
static void take_line(struct cgroup_limits *l, const char *root, char *line)
{
    char mount[PATH_MAX / 4];
    char *controllers = strchr(line, ':'),
          *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path) return;
    *controllers++ = *path++ = 0;
    path[strcspn(path, "\n")] = 0;
    if (!*controllers) {
        walk(l, take_version_2, root, "/sys/fs/cgroup", path);
        walk(l, take_version_2, root, "/sys/fs/cgroup/unified", path);
        return;
    }
    if (has_controller(controllers, "memory"))
        walk(l, take_memory_1, root, "/sys/fs/cgroup/memory", path);
    if (!has_controller(controllers, "cpu")) return;
    walk(l, take_cpus_1, root, "/sys/fs/cgroup/cpu", path);
    snprintf(mount, sizeof mount, "/sys/fs/cgroup/%s", controllers);    /* "cpu,cpuacct" */
    walk(l, take_cpus_1, root, mount, path);
}

struct cgroup_limits cgroup_limits_read(const char *root)
{
    struct cgroup_limits l = { UINT64_MAX, UINT64_MAX, 0 };
    char line[PATH_MAX];
    snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    FILE *f = fopen(line, "re");
    if (!f) {           /* as in a root of its own, where only the mounts are seen */
        walk(&l, take_version_2, root, "/sys/fs/cgroup", "/");
        walk(&l, take_memory_1, root, "/sys/fs/cgroup/memory", "/");
        walk(&l, take_cpus_1, root, "/sys/fs/cgroup/cpu", "/");
        return l;
    }
    while (fgets(line, sizeof line, f)) take_line(&l, root, line);
    fclose(f);
    return l;
}
