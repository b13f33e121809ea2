/* The one thing of thermal.h that no C interface of macOS tells. */
#import <Foundation/Foundation.h>

#include "base/thermal.h"

bool thermal_is_low_power(void)
{
    @autoreleasepool {
        return [[NSProcessInfo processInfo] isLowPowerModeEnabled];
    }
}
