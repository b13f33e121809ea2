/* What a request line names: RFC 9112, 3.2. */
#ifndef SERVER_TARGET_H
#define SERVER_TARGET_H

enum { TARGET_MAX_BYTES = 8 << 10 };

enum target_kind {
    TARGET_PATH,
    TARGET_TOO_LONG,
    TARGET_ZERO_BYTE,           /* %00: what comes after it would vanish */
    TARGET_NO_MEMORY,
};

/* *path: the decoded path of an origin-form ("/a%20b?c") or absolute-form ("http://host/a") target;
 * anything else as it is. Release with free. NULL if the kind is not TARGET_PATH. */
enum target_kind target_parse(const char *target, char **path);

#endif
