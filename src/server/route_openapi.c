/* docs/openapi.json, which the build embeds. */
#include "server/route_openapi.h"

#include "server/answer.h"

extern const unsigned char openapi_json[];
extern const size_t openapi_json_bytes;

enum MHD_Result route_openapi(struct exchange *x)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(openapi_json_bytes, (void *)(uintptr_t)openapi_json,
                                        MHD_RESPMEM_PERSISTENT);
    return answer_set(x, 200, response, "application/json");
}
