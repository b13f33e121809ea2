/* Before all else of the library of tensors.metal: these headers have names of their own that our
 * macros, enumerators and `using namespace metal` must not meet. */
#include <metal_stdlib>
#include <metal_tensor>
#include <MetalPerformancePrimitives/MetalPerformancePrimitives.h>
