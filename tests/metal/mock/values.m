#import "mock/values.h"

#include <stdlib.h>
#include <string.h>

#import "mock/knobs.h"

/* mock[0]: arithmetic is safe; mock[1]: functions are precise. Neither is unless it is asked for,
 * as Apple's header says of both. */
@implementation MTLCompileOptions
- (BOOL)respondsToSelector:(SEL)selector
{
    return !(knobs.is_macos_14 && sel_isEqual(selector, @selector(setMathMode:))) &&
           [super respondsToSelector:selector];
}
- (void)setLanguageVersion:(MTLLanguageVersion)version
{
    mock_check(version <= MTLLanguageVersion3_1 ||
                   (knobs.has_tensors && version == MTLLanguageVersion4_0),
               "a language version that the system does not have");
}
- (void)setMathMode:(MTLMathMode)mode
{
    mock[0] = (void *)(uintptr_t)(mode == MTLMathModeSafe);
}
- (void)setMathFloatingPointFunctions:(MTLMathFloatingPointFunctions)which
{
    mock_check(!knobs.is_macos_14, "functions are chosen on a system that does not have it");
    mock[1] = (void *)(uintptr_t)(which == MTLMathFloatingPointFunctionsPrecise);
}
- (void)setFastMathEnabled:(BOOL)is_fast
{
    mock[0] = mock[1] = (void *)(uintptr_t)!is_fast;
}
@end

@implementation MTLCommandBufferDescriptor
- (void)setRetainedReferences:(BOOL)are_retained
{
    mock[0] = (void *)(uintptr_t)are_retained;
}
@end

@implementation MTLResidencySetDescriptor
@end

@implementation MTLBinaryArchiveDescriptor
- (void)setUrl:(NSURL *)url
{
    [url retain];
    [(NSURL *)mock[0] release];
    mock[0] = url;
}
- (NSURL *)url
{
    return mock[0];
}
- (void)dealloc
{
    [(NSURL *)mock[0] release];
    [super dealloc];
}
@end

@implementation MTLComputePipelineDescriptor
- (void)setComputeFunction:(id<MTLFunction>)function
{
    mock[0] = function;     /* the caller keeps it as long as the descriptor */
}
- (id<MTLFunction>)computeFunction
{
    return mock[0];
}
- (void)setThreadGroupSizeIsMultipleOfThreadExecutionWidth:(BOOL)is_multiple
{
    mock[1] = (void *)(uintptr_t)is_multiple;
}
- (BOOL)threadGroupSizeIsMultipleOfThreadExecutionWidth
{
    return mock[1] != NULL;
}
- (void)setBinaryArchives:(NSArray *)archives
{
    mock[2] = archives;
}
@end

@implementation MTLFunctionConstantValues
- (void)setConstantValue:(const void *)value type:(MTLDataType)type atIndex:(NSUInteger)index
{
    struct constants *c = mock[0];
    mock_check(type == MTLDataTypeInt && index < EMU_MAX_CONSTANTS,
               "a function constant that is no integer");
    if (!c) mock[0] = c = calloc(1, sizeof *c);
    memcpy(&c->value[index], value, sizeof c->value[index]);
    c->set |= 1ull << index;
}
- (void)dealloc
{
    free(mock[0]);
    [super dealloc];
}
@end
