#include <string.h>

#include "tokenizer/patterns.h"

/* The patterns are facts of the model families, stated in their tokenizer.json files; the names are
 * those that GGUF converters write. Written here for PCRE2 with two changes that keep the meaning:
 *
 * - white space is spelled out as Unicode's White_Space, which is what the models' own regex
 *   engines mean by \s (PCRE2's \s also takes U+180E);
 * - a pattern that looks for white space at the end takes each run once (possessive, not inside a
 *   run), since trying every start of a long run would be quadratic.
 *
 * None matches the empty string, and none needs more than a constant number of passes over what it
 * matches, so a text of any shape is cut in linear time. */

#define WS     "\\t-\\r\\x{85}\\p{Z}" /* inside brackets */
#define SPACE  "[" WS "]"
#define NL     "\\r\\n"

#define CONTRACTIONS     "'s|'t|'re|'ve|'m|'ll|'d"
#define ANY_CONTRACTIONS "(?i:" CONTRACTIONS ")"

#define TRAILING_SPACE SPACE "+(?![^" WS "])|" SPACE "+"

#define GPT2                                                                                       \
    CONTRACTIONS "| ?\\p{L}+| ?\\p{N}+| ?[^" WS "\\p{L}\\p{N}]+|" TRAILING_SPACE

/* cl100k and its heirs, which differ in what a word is made of and how long a number may be. */
#define CL100K(letters, other, number)                                                             \
    ANY_CONTRACTIONS "|[^" NL "\\p{L}\\p{N}]?" letters "+|" number "| ?" other "+[" NL "]*"        \
                     "|" SPACE "*[" NL "]+|" TRAILING_SPACE

#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

/* o200k: words are cut where lower case turns into upper case. */
#define O200K(suffix, number)                                                                      \
    "[^" NL "\\p{L}\\p{N}]?" UPPER "*" LOWER "+" suffix                                            \
    "|[^" NL "\\p{L}\\p{N}]?" UPPER "+" LOWER "*" suffix                                           \
    "|" number "| ?[^" WS "\\p{L}\\p{N}]+[" NL "/]*|" SPACE "*[" NL "]+|" TRAILING_SPACE

/* Letters with case, as DeepSeek's first tokenizer lists them. */
#define CASED_LETTERS                                                                              \
    "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}"                 \
    "\\x{1c4}-\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}"                          \
    "\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}"                  \
    "\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}"                         \
    "\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}"                 \
    "\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}"                 \
    "\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}"                 \
    "\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}"                            \
    "\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}"                           \
    "\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}"                 \
    "\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}"                  \
    "\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}"                   \
    "\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}"                  \
    "\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}"                  \
    "\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"                  \
    "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}"                 \
    "\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}"               \
    "\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}"                              \
    "\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"

#define CJK "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"

static const struct pattern_family families[] = {
    {
        .names = "gpt-2 default phi-2 mpt olmo jais trillion gigachat exaone4 a.x-4.0 mellum "
                 "granite-docling jina-es jina-de jina-v2-es jina-v2-de modern-bert",
        .stage = { GPT2 },
    },
    {
        .names = "smollm starcoder refact command-r codeshell exaone minerva-7b mellum2",
        .stage = { "\\p{N}", GPT2 },
    },
    {
        .names = "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2",
        .stage = { CL100K("\\p{L}", "[^" WS "\\p{L}\\p{N}]", "\\p{N}{1,3}") },
        .whole_words = true,
        .adds_bos = true,
    },
    {
        .names = "dbrx smaug-bpe glm4 chatglm-bpe",
        .stage = { CL100K("\\p{L}", "[^" WS "\\p{L}\\p{N}]", "\\p{N}{1,3}") },
    },
    {
        .names = "qwen2 deepseek-r1-qwen stablelm2 megrez kormo hunyuan solar-open grok-2",
        .stage = { CL100K("\\p{L}", "[^" WS "\\p{L}\\p{N}]", "\\p{N}") },
    },
    {
        .names = "seed-coder",
        .stage = { ANY_CONTRACTIONS "|[^" NL "\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^" WS
                                    "\\p{L}\\p{N}]+|" SPACE "*[" NL "]+|" TRAILING_SPACE },
    },
    {
        .names = "qwen35",
        .stage = { CL100K("[\\p{L}\\p{M}]", "[^" WS "\\p{L}\\p{M}\\p{N}]", "\\p{N}") },
    },
    {
        .names = "gpt-4o llama4 kanana2",
        .stage = { O200K(ANY_CONTRACTIONS "?", "\\p{N}{1,3}") },
    },
    {
        .names = "tekken",
        .stage = { O200K("", "\\p{N}") },
        .whole_words = true,
        .adds_bos = true,
    },
    {
        .names = "deepseek-llm",
        .stage = { "[" NL "]", SPACE "?[" CASED_LETTERS "]+",
                   SPACE "?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}"
                         "\\x{3000}-\\x{3002}]+",
                   "(?<!" SPACE ")" SPACE "++$", CJK, "\\p{N}" },
    },
    {
        .names = "deepseek-coder",
        .stage = { "[" NL "]", SPACE "?\\p{L}+", SPACE "?\\p{P}+", CJK, "\\p{N}" },
    },
    {
        .names = "deepseek-v3 hunyuan-dense joyai-llm",
        .stage = { "\\p{N}{1,3}", "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
                   "[!-/:-@\\[-`{-~][A-Za-z]+|[^" NL "\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
                   "| ?[\\p{P}\\p{S}]+[" NL "]*|" SPACE "*[" NL "]+|" TRAILING_SPACE },
    },
};

static bool has_word(const char *words, const char *word, size_t n)
{
    while (*words) {
        const size_t length = strcspn(words, " ");
        if (length == n && memcmp(words, word, n) == 0) return true;
        words += length;
        words += strspn(words, " ");
    }
    return false;
}

const struct pattern_family *pattern_find(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (n && has_word(families[i].names, name, n)) return &families[i];
    return NULL;
}

const char *pattern_name(size_t i, size_t *n)
{
    if (i >= sizeof families / sizeof *families) return NULL;
    *n = strcspn(families[i].names, " ");
    return families[i].names;
}
