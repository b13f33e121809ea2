/* Reading the members of a request's body, with errors that name them. The first error is the one
 * that is told; what follows may go on reading. */
#ifndef SERVER_REQUEST_FIELDS_H
#define SERVER_REQUEST_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "server/request.h"

struct fields {
    const json_t *body;
    struct request *r;
    struct request_error *error;
    bool failed;
};

void field_fail(struct fields *f, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "an object", "a string", ...; "missing" of NULL. */
const char *field_kind(const json_t *v);

/* Fails where v is neither missing nor null nor an array of objects. */
void field_objects(struct fields *f, const char *param, const char *name, const json_t *v);

/* The member, or NULL where it is missing or null. */
const json_t *field_get(const struct fields *f, const char *name);

/* Missing, null, "", [] or {}. */
bool field_is_empty(const json_t *v);

/* These leave *out as it is where the member is missing, null or wrong. */
void field_bool(struct fields *f, const char *name, bool *out);
void field_float(struct fields *f, const char *name, double min, double max, float *out);
bool field_int(struct fields *f, const char *name, json_int_t min, json_int_t max, json_int_t *out);
void field_u32(struct fields *f, const char *name, json_int_t min, json_int_t max, uint32_t *out);

#endif
