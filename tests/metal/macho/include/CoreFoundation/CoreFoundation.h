/* <CoreFoundation/CoreFoundation.h>, as far as it is used: for cross-compiling without Apple's
 * SDK. */
#include <stdint.h>

typedef const void *CFTypeRef;
typedef const struct __CFString *CFStringRef;
typedef const struct __CFArray *CFArrayRef;
typedef const struct __CFDictionary *CFDictionaryRef;
typedef struct __CFDictionary *CFMutableDictionaryRef;
typedef const struct __CFAllocator *CFAllocatorRef;
typedef long CFIndex;
typedef unsigned char Boolean;
typedef uint32_t CFStringEncoding;
enum { kCFStringEncodingUTF8 = 0x08000100 };
#define CFSTR(text) ((CFStringRef)__builtin___CFStringMakeConstantString(text))
void CFRelease(CFTypeRef thing);
Boolean CFStringGetCString(CFStringRef string, char *buffer, CFIndex n, CFStringEncoding encoding);
const void *CFDictionaryGetValue(CFDictionaryRef dictionary, const void *key);
CFIndex CFArrayGetCount(CFArrayRef array);
const void *CFArrayGetValueAtIndex(CFArrayRef array, CFIndex index);
