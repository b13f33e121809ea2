/* What the name of a model file states: quantisation, and part of a split. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/models/listing.h"

enum { N_SPLIT_SUFFIX = 20 };       /* "-00001-of-00003.gguf" */

bool listing_split_of(const char *path, uint32_t *part, uint32_t *n_parts)
{
    static const char form[] = "-ddddd-of-ddddd.gguf";
    const size_t n = strlen(path);
    if (n <= N_SPLIT_SUFFIX) return false;
    const char *end = path + n - N_SPLIT_SUFFIX;
    for (size_t i = 0; i < N_SPLIT_SUFFIX; i++)
        if (form[i] == 'd' ? !isdigit((unsigned char)end[i])
                           : tolower((unsigned char)end[i]) != form[i])
            return false;
    *part = (uint32_t)strtoul(end + 1, NULL, 10);
    *n_parts = (uint32_t)strtoul(end + 10, NULL, 10);
    return *part >= 1 && *part <= *n_parts && *n_parts <= LISTING_MAX_PARTS;
}

void listing_part_path(char *to, size_t capacity, const char *first, uint32_t part)
{
    uint32_t one, n_parts;
    snprintf(to, capacity, "%s", first);
    if (!listing_split_of(to, &one, &n_parts)) return;
    char digits[8];
    snprintf(digits, sizeof digits, "%05u", part % 100000);
    memcpy(to + strlen(to) - N_SPLIT_SUFFIX + 1, digits, 5);
}

/* Q4_K_M, IQ2_XXS, TQ1_0, Q8: a digit after Q, then groups of up to four after '_'. */
static bool is_k_quant(const char *word, size_t n)
{
    size_t at = n && strchr("IiTt", word[0]) ? 1 : 0;
    if (at + 2 > n || toupper((unsigned char)word[at]) != 'Q' ||
        !isdigit((unsigned char)word[at + 1]))
        return false;
    for (at += 2; at < n;) {
        if (word[at++] != '_') return false;
        size_t n_group = 0;
        while (at < n && isalnum((unsigned char)word[at])) at++, n_group++;
        if (n_group == 0 || n_group > 4) return false;
    }
    return true;
}

static bool is_quantisation(const char *word, size_t n)
{
    static const char *const others[] = { "F16", "BF16", "F32", "FP16", "FP32", "FP8", "MXFP4",
                                          "MXFP4_MOE", "NVFP4" };
    if (n >= LISTING_TAG_MAX - 3) return false;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strlen(others[i]) == n && !strncasecmp(word, others[i], n)) return true;
    return is_k_quant(word, n);
}

/* The last one among words parted by '-' and '.'; a word may begin with others and '_', as in
 * "model_q4_k_m". "UD-" before it is part of the tag. */
static void tag_of_component(char tag[LISTING_TAG_MAX], const char *text, size_t n)
{
    for (size_t begin = 0; begin < n;) {
        size_t n_word = 0;
        while (begin + n_word < n && text[begin + n_word] != '-' && text[begin + n_word] != '.')
            n_word++;
        for (size_t at = 0; at < n_word; at++) {
            const char *word = text + begin + at;
            if ((at > 0 && word[-1] != '_') || !is_quantisation(word, n_word - at)) continue;
            const bool is_dynamic = at == 0 && begin >= 3 && !strncasecmp(word - 3, "UD-", 3) &&
                                    (begin == 3 || !isalnum((unsigned char)word[-4]));
            snprintf(tag, LISTING_TAG_MAX, "%s%.*s", is_dynamic ? "UD-" : "", (int)(n_word - at),
                     word);
            break;
        }
        begin += n_word + 1;
    }
    for (char *c = tag; *c; c++) *c = (char)toupper((unsigned char)*c);
}

void listing_tag(char tag[LISTING_TAG_MAX], const char *path)
{
    uint32_t part, n_parts;
    size_t n = strlen(path);
    *tag = 0;
    n -= listing_split_of(path, &part, &n_parts) ? N_SPLIT_SUFFIX
         : pull_ends_with(path, ".gguf")         ? strlen(".gguf")
                                                 : 0;
    while (!*tag) {                     /* the file's name, then the folders', nearest first */
        size_t begin = n;
        while (begin && path[begin - 1] != '/') begin--;
        tag_of_component(tag, path + begin, n - begin);
        if (!begin) break;
        n = begin - 1;
    }
}
