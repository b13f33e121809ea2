/* What tests set of the mock and what it counts (mock.h has their side), and what all of its
 * objects have: they are counted. Inside the mock. */
#ifndef METAL_MOCK_KNOBS_H
#define METAL_MOCK_KNOBS_H

#import <Foundation/Foundation.h>
#import <Metal/Metal.h>

#include "base/rng.h"
#include "mock/mock.h"

struct mock_knobs {
    enum emu_build build;           /* of libraries */
    uint64_t shuffle_seed, working_set_bytes;
    bool failed_signal, is_deaf, has_tensors, has_no_default, has_no_list, is_old, is_macos_14;
    uint32_t fail_after, fail_times;
    const char *warnings;           /* of the compiler; NULL: none */
    bool is_kill;                   /* what the planted failure is */
    _Atomic uint32_t n_let_go, n_asked;  /* residency: also by threads that keep it */
    uint32_t n_waited;
    uint64_t ns_per_thread, most_ns, now_ns;        /* now: the GPU's clock */
    struct rng schedule;            /* which command buffer runs next */
    _Atomic uint32_t n_objects;     /* also made by threads of a pool */
    uint32_t n_queues, n_commands, most_in_flight;
};

extern struct mock_knobs knobs;

/* What Metal's validation ends a program for. */
void mock_check(BOOL is_right, const char *what);

NSError *mock_error(const char *text);
void mock_put_error(NSError **to, const char *text);    /* NULL: nobody wants to know */

@interface MockObject : NSObject
@end

#endif
