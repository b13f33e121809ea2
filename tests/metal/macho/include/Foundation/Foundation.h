/* <Foundation/Foundation.h>, as far as device.m and the generated Metal.h use it: for
 * cross-compiling without Apple's SDK. */
#include <objc/objc.h>
#include <stdarg.h>
#include <stdint.h>

typedef long NSInteger;
typedef unsigned long NSUInteger;
typedef double NSTimeInterval;
#define NSIntegerMax __LONG_MAX__
#define NSUIntegerMax (2UL * __LONG_MAX__ + 1)
typedef struct {
    NSUInteger location, length;
} NSRange;
@class NSData, NSDate, NSDictionary, NSSet, NSURL;

@protocol NSObject
- (instancetype)retain;
- (oneway void)release;
- (instancetype)autorelease;
- (BOOL)respondsToSelector:(SEL)selector;
@end
__attribute__((objc_root_class))
@interface NSObject <NSObject>
+ (instancetype)alloc;
- (instancetype)init;
@end
@interface NSString : NSObject
+ (instancetype)stringWithUTF8String:(const char *)text;
- (instancetype)initWithFormat:(NSString *)format, ...;
- (const char *)UTF8String;
- (const char *)fileSystemRepresentation;
@end
@interface NSURL : NSObject
+ (NSURL *)fileURLWithPath:(NSString *)path;
@end
@interface NSError : NSObject
- (NSString *)localizedDescription;
- (NSInteger)code;
@end
@interface NSArray : NSObject
+ (instancetype)arrayWithObject:(id)object;
- (NSUInteger)count;
- (id)objectAtIndex:(NSUInteger)index;
@end
@interface NSMutableArray : NSArray
- (void)addObject:(id)object;
@end
@interface NSProcessInfo : NSObject
+ (NSProcessInfo *)processInfo;
- (BOOL)isLowPowerModeEnabled;
@end
@interface NSFileManager : NSObject
+ (NSFileManager *)defaultManager;
- (BOOL)fileExistsAtPath:(NSString *)path;
@end
