#include "cli/serve/power_assertion.h"

#if defined(__APPLE__)
#include <IOKit/pwr_mgt/IOPMLib.h>

static IOPMAssertionID assertion = kIOPMNullAssertionID;

void power_assertion_hold(void)
{
    if (assertion == kIOPMNullAssertionID &&
        IOPMAssertionCreateWithName(kIOPMAssertPreventUserIdleSystemSleep, kIOPMAssertionLevelOn,
                                    CFSTR("paceline serves a model"), &assertion) !=
            kIOReturnSuccess)
        assertion = kIOPMNullAssertionID;
}

void power_assertion_release(void)
{
    if (assertion != kIOPMNullAssertionID) IOPMAssertionRelease(assertion);
    assertion = kIOPMNullAssertionID;
}

#else

void power_assertion_hold(void)
{
}

void power_assertion_release(void)
{
}

#endif
