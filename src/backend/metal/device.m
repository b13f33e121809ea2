/* The GPU, its memory and its compiled kernels. */
#include "backend/metal/device_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"

/* ---- compiled kernels on disk --------------------------------------------------------------- */

/* One file for each source and device; one that cannot be read is begun anew. */
static void open_archive(struct metal_device *d, const char *source, const char *dir)
{
    const struct hash128 hash = hash128(source, strlen(source));
    NSError *error = nil;
    MTLBinaryArchiveDescriptor *descriptor = [[MTLBinaryArchiveDescriptor alloc] init];
    d->archive_path = [[NSString alloc] initWithFormat:@"%s/metal-%016llx-%s.archive", dir,
                                                       (unsigned long long)hash.low, d->facts.name];
    if ([[NSFileManager defaultManager] fileExistsAtPath:d->archive_path]) {
        [descriptor setUrl:[NSURL fileURLWithPath:d->archive_path]];
        d->archive = [d->device newBinaryArchiveWithDescriptor:descriptor error:&error];
        if (!d->archive)
            PL_LOG(WARN, "metal", "kept kernels are compiled anew: %s",
                   [[error localizedDescription] UTF8String]);
        [descriptor setUrl:nil];
    }
    if (!d->archive)
        d->archive = [d->device newBinaryArchiveWithDescriptor:descriptor error:&error];
    [descriptor release];
}

/* Written beside its place and moved there, so that no reader sees half of it. */
static void keep_archive(struct metal_device *d)
{
    NSError *error = nil;
    if (!d->archive || !d->is_archive_changed) return;
    d->is_archive_changed = false;
    /* another server may be at the same: the name is this process's own */
    NSString *beside = [[[NSString alloc] initWithFormat:@"%s.%d",
                                                         [d->archive_path fileSystemRepresentation],
                                                         (int)getpid()] autorelease];
    if (![d->archive serializeToURL:[NSURL fileURLWithPath:beside] error:&error] ||
        rename([beside fileSystemRepresentation], [d->archive_path fileSystemRepresentation]))
        PL_LOG(WARN, "metal", "compiled kernels are not kept: %s",
               error ? [[error localizedDescription] UTF8String] : "the file cannot be renamed");
}

/* ---- open and close ------------------------------------------------------------------------- */

static void make_residency(struct metal_device *d)
{
#if HAS_SDK_15
    if (![d->device respondsToSelector:@selector(newResidencySetWithDescriptor:error:)]) return;
    NSError *error = nil;
    MTLResidencySetDescriptor *descriptor = [[MTLResidencySetDescriptor alloc] init];
    d->residency = [d->device newResidencySetWithDescriptor:descriptor error:&error];
    [descriptor release];
#else
    (void)d;
#endif
}

/* Sums and products as written: bits of a column must not depend on what a compiler makes of them.
 * And exp, tanh and the like to their last bits: where the mode of arithmetic is asked for alone,
 * functions stay Metal's fast ones, whose tanh is NaN from about 45 on. fastMathEnabled says both.
 */
static MTLCompileOptions *new_options(MTLLanguageVersion version)
{
    MTLCompileOptions *options = [[MTLCompileOptions alloc] init];
    [options setLanguageVersion:version];
#if HAS_SDK_15
    if ([options respondsToSelector:@selector(setMathMode:)]) {
        [options setMathMode:MTLMathModeSafe];
        [options setMathFloatingPointFunctions:MTLMathFloatingPointFunctionsPrecise];
        return options;
    }
#endif
    [options setFastMathEnabled:NO];
    return options;
}

/* What a compiler said of kernels that it took: for a report (paceline self-test --report). */
static void log_warnings(const char *text)
{
    char *copy = strdup(text), *rest = NULL;
    for (char *line = copy ? strtok_r(copy, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest))
        PL_LOG(DEBUG, "metal", "compiler: %s", line);
    free(copy);
}

static pl_status compile(struct metal_device *d, const char *source, MTLLanguageVersion version,
                         id<MTLLibrary> *out, char **log, pl_err *err)
{
    NSError *error = nil;
    MTLCompileOptions *options = new_options(version);
    *out = [d->device newLibraryWithSource:[NSString stringWithUTF8String:source]
                                   options:options
                                     error:&error];
    [options release];
    if (*out && error) log_warnings([[error localizedDescription] UTF8String]);
    if (*out) return PL_OK;
    if (log && error) *log = strdup([[error localizedDescription] UTF8String]);
    return metal_fail_with(err, PL_E_UNSUPPORTED, "Metal's compiler refuses the kernels", error);
}

/* Apple M1 or later: what the kernels' matrices of 8 x 8 and sums of a simdgroup want. */
static bool is_usable(id<MTLDevice> device)
{
    return [device supportsFamily:MTLGPUFamilyApple7];
}

/* A usable GPU, retained, where there is one. The list comes first: a process without a session at
 * the screen (ssh, tmux, launchd) was seen to have a list of one and no default device, and others
 * the reverse. */
static id<MTLDevice> new_gpu(pl_err *err)
{
    NSArray *all = MTLCopyAllDevices();
    const unsigned n_listed = (unsigned)[all count];
    id<MTLDevice> found = nil;
    for (unsigned i = 0; i < n_listed && !is_usable(found); i++) found = [all objectAtIndex:i];
    [found retain];
    [all release];
    if (is_usable(found)) return found;
    id<MTLDevice> usual = MTLCreateSystemDefaultDevice();
    if (is_usable(usual)) {
        [found release];
        return usual;
    }
    if (found || usual)
        pl_fail(err, PL_E_UNSUPPORTED, "the GPU \"%.60s\" is none of Apple's M1 or later, which "
                "Metal's kernels want (virtual machines have none): use --backend cpu",
                [[(found ? found : usual) name] UTF8String]);
    else
        pl_fail(err, PL_E_UNSUPPORTED, "Metal lists no GPU and has no default one; a Mac with an "
                "Apple M1 or later is wanted: use --backend cpu");
    [found release];
    [usual release];
    return nil;
}

pl_status metal_device_reach(char *name, size_t n_bytes, pl_err *err)
{
    pl_status st = PL_OK;
    @autoreleasepool {
        id<MTLDevice> device = new_gpu(err);
        if (device) snprintf(name, n_bytes, "%s", [[device name] UTF8String]);
        else st = PL_E_UNSUPPORTED;
        [device release];
    }
    return st;
}

static void read_facts(struct metal_device *d)
{
    struct metal_facts *f = &d->facts;
    snprintf(f->name, sizeof f->name, "%s", [[d->device name] UTF8String]);
    f->working_set_bytes = [d->device recommendedMaxWorkingSetSize];
    f->max_buffer_bytes = [d->device maxBufferLength];
#if HAS_SDK_26
    f->has_tensors = [d->device supportsFamily:MTLGPUFamilyMetal4] &&
                     [d->device supportsFamily:MTLGPUFamilyApple10];
#endif
#ifdef PACELINE_METAL_EMULATED
    f->is_emulated = true;
#endif
}

pl_status metal_device_open(struct metal_device **out, const char *source, const char *pipeline_dir,
                            char **log, pl_err *err)
{
    *out = NULL;
    if (log) *log = NULL;
    struct metal_device *d = calloc(1, sizeof *d);
    if (!d) return pl_fail(err, PL_E_MEMORY, "no memory for a device");
    pthread_mutex_init(&d->archive_lock, NULL);
    pl_status st = PL_OK;
    @autoreleasepool {
        d->device = new_gpu(err);
        if (!d->device) {
            st = PL_E_UNSUPPORTED;
        } else {
            read_facts(d);
            d->pace.budget_ns = PACE_BUDGET_NS;
            d->buffers = [[NSMutableArray alloc] init];
            make_residency(d);
            d->event = [d->device newSharedEvent];
            if (!d->event || !metal_make_queue(d))
                st = pl_fail(err, PL_E_INTERNAL, "Metal makes no command queue");
        }
        if (!st) st = compile(d, source, MTLLanguageVersion3_1, &d->library, log, err);
        if (!st && pipeline_dir) open_archive(d, source, pipeline_dir);
    }
    if (st) {
        metal_device_close(d);
        return st;
    }
    *out = d;
    return PL_OK;
}

pl_status metal_device_add_tensors(struct metal_device *d, const char *source, char **log,
                                   pl_err *err)
{
    pl_status st = pl_fail(err, PL_E_UNSUPPORTED, "no SDK of macOS 26 when this was built");
    *log = NULL;
#if HAS_SDK_26
    @autoreleasepool {
        st = compile(d, source, MTLLanguageVersion4_0, &d->tensors, log, err);
    }
#else
    (void)d, (void)source;
#endif
    return st;
}

void metal_device_close(struct metal_device *d)
{
    pl_err unused;
    if (!d) return;
    keep_alive_close(d->keeper);
    while (d->n_committed) metal_wait(d, NULL, &unused);    /* it uses what is let go here */
    @autoreleasepool {
        for (struct metal_pipeline *p = d->pipeline, *next; p; p = next) {
            next = p->next;
            [p->state release];
            free(p);
        }
        [d->encoder release];
        for (uint32_t i = 0; i < METAL_MAX_PARTS; i++) [d->part[i].buffer release];
        [d->event release];
        [d->archive release];
        [d->archive_path release];
        [d->library release];
        [d->tensors release];
        [d->queue release];
        for (NSUInteger i = 0; i < [d->buffers count] && !d->residency; i++)
            memory_unlock([[d->buffers objectAtIndex:i] contents],
                          [[d->buffers objectAtIndex:i] length]);
        [d->residency release];
        [d->buffers release];
        [d->device release];
    }
    pthread_mutex_destroy(&d->archive_lock);
    free(d);
}

const struct metal_facts *metal_device_facts(const struct metal_device *d)
{
    return &d->facts;
}

uint64_t metal_device_n_bytes(const struct metal_device *d)
{
    return d->n_bytes;
}

/* ---- memory --------------------------------------------------------------------------------- */

static pl_status check_room(const struct metal_device *d, uint64_t n_bytes, const char *what,
                            pl_err *err)
{
    const uint64_t most = d->facts.working_set_bytes;
    if (n_bytes > d->facts.max_buffer_bytes)
        return pl_fail(err, PL_E_MEMORY, "%s take %llu MiB; a buffer of this GPU holds %llu: lower "
                       "--ctx-size, --parallel or --kv-tokens", what,
                       (unsigned long long)n_bytes >> 20,
                       (unsigned long long)d->facts.max_buffer_bytes >> 20);
    if (most && d->n_bytes + n_bytes > most)
        return pl_fail(
            err, PL_E_MEMORY,
            "%s bring it to %llu MiB; the GPU may keep %llu: lower "
            "--ctx-size or --parallel, or raise iogpu.wired_limit_mb (see paceline doctor)",
            what, (unsigned long long)(d->n_bytes + n_bytes) >> 20, (unsigned long long)most >> 20);
    return PL_OK;
}

/* Where the system has no residency sets, nothing else keeps what the GPU reads from being swapped
 * out. Closing unlocks it. */
static void lock_buffer(struct metal_device *d, id<MTLBuffer> buffer)
{
    pl_err err;
    if (d->is_lock_refused || !memory_lock([buffer contents], [buffer length], &err)) return;
    d->is_lock_refused = true;
    PL_LOG(WARN, "metal", "this macOS locks no %u MiB for the GPU, which may be swapped out: macOS "
           "15 keeps them resident", (unsigned)([buffer length] >> 20));
}

/* Keeps a new buffer, and asks for its residency at the next settling. */
static void keep_buffer(struct metal_device *d, id<MTLBuffer> buffer)
{
    [d->buffers addObject:buffer];
    [buffer release];           /* the array's now */
#if HAS_SDK_15
    if (d->residency) [d->residency addAllocation:buffer];
#endif
    if (!d->residency) lock_buffer(d, buffer);
    d->n_bytes += [buffer length];
}

static const MTLResourceOptions options_of_buffers =
    MTLResourceStorageModeShared | MTLResourceHazardTrackingModeUntracked;

pl_status metal_buffer_take(struct metal_device *d, uint64_t n_bytes, const char *what,
                            struct metal_buffer *out, pl_err *err)
{
    const uint64_t length = n_bytes ? n_bytes : METAL_LEAST_BUFFER;
    const pl_status st = check_room(d, length, what, err);
    if (st) return st;
    id<MTLBuffer> buffer;
    @autoreleasepool {
        buffer = [d->device newBufferWithLength:length options:options_of_buffers];
        if (buffer) keep_buffer(d, buffer);
    }
    if (!buffer)
        return pl_fail(err, PL_E_MEMORY, "no memory for %llu MiB of %s",
                       (unsigned long long)length >> 20, what);
    *out = (struct metal_buffer){ [buffer contents], n_bytes, buffer, 0 };
    memset(out->bytes, 0, length);  /* resident from the start */
    return PL_OK;
}

/* Metal wants whole pages: those that the bytes lie in. */
pl_status metal_buffer_wrap(struct metal_device *d, const void *bytes, uint64_t n_bytes,
                            const char *what, struct metal_buffer *out, pl_err *err)
{
    const uintptr_t page = (uintptr_t)getpagesize(), at = (uintptr_t)bytes;
    const uintptr_t first = at / page * page, end = (at + n_bytes + page - 1) / page * page;
    const pl_status st = check_room(d, end - first, what, err);
    if (st) return st;
    id<MTLBuffer> buffer;
    @autoreleasepool {
        buffer = [d->device newBufferWithBytesNoCopy:(void *)first
                                              length:end - first
                                             options:options_of_buffers
                                         deallocator:nil];
        if (buffer) keep_buffer(d, buffer);
    }
    if (!buffer)
        return pl_fail(err, PL_E_MEMORY, "%s: Metal does not take %llu MiB of a mapped file", what,
                       (unsigned long long)n_bytes >> 20);
    *out = (struct metal_buffer){ (void *)at, n_bytes, buffer, at - first };
    return PL_OK;
}

pl_status metal_device_settle(struct metal_device *d, pl_err *err)
{
    (void)err;
    @autoreleasepool {
#if HAS_SDK_15
        if (d->residency) {
            [d->residency commit];
            [d->residency requestResidency];
        }
#endif
        keep_archive(d);
    }
    return PL_OK;
}

#if HAS_SDK_15
static void ask_for_residency(void *arg)
{
    @autoreleasepool {
        [(id<MTLResidencySet>)arg requestResidency];
    }
}
#endif

pl_status metal_device_keep(struct metal_device *d, uint32_t keep_s, pl_err *err)
{
#if HAS_SDK_15
    if (d->residency && !d->keeper)
        return keep_alive_open(&d->keeper, keep_s * 1000000000ull, KEEP_ALIVE_PERIOD_NS,
                               ask_for_residency, d->residency, err);
#endif
    (void)d, (void)keep_s, (void)err;
    return PL_OK;
}

/* ---- kernels -------------------------------------------------------------------------------- */

static id<MTLFunction> new_function(struct metal_device *d, const char *name,
                                    const int32_t *constant, uint32_t n_constants, NSError **error)
{
    NSString *function = [NSString stringWithUTF8String:name];
    if (!n_constants) {
        id<MTLFunction> found = [d->library newFunctionWithName:function];
        return found || !d->tensors ? found : [d->tensors newFunctionWithName:function];
    }
    MTLFunctionConstantValues *values = [[MTLFunctionConstantValues alloc] init];
    for (uint32_t i = 0; i < n_constants; i++)
        [values setConstantValue:&constant[i] type:MTLDataTypeInt atIndex:i];
    id<MTLFunction> made = [d->library newFunctionWithName:function
                                            constantValues:values
                                                     error:error];
    [values release];
    return made;
}

/* From the archive or not at all: what is not in it yet is compiled and added. */
static const MTLPipelineOption fail_on_miss = MTLPipelineOptionFailOnBinaryArchiveMiss;

static id<MTLComputePipelineState> kept_state(struct metal_device *d,
                                              MTLComputePipelineDescriptor *descriptor)
{
    NSError *unkept = nil;
    if (!d->archive) return nil;
    [descriptor setBinaryArchives:[NSArray arrayWithObject:d->archive]];
    pthread_mutex_lock(&d->archive_lock);
    id<MTLComputePipelineState> state =
        [d->device newComputePipelineStateWithDescriptor:descriptor
                                                 options:fail_on_miss
                                              reflection:NULL
                                                   error:&unkept];
    pthread_mutex_unlock(&d->archive_lock);
    return state;
}

static void keep_state(struct metal_device *d, MTLComputePipelineDescriptor *descriptor)
{
    NSError *unkept = nil;
    if (!d->archive) return;
    pthread_mutex_lock(&d->archive_lock);
    d->is_archive_changed |=
        [d->archive addComputePipelineFunctionsWithDescriptor:descriptor error:&unkept];
    pthread_mutex_unlock(&d->archive_lock);
}

/* Any thread: what takes long is not under the lock. */
static id<MTLComputePipelineState> new_state(struct metal_device *d, id<MTLFunction> function,
                                             NSError **error)
{
    MTLComputePipelineDescriptor *descriptor = [[MTLComputePipelineDescriptor alloc] init];
    [descriptor setComputeFunction:function];
    [descriptor setThreadGroupSizeIsMultipleOfThreadExecutionWidth:YES];
    id<MTLComputePipelineState> state = kept_state(d, descriptor);
    if (!state) {
        state = [d->device newComputePipelineStateWithDescriptor:descriptor
                                                         options:MTLPipelineOptionNone
                                                      reflection:NULL
                                                           error:error];
        if (state) keep_state(d, descriptor);
    }
    [descriptor release];
    return state;
}

static void write_key(char key[MAX_KEY], const char *name, const int32_t *constant, uint32_t n)
{
    int at = snprintf(key, MAX_KEY, "%s", name);
    for (uint32_t i = 0; i < n && at < MAX_KEY; i++)
        at += snprintf(key + at, (size_t)(MAX_KEY - at), " %d", (int)constant[i]);
}

static struct metal_pipeline *find_pipeline(const struct metal_device *d, const char *key)
{
    for (struct metal_pipeline *p = d->pipeline; p; p = p->next)
        if (!strcmp(p->key, key)) return p;
    return NULL;
}

static void keep_pipeline(struct metal_device *d, struct metal_pipeline *p)
{
    PL_LOG(DEBUG, "metal", "kernel %s threads=%u width=%u static_bytes=%u", p->key,
           metal_pipeline_max_threads(p), (uint32_t)[p->state threadExecutionWidth],
           (uint32_t)[p->state staticThreadgroupMemoryLength]);
    p->next = d->pipeline;
    d->pipeline = p;
}

pl_status metal_pipeline_get(struct metal_device *d, const char *name, const int32_t *constant,
                             uint32_t n_constants, struct metal_pipeline **out, pl_err *err)
{
    char key[MAX_KEY];
    write_key(key, name, constant, n_constants);
    *out = find_pipeline(d, key);
    if (*out) return PL_OK;

    struct metal_pipeline *p = calloc(1, sizeof *p);
    if (!p) return pl_fail(err, PL_E_MEMORY, "no memory for a kernel");
    pl_status st = PL_OK;
    @autoreleasepool {
        NSError *error = nil;
        id<MTLFunction> function = new_function(d, name, constant, n_constants, &error);
        if (function) p->state = new_state(d, function, &error);
        [function release];
        if (!p->state) st = metal_fail_with(err, PL_E_UNSUPPORTED, name, error);
    }
    if (st) {
        free(p);
        return st;
    }
    memcpy(p->key, key, sizeof key);
    keep_pipeline(d, p);
    *out = p;
    return PL_OK;
}

struct making {
    struct metal_device *device;
    struct metal_pipeline *made[METAL_MAX_MADE];
    uint32_t n;
};

static void make_share(void *arg, uint32_t member, uint32_t n_threads)
{
    const struct making *m = arg;
    @autoreleasepool {
        for (uint32_t i = member; i < m->n; i += n_threads) {
            NSError *error = nil;
            id<MTLFunction> function = new_function(m->device, m->made[i]->key, NULL, 0, &error);
            if (function) m->made[i]->state = new_state(m->device, function, &error);
            [function release];
        }
    }
}

void metal_pipelines_make(struct metal_device *d, struct thread_pool *pool,
                          const char name[][METAL_MAX_NAME], uint32_t n)
{
    struct making m = { .device = d };
    for (uint32_t i = 0; i < n && m.n < METAL_MAX_MADE; i++) {
        struct metal_pipeline *p = find_pipeline(d, name[i]) ? NULL : calloc(1, sizeof *p);
        if (!p) continue;
        snprintf(p->key, sizeof p->key, "%s", name[i]);
        m.made[m.n++] = p;
    }
    if (m.n) thread_pool_run(pool, make_share, &m);
    for (uint32_t i = 0; i < m.n; i++) {
        if (m.made[i]->state) keep_pipeline(d, m.made[i]);
        else free(m.made[i]);       /* metal_pipeline_get says why */
    }
}

uint32_t metal_pipeline_max_threads(const struct metal_pipeline *p)
{
    return (uint32_t)[p->state maxTotalThreadsPerThreadgroup];
}
