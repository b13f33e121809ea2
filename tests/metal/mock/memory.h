/* Buffers, and which of them a queue may use. Inside the mock: classes carry the names of Metal's
 * protocols with Mock for MTL. */
#ifndef METAL_MOCK_MEMORY_H
#define METAL_MOCK_MEMORY_H

#import "mock/knobs.h"

@interface MockBuffer : MockObject <MTLBuffer> {
@public
    uint8_t *bytes;
    NSUInteger n_bytes;
    BOOL is_wrapped;            /* the bytes are somebody else's */
}
@end

@interface MockResidencySet : MockObject <MTLResidencySet> {
@public
    NSMutableSet *added, *resident;
    _Atomic uint32_t let_go;         /* mock_let_go when it was asked for last */
}
@end

#endif
