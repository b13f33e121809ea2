/* Libraries, the functions in them, pipelines of these, and archives of pipelines. Inside the
 * mock. */
#ifndef METAL_MOCK_LIBRARY_H
#define METAL_MOCK_LIBRARY_H

#import "mock/knobs.h"
#include "mock/values.h"

@interface MockLibrary : MockObject <MTLLibrary> {
@public
    struct emu_library *library;
}
@end

@interface MockFunction : MockObject <MTLFunction> {
@public
    const struct emu_kernel *kernel;
    struct constants constants;
}
@end

@interface MockPipeline : MockObject <MTLComputePipelineState> {
@public
    MockFunction *function;
    BOOL wants_whole_simdgroups;
}
@end

/* A list of names in a file. */
@interface MockArchive : MockObject <MTLBinaryArchive> {
@public
    NSMutableArray *names;
}
@end

/* Of a file, or an empty one (NULL); nil: the file is no archive. */
MockArchive *mock_archive_open(NSURL *url, NSError **error);

/* Whether one of the descriptor's archives has its function. */
BOOL mock_archives_have(MTLComputePipelineDescriptor *descriptor);

#endif
