/* <IOKit/pwr_mgt/IOPMLib.h>, as far as it is used: for cross-compiling without Apple's SDK. */
#include <IOKit/IOKitLib.h>

typedef uint32_t IOPMAssertionID, IOPMAssertionLevel;
enum { kIOPMNullAssertionID = 0, kIOPMAssertionLevelOn = 255 };
#define kIOPMAssertPreventUserIdleSystemSleep CFSTR("PreventUserIdleSystemSleep")
IOReturn IOPMAssertionCreateWithName(CFStringRef type, IOPMAssertionLevel level, CFStringRef name,
                                     IOPMAssertionID *out);
IOReturn IOPMAssertionRelease(IOPMAssertionID assertion);
