#import "mock/library.h"

@implementation MockFunction
@end

@implementation MockLibrary
- (id<MTLFunction>)newFunctionWithName:(NSString *)name
{
    const struct emu_kernel *kernel = emu_kernel_find(library, [name UTF8String]);
    if (!kernel) return nil;
    MockFunction *f = [[MockFunction alloc] init];
    f->kernel = kernel;
    return f;
}
- (id<MTLFunction>)newFunctionWithName:(NSString *)name
                        constantValues:(MTLFunctionConstantValues *)values
                                 error:(NSError **)error
{
    MockFunction *f = (MockFunction *)[self newFunctionWithName:name];
    if (!f) mock_put_error(error, "the library has no function of this name");
    else if (values->mock[0]) f->constants = *(struct constants *)values->mock[0];
    return f;
}
- (void)dealloc
{
    emu_library_close(library);
    [super dealloc];
}
@end

@implementation MockPipeline
- (NSUInteger)maxTotalThreadsPerThreadgroup
{
    return emu_kernel_max_threads(function->kernel);
}
- (NSUInteger)threadExecutionWidth
{
    return 32;
}
/* The emulator learns of a kernel's own arrays when it runs: nothing is told before. */
- (NSUInteger)staticThreadgroupMemoryLength
{
    return 0;
}
- (void)dealloc
{
    [function release];
    [super dealloc];
}
@end

static NSString *const archive_head = @"mock archive";

/* A function with its constants. */
static NSString *name_in_archives(id<MTLFunction> function)
{
    MockFunction *f = (MockFunction *)function;
    NSMutableString *name =
        [NSMutableString stringWithUTF8String:emu_kernel_name(f->kernel)];
    for (int i = 0; i < EMU_MAX_CONSTANTS; i++)
        if (f->constants.set >> i & 1) [name appendFormat:@" %d=%u", i, f->constants.value[i]];
    return name;
}

@implementation MockArchive
- (BOOL)addComputePipelineFunctionsWithDescriptor:(MTLComputePipelineDescriptor *)descriptor
                                            error:(NSError **)error
{
    (void)error;
    NSString *name = name_in_archives([descriptor computeFunction]);
    if (![names containsObject:name]) [names addObject:name];
    return YES;
}
- (BOOL)serializeToURL:(NSURL *)url error:(NSError **)error
{
    NSString *text = [NSString stringWithFormat:@"%@\n%@\n", archive_head,
                                                [names componentsJoinedByString:@"\n"]];
    return [text writeToFile:[url path] atomically:NO encoding:NSUTF8StringEncoding error:error];
}
- (void)dealloc
{
    [names release];
    [super dealloc];
}
@end

MockArchive *mock_archive_open(NSURL *url, NSError **error)
{
    NSMutableArray *names = [NSMutableArray array];
    if (url) {
        NSString *text = [NSString stringWithContentsOfFile:[url path]
                                                   encoding:NSUTF8StringEncoding
                                                      error:NULL];
        if (![text hasPrefix:archive_head]) {
            mock_put_error(error, "the file is no archive");
            return nil;
        }
        [names addObjectsFromArray:[text componentsSeparatedByString:@"\n"]];
    }
    MockArchive *a = [[MockArchive alloc] init];
    a->names = [names retain];
    return a;
}

BOOL mock_archives_have(MTLComputePipelineDescriptor *descriptor)
{
    NSString *name = name_in_archives([descriptor computeFunction]);
    for (MockArchive *a in (NSArray *)descriptor->mock[2])
        if ([a->names containsObject:name]) return YES;
    return NO;
}
