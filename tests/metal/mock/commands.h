/* Queues, command buffers, encoders and events. Inside the mock. */
#ifndef METAL_MOCK_COMMANDS_H
#define METAL_MOCK_COMMANDS_H

#import "mock/library.h"
#import "mock/memory.h"

enum { MAX_BYTES = 4096, MAX_INDEX = EMU_MAX_BUFFERS };

/* A dispatch as it was encoded, or a barrier. */
struct encoded {
    BOOL is_barrier;
    MockPipeline *pipeline;
    struct {
        MockBuffer *buffer;
        NSUInteger offset;
    } bound[MAX_INDEX];
    uint8_t *bytes[MAX_INDEX];      /* of setBytes; owned */
    NSUInteger n_bytes[MAX_INDEX];
    NSUInteger shared[MAX_INDEX];
    MTLSize groups, threads;
    const char *wrong;              /* found while encoding */
};

@interface MockEvent : MockObject <MTLSharedEvent> {
@public
    uint64_t value;
}
@end

@interface MockCommandBuffer : MockObject <MTLCommandBuffer> {
@public
    struct {
        MockEvent *event;       /* the caller keeps it */
        uint64_t value;
    } wait, signal;             /* before the first encoder, after the last */
    NSArray *residency;             /* the queue's */
    struct encoded *encoded;
    NSUInteger n_encoded;
    BOOL is_encoding;
    MTLCommandBufferStatus state;
    NSError *failure;
    uint64_t start_ns, end_ns;
}
@end

@interface MockEncoder : MockObject <MTLComputeCommandEncoder> {
@public
    MockCommandBuffer *command;
    struct encoded next;
    BOOL has_ended;
}
@end

@interface MockQueue : MockObject <MTLCommandQueue> {
@public
    NSMutableArray *residency;
}
@end

#endif
