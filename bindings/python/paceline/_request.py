"""A request as C has it, of words as Python has them."""

import json

from ._calls import as_bytes, fill
from ._paceline import ffi, lib

#: members of pl_sampling that are numbers
SAMPLING = [name for name, field in ffi.typeof("pl_sampling").fields
            if field.type.kind == "primitive" and not name.startswith("n_")]
GRAMMARS = {"json_schema": lib.PL_GRAMMAR_JSON_SCHEMA, "regex": lib.PL_GRAMMAR_REGEX,
            "gbnf": lib.PL_GRAMMAR_GBNF, "lark": lib.PL_GRAMMAR_LARK}
OWN = ("max_tokens", "min_tokens", "logprobs", "ignore_eos")


def take_grammar(request, words, kept):
    named = [name for name in GRAMMARS if words.get(name) is not None]
    if len(named) > 1:
        raise ValueError(f"one of {' and '.join(named)} is wanted, not both")
    for name in named:
        source = words[name]
        source = json.dumps(source) if isinstance(source, dict) else source
        kept.append(ffi.new("char[]", source.encode()))
        request.grammar.kind = GRAMMARS[name]
        request.grammar.source = kept[-1]
        request.grammar.n_bytes = len(kept[-1]) - 1
    for name in GRAMMARS:
        words.pop(name, None)


def take_stops(request, stop, kept):
    stop = [stop] if isinstance(stop, str) else list(stop or [])
    strings = [ffi.new("char[]", as_bytes(s, "a stop string")) for s in stop]
    kept += [strings, ffi.new("char *[]", strings)]
    request.stop = kept[-1]
    request.n_stop = len(strings)


def take_bias(request, bias, kept):
    kept.append(ffi.new("pl_logit_bias[]", list(dict(bias or {}).items())))
    request.sampling.bias = kept[-1]
    request.sampling.n_bias = len(kept[-1])


def build(tokens, words):
    """(pl_request *, what has to live as long as it is looked at)"""
    words, kept = dict(words), []
    request = ffi.new("pl_request *")
    kept.append(ffi.new("int32_t[]", tokens))
    request.tokens, request.n_tokens = kept[-1], len(tokens)
    request.sampling = lib.pl_sampling_default()
    fill(request.sampling, {n: words.pop(n) for n in SAMPLING if n in words}, kept)
    take_bias(request, words.pop("bias", None), kept)
    take_stops(request, words.pop("stop", None), kept)
    take_grammar(request, words, kept)
    for name in set(words) - set(OWN):
        known = sorted([*OWN, *SAMPLING, *GRAMMARS, "bias", "stop"])
        raise TypeError(f"{name} is none of {', '.join(known)}")
    fill(request, words, kept)
    return request, kept
