/* <IOKit/IOKitLib.h>, as far as it is used: for cross-compiling without Apple's SDK. */
#include <CoreFoundation/CoreFoundation.h>
#include <mach/mach.h>
#include <stddef.h>
#include <stdint.h>

typedef mach_port_t io_object_t, io_connect_t, io_service_t, io_iterator_t;
typedef kern_return_t IOReturn;
enum { kIOReturnSuccess = 0 };
extern const mach_port_t kIOMainPortDefault;
CFMutableDictionaryRef IOServiceMatching(const char *name);
io_service_t IOServiceGetMatchingService(mach_port_t port, CFDictionaryRef matching);
kern_return_t IOServiceOpen(io_service_t service, task_port_t task, uint32_t type,
                            io_connect_t *out);
kern_return_t IOServiceClose(io_connect_t connection);
kern_return_t IOObjectRelease(io_object_t object);
kern_return_t IOConnectCallStructMethod(mach_port_t connection, uint32_t selector, const void *in,
                                        size_t n_in, void *out, size_t *n_out);
