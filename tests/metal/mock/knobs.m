#import "mock/knobs.h"

#include <stdio.h>
#include <stdlib.h>

struct mock_knobs knobs = { .build = EMU_RUN, .shuffle_seed = 1, .schedule = { { 1, 2, 3, 4 } },
                            .ns_per_thread = 1 };

void mock_set_build(enum emu_build build)
{
    knobs.build = build;
}

void mock_set_shuffle(uint64_t seed)
{
    knobs.shuffle_seed = seed;
    rng_seed(&knobs.schedule, seed);
}

void mock_set_failed_signal(bool do_signal)
{
    knobs.failed_signal = do_signal;
}

void mock_set_tensors(bool has)
{
    knobs.has_tensors = has;
}

void mock_set_warnings(const char *text)
{
    knobs.warnings = text;
}

void mock_set_devices(bool has_default, bool has_list, bool is_old)
{
    knobs.has_no_default = !has_default;
    knobs.has_no_list = !has_list;
    knobs.is_old = is_old;
}

void mock_set_macos_14(bool is)
{
    knobs.is_macos_14 = is;
}

void mock_set_deaf(bool deaf)
{
    knobs.is_deaf = deaf;
}

void mock_fail_command(uint32_t n, uint32_t times)
{
    knobs.fail_after = n;
    knobs.fail_times = times;
    knobs.is_kill = false;
}

void mock_kill_command(uint32_t n, uint32_t times)
{
    mock_fail_command(n, times);
    knobs.is_kill = true;
}

void mock_set_time(uint64_t ns_per_thread, uint64_t most_ns)
{
    knobs.ns_per_thread = ns_per_thread;
    knobs.most_ns = most_ns;
}

void mock_let_go(void)
{
    knobs.n_let_go++;
}

uint32_t mock_n_asked(void)
{
    return knobs.n_asked;
}

uint32_t mock_n_waited(void)
{
    return knobs.n_waited;
}

uint32_t mock_n_commands(void)
{
    return knobs.n_commands;
}

void mock_set_working_set(uint64_t n_bytes)
{
    knobs.working_set_bytes = n_bytes;
}

uint32_t mock_most_in_flight(void)
{
    const uint32_t most = knobs.most_in_flight;
    knobs.most_in_flight = 0;
    return most;
}

uint32_t mock_n_queues(void)
{
    return knobs.n_queues;
}

uint32_t mock_n_objects(void)
{
    return knobs.n_objects;
}

void mock_check(BOOL is_right, const char *what)
{
    if (is_right) return;
    fprintf(stderr, "metal mock: %s\n", what);
    abort();
}

NSError *mock_error(const char *text)
{
    NSString *words = [NSString stringWithUTF8String:text];
    return [NSError errorWithDomain:@"MockMetal"
                               code:1
                           userInfo:[NSDictionary dictionaryWithObject:words
                                                                forKey:NSLocalizedDescriptionKey]];
}

void mock_put_error(NSError **to, const char *text)
{
    if (to) *to = mock_error(text);
}

@implementation MockObject
- (id)init
{
    knobs.n_objects++;
    return [super init];
}
- (void)dealloc
{
    knobs.n_objects--;
    [super dealloc];
}
@end
