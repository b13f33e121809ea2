#include "server/request_fields.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/json_read.h"

void field_fail(struct fields *f, const char *name, const char *format, ...)
{
    va_list args;
    if (f->failed) return;      /* the first error is the one that is told */
    f->failed = true;
    f->error->param = name;
    va_start(args, format);
    vsnprintf(f->error->text, sizeof f->error->text, format, args);
    va_end(args);
}

const char *field_kind(const json_t *v)
{
    if (!v) return "missing";
    if (json_read_digits(v)) return "a number beyond 64 bits";
    switch (json_typeof(v)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    default: return "null";
    }
}

bool field_is_empty(const json_t *v)
{
    return !v || json_is_null(v) || (json_is_string(v) && !json_string_length(v)) ||
           (json_is_array(v) && !json_array_size(v)) ||
           (json_is_object(v) && !json_object_size(v));
}

void field_objects(struct fields *f, const char *param, const char *name, const json_t *v)
{
    size_t i;
    json_t *one;
    if (v && !json_is_array(v) && !json_is_null(v))
        field_fail(f, param, "%s is %s; an array is wanted", name, field_kind(v));
    json_array_foreach((json_t *)(uintptr_t)v, i, one)
        if (!json_is_object(one))
            field_fail(f, param, "%s[%zu] is %s; an object is wanted", name, i, field_kind(one));
}

const json_t *field_get(const struct fields *f, const char *name)
{
    const json_t *v = json_object_get(f->body, name);
    return v && !json_is_null(v) ? v : NULL;
}

void field_bool(struct fields *f, const char *name, bool *out)
{
    const json_t *v = field_get(f, name);
    if (!v) return;
    if (!json_is_boolean(v))
        field_fail(f, name, "%s is %s; a boolean is wanted", name, field_kind(v));
    *out = json_is_true(v);
}

void field_float(struct fields *f, const char *name, double min, double max, float *out)
{
    const json_t *v = field_get(f, name);
    if (!v) return;
    const char *digits = json_read_digits(v);
    const double x = digits ? strtod(digits, NULL) : json_number_value(v);
    if (!json_is_number(v) && !digits)
        field_fail(f, name, "%s is %s; a number is wanted", name, field_kind(v));
    else if (!(x >= min && x <= max))
        field_fail(f, name, "%s is %g; a number from %g to %g is wanted", name, x, min, max);
    else
        *out = (float)x;
}

bool field_int(struct fields *f, const char *name, json_int_t min, json_int_t max,
               json_int_t *out)
{
    const json_t *v = field_get(f, name);
    if (!v) return false;
    /* 5.0 is an integer as JSON Schema counts them */
    const bool is_whole = json_is_real(v) && fabs(json_real_value(v)) < 0x1p53 &&
                          json_real_value(v) == floor(json_real_value(v));
    if (json_read_digits(v)) {
        field_fail(f, name, "%s is %.40s; %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT
                   " is wanted", name, json_read_digits(v), min, max);
        return false;
    }
    if (!json_is_integer(v) && !is_whole) {
        field_fail(f, name, "%s is %s; an integer is wanted", name, field_kind(v));
        return false;
    }
    const json_int_t x = is_whole ? (json_int_t)json_real_value(v) : json_integer_value(v);
    if (x < min || x > max) {
        field_fail(f, name, "%s is %" JSON_INTEGER_FORMAT "; %" JSON_INTEGER_FORMAT " to %"
             JSON_INTEGER_FORMAT " is wanted", name, x, min, max);
        return false;
    }
    *out = x;
    return true;
}

void field_u32(struct fields *f, const char *name, json_int_t min, json_int_t max,
               uint32_t *out)
{
    json_int_t x;
    if (field_int(f, name, min, max, &x)) *out = (uint32_t)x;
}
