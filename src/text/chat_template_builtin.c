/* Templates for models whose file has none, chosen by name:
 *   chatml   Qwen, SmolLM, Yi, Hermes ...: <|im_start|>role ... <|im_end|>
 *   llama2   [INST] ... [/INST], the system text inside the first turn
 *   llama3   <|start_header_id|>role<|end_header_id|> ... <|eot_id|>
 *   gemma    <start_of_turn>user|model ... <end_of_turn>, the system text before the first turn
 *   mistral  as llama2 without the system marks (the v0.1 and v0.2 instruct models)
 *   zephyr   <|user|> ... </s>
 * Written here for plain chats; a model's own template also knows its tools. */
#include <string.h>

#include "text/chat_template.h"

static const char chatml[] =
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

static const char llama3[] =
    "{{ bos_token }}"
    "{% for m in messages %}"
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim"
    " + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
    "{% endif %}";

/* The models of this family know no system role: its text goes before the first user turn. */
#define TAKE_SYSTEM                                                                                \
    "{% set ns = namespace(system='') %}"                                                          \
    "{% if messages and messages[0].role == 'system' %}"                                           \
    "{% set ns.system = messages[0].content | trim %}"                                             \
    "{% set messages = messages[1:] %}"                                                            \
    "{% endif %}"

static const char llama2[] =
    TAKE_SYSTEM
    "{% for m in messages %}"
    "{% if m.role == 'user' %}"
    "{{ bos_token + '[INST] ' }}"
    "{% if ns.system %}{{ '<<SYS>>\\n' + ns.system + '\\n<</SYS>>\\n\\n' }}{% endif %}"
    "{% set ns.system = '' %}"
    "{{ m.content | trim + ' [/INST]' }}"
    "{% elif m.role == 'assistant' %}"
    "{{ ' ' + m.content | trim + ' ' + eos_token }}"
    "{% else %}"
    "{{ raise_exception('this template knows the roles system, user and assistant') }}"
    "{% endif %}"
    "{% endfor %}";

static const char mistral[] =
    TAKE_SYSTEM
    "{{ bos_token }}"
    "{% for m in messages %}"
    "{% if m.role == 'user' %}"
    "{{ '[INST] ' + (ns.system + '\\n\\n' if ns.system else '') + m.content + ' [/INST]' }}"
    "{% set ns.system = '' %}"
    "{% elif m.role == 'assistant' %}"
    "{{ m.content + eos_token }}"
    "{% else %}"
    "{{ raise_exception('this template knows the roles system, user and assistant') }}"
    "{% endif %}"
    "{% endfor %}";

static const char gemma[] =
    TAKE_SYSTEM
    "{{ bos_token }}"
    "{% for m in messages %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n'"
    " + (ns.system + '\\n\\n' if ns.system else '') + m.content | trim + '<end_of_turn>\\n' }}"
    "{% set ns.system = '' %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}";

static const char zephyr[] =
    "{% for m in messages %}"
    "{{ '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}";

const char *chat_template_builtin(const char *name)
{
    static const struct {
        const char *name, *source;
    } builtins[] = {
        { "chatml", chatml }, { "llama2", llama2 },   { "llama3", llama3 },
        { "gemma", gemma },   { "mistral", mistral }, { "zephyr", zephyr },
    };
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++)
        if (!strcmp(name, builtins[i].name)) return builtins[i].source;
    return NULL;
}
