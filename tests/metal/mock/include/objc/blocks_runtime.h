/* What clang asks for on a system without Apple's runtime. */
#include <Block.h>
