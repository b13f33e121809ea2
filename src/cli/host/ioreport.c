#if defined(__APPLE__)
/* macOS: energy counters and the GPU's residency in its power states, by IOReport. Apple ships the
 * library and documents none of it, so it is loaded at run time and may be missing. A channel is a
 * dictionary; a sample is a dictionary with an array of channels. */
#include <CoreFoundation/CoreFoundation.h>
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/host/parts.h"

typedef struct ioreport_subscription *subscription_ref;

struct host_ioreport {
    void *library;
    CFMutableDictionaryRef (*copy_channels)(CFStringRef group, CFStringRef subgroup, uint64_t a,
                                            uint64_t b, uint64_t c);
    void (*merge_channels)(CFMutableDictionaryRef into, CFDictionaryRef more, CFTypeRef none);
    subscription_ref (*subscribe)(void *a, CFMutableDictionaryRef wanted,
                                  CFMutableDictionaryRef *got, uint64_t id, CFTypeRef none);
    CFDictionaryRef (*sample)(subscription_ref s, CFMutableDictionaryRef channels, CFTypeRef none);
    CFDictionaryRef (*delta)(CFDictionaryRef from, CFDictionaryRef to, CFTypeRef none);
    CFStringRef (*channel_name)(CFDictionaryRef channel);
    CFStringRef (*channel_group)(CFDictionaryRef channel);
    CFStringRef (*channel_unit)(CFDictionaryRef channel);
    int64_t (*value)(CFDictionaryRef channel, int32_t a);
    int32_t (*n_states)(CFDictionaryRef channel);
    CFStringRef (*state_name)(CFDictionaryRef channel, int32_t state);
    int64_t (*state_residency)(CFDictionaryRef channel, int32_t state);
    subscription_ref subscription;
    CFMutableDictionaryRef channels;
    CFDictionaryRef last;
    uint64_t last_ns;
};

static bool find(struct host_ioreport *h, void *function, const char *name)
{
    *(void **)function = dlsym(h->library, name);
    return *(void **)function != NULL;
}

static bool find_all(struct host_ioreport *h)
{
    h->library = dlopen("/usr/lib/libIOReport.dylib", RTLD_NOW | RTLD_LOCAL);
    return h->library && find(h, &h->copy_channels, "IOReportCopyChannelsInGroup") &&
           find(h, &h->merge_channels, "IOReportMergeChannels") &&
           find(h, &h->subscribe, "IOReportCreateSubscription") &&
           find(h, &h->sample, "IOReportCreateSamples") &&
           find(h, &h->delta, "IOReportCreateSamplesDelta") &&
           find(h, &h->channel_name, "IOReportChannelGetChannelName") &&
           find(h, &h->channel_group, "IOReportChannelGetGroup") &&
           find(h, &h->channel_unit, "IOReportChannelGetUnitLabel") &&
           find(h, &h->value, "IOReportSimpleGetIntegerValue") &&
           find(h, &h->n_states, "IOReportStateGetCount") &&
           find(h, &h->state_name, "IOReportStateGetNameForIndex") &&
           find(h, &h->state_residency, "IOReportStateGetResidency");
}

static bool subscribe(struct host_ioreport *h)
{
    CFMutableDictionaryRef energy = h->copy_channels(CFSTR("Energy Model"), NULL, 0, 0, 0);
    CFMutableDictionaryRef gpu =
        h->copy_channels(CFSTR("GPU Stats"), CFSTR("GPU Performance States"), 0, 0, 0);
    if (energy && gpu) h->merge_channels(energy, gpu, NULL);
    if (gpu) CFRelease(gpu);
    if (!energy) return false;
    h->subscription = h->subscribe(NULL, energy, &h->channels, 0, NULL);
    CFRelease(energy);
    return h->subscription && h->channels;
}

struct host_ioreport *host_ioreport_open(void)
{
    struct host_ioreport *h = calloc(1, sizeof *h);
    if (!h) return NULL;
    if (find_all(h) && subscribe(h)) return h;
    host_ioreport_close(h);
    return NULL;
}

static void copy_text(char *to, size_t n_to, CFStringRef from)
{
    if (!from || !CFStringGetCString(from, to, (CFIndex)n_to, kCFStringEncodingUTF8)) *to = 0;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), n_end = strlen(end);
    return n >= n_end && !strcmp(text + n - n_end, end);
}

static double joules(const struct host_ioreport *h, CFDictionaryRef channel)
{
    char unit[16];
    copy_text(unit, sizeof unit, h->channel_unit(channel));
    const double scale = !strncmp(unit, "mJ", 2)   ? 1e-3
                         : !strncmp(unit, "uJ", 2) ? 1e-6
                         : !strncmp(unit, "nJ", 2) ? 1e-9
                                                   : NAN;
    return (double)h->value(channel, 0) * scale;
}

/* The share of the time in which the GPU was neither off nor idle. */
static double active_share(const struct host_ioreport *h, CFDictionaryRef channel)
{
    double active = 0, all = 0;
    const int32_t n = h->n_states(channel);
    for (int32_t i = 0; i < n; i++) {
        char name[32];
        const double t = (double)h->state_residency(channel, i);
        copy_text(name, sizeof name, h->state_name(channel, i));
        all += t;
        if (strcmp(name, "OFF") && strcmp(name, "IDLE") && strcmp(name, "DOWN")) active += t;
    }
    return all > 0 ? active / all : NAN;
}

static void add(double *sum, double more)
{
    if (isnan(more)) return;
    *sum = isnan(*sum) ? more : *sum + more;
}

static void take_channel(const struct host_ioreport *h, CFDictionaryRef channel, double seconds,
                         struct host_figures *out)
{
    char group[48], name[64];
    copy_text(group, sizeof group, h->channel_group(channel));
    copy_text(name, sizeof name, h->channel_name(channel));
    if (!strcmp(group, "Energy Model")) {
        if (ends_with(name, "CPU Energy")) add(&out->cpu_watts, joules(h, channel) / seconds);
        if (!strcmp(name, "GPU Energy")) add(&out->gpu[0].watts, joules(h, channel) / seconds);
    } else if (!strcmp(name, "GPUPH")) {
        out->gpu[0].share = active_share(h, channel);
    }
}

static void take_delta(const struct host_ioreport *h, CFDictionaryRef delta, double seconds,
                       struct host_figures *out)
{
    const CFArrayRef list = CFDictionaryGetValue(delta, CFSTR("IOReportChannels"));
    if (!list) return;
    const CFIndex n = CFArrayGetCount(list);
    for (CFIndex i = 0; i < n; i++)
        take_channel(h, CFArrayGetValueAtIndex(list, i), seconds, out);
}

void host_ioreport_read(struct host_ioreport *h, uint64_t now_ns, struct host_figures *out)
{
    const CFDictionaryRef now = h->sample(h->subscription, h->channels, NULL);
    out->gpu[0] = (struct host_gpu){ "GPU", NAN, NAN, NAN, NAN, NAN };
    out->n_gpus = 1;
    if (!now) return;
    if (h->last && now_ns > h->last_ns) {
        const CFDictionaryRef delta = h->delta(h->last, now, NULL);
        if (delta) {
            take_delta(h, delta, (double)(now_ns - h->last_ns) * 1e-9, out);
            CFRelease(delta);
        }
    }
    if (h->last) CFRelease(h->last);
    h->last = now;
    h->last_ns = now_ns;
}

void host_ioreport_close(struct host_ioreport *h)
{
    if (!h) return;
    if (h->last) CFRelease(h->last);
    if (h->channels) CFRelease(h->channels);
    if (h->subscription) CFRelease((CFTypeRef)h->subscription);
    if (h->library) dlclose(h->library);
    free(h);
}
#endif
