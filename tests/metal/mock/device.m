#import <Foundation/Foundation.h>
#import <Metal/Metal.h>

#include <stdlib.h>
#include <unistd.h>

#import "mock/commands.h"

@interface MockDevice : MockObject <MTLDevice>
@end

@implementation MockDevice
- (NSString *)name
{
    return knobs.is_old ? @"Apple Paravirtual device" : @"emulated GPU";
}
- (BOOL)supportsFamily:(MTLGPUFamily)family
{
    if (family == (MTLGPUFamily)MTLGPUFamilyMetal4) return knobs.has_tensors;
    if (knobs.is_old) return family <= (MTLGPUFamily)MTLGPUFamilyApple5;
    return family <= (MTLGPUFamily)(knobs.has_tensors ? MTLGPUFamilyApple10 : MTLGPUFamilyApple7);
}
- (uint64_t)recommendedMaxWorkingSetSize
{
    return knobs.working_set_bytes ? knobs.working_set_bytes : 8ull << 30;
}
- (NSUInteger)maxBufferLength
{
    return 4ull << 30;
}
- (id<MTLCommandQueue>)newCommandQueue
{
    knobs.n_queues++;
    return [[MockQueue alloc] init];
}
- (id<MTLSharedEvent>)newSharedEvent
{
    return [[MockEvent alloc] init];
}
- (id<MTLLibrary>)newLibraryWithSource:(NSString *)source
                               options:(MTLCompileOptions *)options
                                 error:(NSError **)error
{
    char *log;
    mock_check(options->mock[0] != NULL, "mathMode was not chosen");
    const bool is_plain = knobs.build == EMU_RUN && !options->mock[1];
    struct emu_library *library = emu_compile(
        [source UTF8String], is_plain ? EMU_FAST_FUNCTIONS : knobs.build, &log);
    if (!library) {
        mock_put_error(error, log);
        free(log);
        return nil;
    }
    MockLibrary *l = [[MockLibrary alloc] init];
    l->library = library;
    if (knobs.warnings) mock_put_error(error, knobs.warnings);
    return l;
}
- (id<MTLBuffer>)newBufferWithLength:(NSUInteger)length options:(MTLResourceOptions)options
{
    mock_check(length > 0, "a buffer of 0 bytes");
    mock_check((options & (0xful << MTLResourceStorageModeShift)) == MTLResourceStorageModeShared,
               "a buffer that the host cannot see");
    uint8_t *bytes = emu_memory_take(length);
    if (!bytes) return nil;
    MockBuffer *b = [[MockBuffer alloc] init];
    b->bytes = bytes;
    b->n_bytes = length;
    return b;
}
- (id<MTLBuffer>)newBufferWithBytesNoCopy:(void *)bytes
                                   length:(NSUInteger)length
                                  options:(MTLResourceOptions)options
                              deallocator:(void (^)(void *, NSUInteger))deallocator
{
    const uintptr_t page = (uintptr_t)getpagesize();
    mock_check(length > 0 && length % page == 0 && (uintptr_t)bytes % page == 0,
               "a buffer of foreign memory that is not whole pages");
    mock_check((options & (0xful << MTLResourceStorageModeShift)) == MTLResourceStorageModeShared &&
                   !deallocator, "a buffer of foreign memory in another way than is known here");
    MockBuffer *b = [[MockBuffer alloc] init];
    b->bytes = bytes;
    b->n_bytes = length;
    b->is_wrapped = YES;
    return b;
}
- (BOOL)respondsToSelector:(SEL)selector
{
    return !(knobs.is_macos_14 &&
             sel_isEqual(selector, @selector(newResidencySetWithDescriptor:error:))) &&
           [super respondsToSelector:selector];
}
- (id<MTLResidencySet>)newResidencySetWithDescriptor:(MTLResidencySetDescriptor *)descriptor
                                               error:(NSError **)error
{
    (void)descriptor;
    (void)error;
    return [[MockResidencySet alloc] init];
}
- (id<MTLComputePipelineState>)
    newComputePipelineStateWithDescriptor:(MTLComputePipelineDescriptor *)descriptor
                                  options:(MTLPipelineOption)options
                               reflection:(void *)reflection
                                    error:(NSError **)error
{
    (void)reflection;
    MockFunction *function = (MockFunction *)[descriptor computeFunction];
    if (options & MTLPipelineOptionFailOnBinaryArchiveMiss && !mock_archives_have(descriptor)) {
        mock_put_error(error, "the archive does not have it");
        return nil;
    }
    MockPipeline *p = [[MockPipeline alloc] init];
    p->function = [function retain];
    p->wants_whole_simdgroups = [descriptor threadGroupSizeIsMultipleOfThreadExecutionWidth];
    return p;
}
- (id<MTLBinaryArchive>)newBinaryArchiveWithDescriptor:(MTLBinaryArchiveDescriptor *)descriptor
                                                 error:(NSError **)error
{
    return mock_archive_open([descriptor url], error);
}
@end

id<MTLDevice> MTLCreateSystemDefaultDevice(void)
{
    return knobs.has_no_default ? nil : [[MockDevice alloc] init];
}

NSArray *MTLCopyAllDevices(void)
{
    if (knobs.has_no_list) return [[NSArray alloc] init];
    MockDevice *device = [[[MockDevice alloc] init] autorelease];
    return [[NSArray alloc] initWithObjects:device, nil];
}
