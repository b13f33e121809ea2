/* The alphabet in which byte-level BPE vocabularies spell bytes (Radford et al., GPT-2, 2019):
 * printable Latin-1 characters stand for themselves, the other 68 bytes, in ascending order, for
 * U+0100 and following. So the byte 0x20 is written U+0120. */
#ifndef TOKENIZER_BYTE_LEVEL_H
#define TOKENIZER_BYTE_LEVEL_H

#include <stdbool.h>
#include <stddef.h>

/* Writes the bytes that the text spells to out, at most n; returns how many. What is not of the
 * alphabet is copied as it is. */
size_t byte_level_decode(const char *text, size_t n, char *out);

/* Whether all of the text is of the alphabet. */
bool byte_level_is_spelled(const char *text, size_t n);

#endif
