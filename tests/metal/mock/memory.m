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
    let_go = knobs.n_let_go - 1;     /* it was not asked for yet */
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
    knobs.n_asked++;
    let_go = (uint32_t)knobs.n_let_go;
}
- (void)dealloc
{
    [added release];
    [resident release];
    [super dealloc];
}
@end
