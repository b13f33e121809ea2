/* What device.m never does and Metal allows: see encoder.h. */
#import <Foundation/Foundation.h>
#import <Metal/Metal.h>

#include "mock/encoder.h"

static NSString *const source =
    @"#include <metal_stdlib>\n"
     "using namespace metal;\n"
     "kernel void put(constant int &x [[buffer(0)]], device int *to [[buffer(1)]])\n"
     "{\n"
     "    to[0] = x;\n"
     "}\n";

static id<MTLComputePipelineState> new_pipeline(id<MTLDevice> device)
{
    MTLCompileOptions *options = [[[MTLCompileOptions alloc] init] autorelease];
    [options setMathMode:MTLMathModeSafe];
    id<MTLLibrary> library =
        [[device newLibraryWithSource:source options:options error:NULL] autorelease];
    MTLComputePipelineDescriptor *d = [[[MTLComputePipelineDescriptor alloc] init] autorelease];
    [d setComputeFunction:[[library newFunctionWithName:@"put"] autorelease]];
    return [device newComputePipelineStateWithDescriptor:d options:0 reflection:NULL error:NULL];
}

static id<MTLCommandQueue> new_queue(id<MTLDevice> device, id<MTLBuffer> buffer)
{
    MTLResidencySetDescriptor *d = [[[MTLResidencySetDescriptor alloc] init] autorelease];
    id<MTLResidencySet> set =
        [[device newResidencySetWithDescriptor:d error:NULL] autorelease];
    id<MTLCommandQueue> queue = [device newCommandQueue];
    [set addAllocation:buffer];
    [set commit];
    [queue addResidencySet:set];
    return queue;
}

int32_t encoder_set_twice(int32_t first, int32_t second)
{
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    id<MTLDevice> device = [MTLCreateSystemDefaultDevice() autorelease];
    id<MTLBuffer> buffer =
        [[device newBufferWithLength:sizeof first
                             options:MTLResourceStorageModeShared] autorelease];
    id<MTLCommandQueue> queue = [new_queue(device, buffer) autorelease];
    MTLCommandBufferDescriptor *d = [[[MTLCommandBufferDescriptor alloc] init] autorelease];
    id<MTLCommandBuffer> command = [queue commandBufferWithDescriptor:d];
    id<MTLComputeCommandEncoder> e =
        [command computeCommandEncoderWithDispatchType:MTLDispatchTypeConcurrent];
    [e setComputePipelineState:[new_pipeline(device) autorelease]];
    [e setBytes:&first length:sizeof first atIndex:0];
    [e setBytes:&second length:sizeof second atIndex:0];
    [e setBuffer:buffer offset:0 atIndex:1];
    [e dispatchThreadgroups:MTLSizeMake(1, 1, 1) threadsPerThreadgroup:MTLSizeMake(1, 1, 1)];
    [e endEncoding];
    [command commit];
    [command waitUntilCompleted];
    const int32_t seen = *(int32_t *)[buffer contents];
    [pool drain];
    return seen;
}
