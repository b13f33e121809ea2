/* Names of the tool calls of a reply. */
#ifndef SERVER_CALL_ID_H
#define SERVER_CALL_ID_H

#include <stdint.h>

#include "base/strbuf.h"

/* Appends nine letters and digits, which is what the strictest templates take of an id. The same
 * call of the same reply always gets the same. */
void call_id_add(struct strbuf *to, const char *reply_id, uint32_t choice, uint32_t call);

#endif
