/* A GPU for tests: Metal's objects as far as device.m and commands.m use them, with kernels run by
 * the emulator. It is stricter than Metal: what Metal leaves undefined is refused or made visible.
 *
 * I1  Work runs when it is waited for; until then what a dispatch would write is as it was. Of the
 *     committed command buffers whose events are there any may run first, and others beside the one
 *     that is waited for: only events order them.
 * I2  Dispatches of a concurrent encoder that no barrier separates run in a shuffled order.
 * I3  The GPU's clock is its own: a dispatch takes so many nanoseconds a thread, whatever the host
 *     takes to emulate it.
 * I4  Refused, as a failed command buffer whose error says why: arguments of more than 4096 bytes;
 *     offsets and threadgroup lengths that are not aligned; a buffer that is not in a committed
 *     residency set of the queue; a dispatch without a pipeline; an empty grid; too many threads;
 *     and all that the emulator finds. Aborted, as Metal's validation would: encoding after the
 *     end, committing twice, waiting for what nothing will signal.
 *
 * Threads: one, but for asking for residency. */
#ifndef METAL_MOCK_H
#define METAL_MOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "emulator/emulator.h"

/* How kernels of libraries made from now on are built: EMU_RUN at first. */
void mock_set_build(enum emu_build build);

/* Unordered dispatches follow this seed from now on; 0: the order in which they were encoded. */
void mock_set_shuffle(uint64_t seed);

/* The n-th command buffer from now (1: the next) fails with an error, and so do the `times` - 1
 * after. */
void mock_fail_command(uint32_t n, uint32_t times);

/* The same as macOS kills what keeps the display waiting: half of what was encoded has run. */
void mock_kill_command(uint32_t n, uint32_t times);

/* Nanoseconds that a thread takes (1 at first); a command buffer that takes more than most_ns is
 * killed. 0: none is, as at first. */
void mock_set_time(uint64_t ns_per_thread, uint64_t most_ns);

/* What is resident is let go, as macOS does with what lies idle: a command buffer that finds it so
 * waits until all is wired again. */
void mock_let_go(void);

/* Times that residency was asked for, by any thread; and command buffers that had to wait for
 * it. */
uint32_t mock_n_asked(void);
uint32_t mock_n_waited(void);

/* Command buffers that ran so far. */
uint32_t mock_n_commands(void);

/* Whether failed command buffers signal their events: not at first. */
void mock_set_failed_signal(bool do_signal);

/* A mistake for tests to find: command buffers do not wait for events. */
void mock_set_deaf(bool is_deaf);

/* Where a program finds the device: as the default one, in the list of all, both at first; and
 * whether it is one of family Apple5, as a virtual machine has it. */
void mock_set_devices(bool has_default, bool has_list, bool is_old);

/* Whether the system is macOS 14, which has no residency sets and no modes of arithmetic but fast
 * or not: not at first. */
void mock_set_macos_14(bool is);

/* Whether the device has Metal 4's tensor operations: not at first. */
void mock_set_tensors(bool has_tensors);

/* What the compiler says of all that it takes from now on; the text stays the caller's. NULL:
 * nothing. */
void mock_set_warnings(const char *text);

/* Bytes that the device recommends at most; 0: 8 GiB. */
void mock_set_working_set(uint64_t n_bytes);

/* The most command buffers that were committed and had not run, since the last call. */
uint32_t mock_most_in_flight(void);

/* Command queues that were made so far. */
uint32_t mock_n_queues(void);

/* Objects that were made and not released. */
uint32_t mock_n_objects(void);

#endif
