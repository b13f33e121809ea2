/* What device.m never does and Metal allows: see encoder.h. */
#import <Foundation/Foundation.h>
#import <Metal/Metal.h>

#include <string.h>

#include "mock/encoder.h"

static NSString *const source =
    @"#include <metal_stdlib>\n"
     "using namespace metal;\n"
     "kernel void put(constant int &x [[buffer(0)]], device int *to [[buffer(1)]])\n"
     "{\n"
     "    to[0] = x;\n"
     "}\n"
     "kernel void put_tanh(constant float &x [[buffer(0)]], device float *to [[buffer(1)]])\n"
     "{\n"
     "    to[0] = tanh(x);\n"
     "}\n";

static id<MTLComputePipelineState> new_pipeline(id<MTLDevice> device, NSString *name,
                                                BOOL are_precise)
{
    MTLCompileOptions *options = [[[MTLCompileOptions alloc] init] autorelease];
    [options setMathMode:MTLMathModeSafe];
    if (are_precise) [options setMathFloatingPointFunctions:MTLMathFloatingPointFunctionsPrecise];
    id<MTLLibrary> library =
        [[device newLibraryWithSource:source options:options error:NULL] autorelease];
    MTLComputePipelineDescriptor *d = [[[MTLComputePipelineDescriptor alloc] init] autorelease];
    [d setComputeFunction:[[library newFunctionWithName:name] autorelease]];
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

/* Sets all of the bytes at one index, one after another; the word that the kernel left. */
static uint32_t run(NSString *kernel, BOOL are_precise, const void *const *bytes, int n)
{
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    id<MTLDevice> device = [MTLCreateSystemDefaultDevice() autorelease];
    id<MTLBuffer> buffer =
        [[device newBufferWithLength:4 options:MTLResourceStorageModeShared] autorelease];
    id<MTLCommandQueue> queue = [new_queue(device, buffer) autorelease];
    MTLCommandBufferDescriptor *d = [[[MTLCommandBufferDescriptor alloc] init] autorelease];
    id<MTLCommandBuffer> command = [queue commandBufferWithDescriptor:d];
    id<MTLComputeCommandEncoder> e =
        [command computeCommandEncoderWithDispatchType:MTLDispatchTypeConcurrent];
    [e setComputePipelineState:[new_pipeline(device, kernel, are_precise) autorelease]];
    for (int i = 0; i < n; i++) [e setBytes:bytes[i] length:4 atIndex:0];
    [e setBuffer:buffer offset:0 atIndex:1];
    [e dispatchThreadgroups:MTLSizeMake(1, 1, 1) threadsPerThreadgroup:MTLSizeMake(1, 1, 1)];
    [e endEncoding];
    [command commit];
    [command waitUntilCompleted];
    const uint32_t seen = *(uint32_t *)[buffer contents];
    [pool drain];
    return seen;
}

int32_t encoder_set_twice(int32_t first, int32_t second)
{
    const void *const bytes[] = { &first, &second };
    return (int32_t)run(@"put", YES, bytes, 2);
}

float encoder_tanh(float x, bool are_precise)
{
    const void *const bytes[] = { &x };
    const uint32_t bits = run(@"put_tanh", are_precise, bytes, 1);
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}
