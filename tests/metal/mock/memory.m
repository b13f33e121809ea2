#import "mock/memory.h"

@implementation MockBuffer
- (void *)contents
{
    return bytes;
}
- (NSUInteger)length
{
    return n_bytes;
}
- (void)dealloc
{
    if (!is_wrapped) emu_memory_give(bytes);
    [super dealloc];
}
@end

@implementation MockResidencySet
- (id)init
{
    added = [[NSMutableSet alloc] init];
    resident = [[NSMutableSet alloc] init];
    return [super init];
}
- (void)addAllocation:(id<MTLAllocation>)allocation
{
    [added addObject:allocation];
}
- (void)commit
{
    [resident unionSet:added];
}
- (void)requestResidency
{
}
- (void)dealloc
{
    [added release];
    [resident release];
    [super dealloc];
}
@end
