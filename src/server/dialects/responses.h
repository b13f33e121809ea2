/* OpenAI's /v1/responses: what is kept of a request and its reply until the answer is whole. It is
 * made by responses_request.c, filled by responses_output.c and told by responses_document.c. */
#ifndef SERVER_DIALECTS_RESPONSES_H
#define SERVER_DIALECTS_RESPONSES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "server/item_list.h"

enum output_kind { OUTPUT_NONE, OUTPUT_REASONING, OUTPUT_MESSAGE };

struct response {                   /* `own` of a completion */
    struct strbuf echo;             /* what the document repeats of the request: ,"name":value... */
    bool is_stored;                 /* to be kept; if so, */
    struct item_list items;         /* the conversation: n_input items, then the reply's */
    size_t n_input;
    bool has_text_format;           /* the form of the reply came as text.format */

    /* the reply */
    uint32_t n_events;              /* of a stream, so far: the next one's sequence_number */
    enum output_kind open;          /* the item that goes on */
    uint32_t n_output;              /* items that ended */
    struct strbuf output;           /* their JSON, a comma between two */
    struct strbuf text;             /* of the open one */
    struct strbuf logprobs;         /* likewise, of its tokens */
    uint32_t n_thought_tokens;
    bool is_thinking, has_message, has_failed;
};

#define RESPONSE_ID_PREFIX "resp_"

#endif
