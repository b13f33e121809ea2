/* <notify.h> of macOS, as far as it is used: for cross-compiling without Apple's SDK. */
#include <stdint.h>
uint32_t notify_register_check(const char *name, int *out_token);
uint32_t notify_get_state(int token, uint64_t *state);
uint32_t notify_cancel(int token);
