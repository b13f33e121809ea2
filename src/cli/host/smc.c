#if defined(__APPLE__)
/* macOS: temperatures and the power of the whole machine, from the system management controller.
 * Its keys are four letters: Tp.. and Te.. are sensors at performance and efficiency cores, Tg.. at
 * the GPU, PSTR is the machine's power. The keys differ by chip, so all are listed once. */
#include <IOKit/IOKitLib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/host/parts.h"

enum { MAX_SENSORS = 64, SELECTOR = 2, READ_VALUE = 5, KEY_AT = 8, KEY_INFO = 9 };

/* What the driver takes and gives, 80 bytes. */
struct smc_message {
    uint32_t key;
    uint8_t version[6], padding_a[2];
    uint16_t limit_version, limit_length;
    uint32_t limit_cpu, limit_gpu, limit_memory;
    uint32_t value_bytes, value_type;
    uint8_t value_attributes, padding_b[3];
    uint8_t result, status, command, padding_c;
    uint32_t index;
    uint8_t bytes[32];
};
_Static_assert(sizeof(struct smc_message) == 80, "the driver's message");

struct host_smc {
    io_connect_t connection;
    uint32_t cpu[MAX_SENSORS], gpu[MAX_SENSORS];
    size_t n_cpu, n_gpu;
};

static uint32_t four(const char *letters)
{
    uint32_t key = 0;
    for (int i = 0; i < 4; i++) key = key << 8 | (uint8_t)letters[i];
    return key;
}

static bool ask(const struct host_smc *h, struct smc_message *m)
{
    struct smc_message answer;
    size_t n = sizeof answer;
    if (IOConnectCallStructMethod(h->connection, SELECTOR, m, sizeof *m, &answer, &n)) return false;
    *m = answer;
    return answer.result == 0;
}

static bool read_value(const struct host_smc *h, uint32_t key, struct smc_message *out)
{
    struct smc_message info = { .key = key, .command = KEY_INFO };
    if (!ask(h, &info)) return false;
    *out = (struct smc_message){ .key = key, .command = READ_VALUE,
                                 .value_bytes = info.value_bytes };
    if (!ask(h, out)) return false;
    out->value_bytes = info.value_bytes;
    out->value_type = info.value_type;
    return true;
}

/* NAN: there is no such number. */
static double read_float(const struct host_smc *h, uint32_t key)
{
    struct smc_message m;
    float x;
    if (!read_value(h, key, &m) || m.value_type != four("flt ") || m.value_bytes != sizeof x)
        return NAN;
    memcpy(&x, m.bytes, sizeof x);
    return (double)x;
}

static void list_sensors(struct host_smc *h)
{
    struct smc_message count;
    if (!read_value(h, four("#KEY"), &count)) return;
    const uint32_t n = (uint32_t)count.bytes[0] << 24 | (uint32_t)count.bytes[1] << 16 |
                       (uint32_t)count.bytes[2] << 8 | count.bytes[3];
    for (uint32_t i = 0; i < n && i < 10000; i++) {
        struct smc_message m = { .command = KEY_AT, .index = i };
        if (!ask(h, &m)) continue;
        const uint32_t kind = m.key >> 16;
        const bool is_cpu = kind == four("__Tp") % 65536 || kind == four("__Te") % 65536;
        if (is_cpu && h->n_cpu < MAX_SENSORS) h->cpu[h->n_cpu++] = m.key;
        if (kind == four("__Tg") % 65536 && h->n_gpu < MAX_SENSORS) h->gpu[h->n_gpu++] = m.key;
    }
}

struct host_smc *host_smc_open(void)
{
    struct host_smc *h = calloc(1, sizeof *h);
    const io_service_t service =
        IOServiceGetMatchingService(MACH_PORT_NULL, IOServiceMatching("AppleSMC"));
    const bool is_open =
        h && service && !IOServiceOpen(service, mach_task_self(), 0, &h->connection);
    if (service) IOObjectRelease(service);
    if (!is_open) {
        free(h);
        return NULL;
    }
    list_sensors(h);
    return h;
}

static double hottest(const struct host_smc *h, const uint32_t *key, size_t n)
{
    double most = NAN;
    for (size_t i = 0; i < n; i++) {
        const double celsius = read_float(h, key[i]);
        if (celsius > 0 && celsius < 150 && !(celsius <= most)) most = celsius;
    }
    return most;
}

void host_smc_read(struct host_smc *h, struct host_figures *out)
{
    out->cpu_celsius = hottest(h, h->cpu, h->n_cpu);
    out->system_watts = read_float(h, four("PSTR"));
    if (out->n_gpus) out->gpu[0].celsius = hottest(h, h->gpu, h->n_gpu);
}

void host_smc_close(struct host_smc *h)
{
    if (!h) return;
    IOServiceClose(h->connection);
    free(h);
}
#endif
