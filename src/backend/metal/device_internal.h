/* Inside the Objective-C files alone: the device. Manual retain and release (-fno-objc-arc):
 * objects live in C structs, and what Metal returns autoreleased is kept or let go within one pool.
 *
 * What is newer than macOS 14 is asked for at run time before it is used, and what a later SDK
 * calls deprecated has no successor on macOS 14: the compiler need not warn of either. */
#ifndef BACKEND_METAL_DEVICE_INTERNAL_H
#define BACKEND_METAL_DEVICE_INTERNAL_H

#import <Foundation/Foundation.h>
#import <Metal/Metal.h>
#include <pthread.h>

#include "backend/metal/device.h"
#include "backend/metal/keep_alive.h"
#include "backend/metal/pace.h"

#pragma clang diagnostic ignored "-Wunguarded-availability-new"
#pragma clang diagnostic ignored "-Wdeprecated-declarations"

/* The SDK of macOS 15 has residency sets and math modes. */
#if defined __MAC_OS_X_VERSION_MAX_ALLOWED && __MAC_OS_X_VERSION_MAX_ALLOWED >= 150000
#define HAS_SDK_15 1
#else
#define HAS_SDK_15 0
#endif

/* That of macOS 26 has Metal 4. */
#if defined __MAC_OS_X_VERSION_MAX_ALLOWED && __MAC_OS_X_VERSION_MAX_ALLOWED >= 260000
#define HAS_SDK_26 1
#else
#define HAS_SDK_26 0
#endif

enum { MAX_KEY = 96 };

struct metal_pipeline {
    struct metal_pipeline *next;
    id<MTLComputePipelineState> state;
    char key[MAX_KEY];              /* name and constants */
};

/* What metal_begin and metal_commit hold together, until it was waited for. */
struct work {
    uint32_t n_parts;               /* that were begun and are not over */
    bool is_spoilt;                 /* one before it failed: what it read is not to be used */
    pl_err failure;                 /* of the first part that failed; its status is PL_OK: none */
    uint64_t gpu_ns;                /* of the parts that are over */
};

/* A command buffer: one of those that a work is cut into. */
struct part {
    id<MTLCommandBuffer> buffer;
    struct work *work;
    uint64_t value;                 /* that it signals at its end */
    double expected_ns;             /* pace.h */
    bool is_empty;                  /* of dispatches */
};

/* Command buffers of a queue that are not over; Metal blocks whoever wants more than 64. */
enum { METAL_MAX_PARTS = 32 };

struct metal_device {
    struct metal_facts facts;
    id<MTLDevice> device;
    id<MTLCommandQueue> queue;
    id<MTLLibrary> library, tensors;    /* tensors: of Metal 4, or nil */
    id residency;                   /* id<MTLResidencySet>, where the system has them; else nil */
    struct keep_alive *keeper;      /* of it; NULL: not yet, or there is none */
    bool is_lock_refused;           /* without residency: a buffer could not be locked */
    id<MTLBinaryArchive> archive;   /* nil: compiled kernels are not kept */
    NSString *archive_path;
    bool is_archive_changed;
    pthread_mutex_t archive_lock;   /* of the three above, while kernels are made */
    NSMutableArray *buffers;
    uint64_t n_bytes;               /* of them */
    struct metal_pipeline *pipeline;
    id<MTLSharedEvent> event;
    struct work work[METAL_MAX_COMMITTED + 1];  /* a ring: committed from `oldest` on, then the one
                                                 * being recorded */
    uint32_t oldest, n_committed;
    struct part part[METAL_MAX_PARTS];  /* likewise */
    uint32_t oldest_part, n_parts;
    uint64_t last_value;            /* of the command buffers begun so far */
    double last_end_s;              /* by the GPU's clock, of the last one that is over */
    struct pace pace;
    id<MTLComputeCommandEncoder> encoder;
    uint32_t shared_bytes;          /* of the encoder's last dispatch */
    uint32_t n_failures;            /* of command buffers, in a row */
};

/* What Metal said of an error, behind `what`. */
pl_status metal_fail_with(pl_err *err, pl_status st, const char *what, NSError *error);

/* Makes the device's queue, or makes it anew. */
bool metal_make_queue(struct metal_device *d);

#endif
