"""Forty schemas of the kinds that clients send."""


def thing(required=None, **properties):
    return {"type": "object", "properties": properties, "additionalProperties": False,
            "required": list(properties) if required is None else required}


def string(**more):
    return {"type": "string", "maxLength": 20, **more}


def array(items, least=1, most=3):
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


INTEGER = {"type": "integer", "minimum": -1000, "maximum": 1000}
NUMBER = {"type": "number", "minimum": 0, "exclusiveMaximum": 10}
BOOLEAN = {"type": "boolean"}
POINT = thing(x=INTEGER, y=INTEGER)
TREE = {"$defs": {"node": thing(["value"], value=INTEGER, left={"$ref": "#/$defs/node"})},
        "$ref": "#/$defs/node"}

SCHEMAS = {
    "person": thing(name=string(), age=INTEGER),
    "optional": thing(["id"], id=INTEGER, note=string(), tags=array(string(), 0)),
    "nullable": thing(value={"type": ["string", "null"], "maxLength": 8}),
    "anyOf": {"anyOf": [INTEGER, string(), {"type": "null"}]},
    "oneOf": {"oneOf": [thing(kind={"const": "a"}, x=INTEGER), thing(kind={"const": "b"})]},
    "allOf": {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 9}]},
    "enum": {"enum": ["red", "green", 5, None, {"a": [1]}]},
    "const": {"const": {"version": 2}},
    "boolean": BOOLEAN,
    "integer": INTEGER,
    "positive": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 8},
    "number": NUMBER,
    "multiple": {"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 100},
    "negative number": {"type": "number", "minimum": -2.5, "maximum": -0.5},
    "null": {"type": "null"},
    "string": string(minLength=3),
    "pattern": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "date-time": {"type": "string", "format": "date-time"},
    "uuid": {"type": "string", "format": "uuid"},
    "ipv4": {"type": "string", "format": "ipv4"},
    "email": {"type": "string", "format": "email"},
    "list": array(INTEGER),
    "list of lists": array(array(BOOLEAN, 1, 2)),
    "list of objects": array(POINT, 1, 2),
    "tuple": {"type": "array", "prefixItems": [INTEGER, string(), BOOLEAN], "items": False,
              "minItems": 3},
    "tuple and more": {"type": "array", "prefixItems": [BOOLEAN], "items": INTEGER,
                       "minItems": 2, "maxItems": 3},
    "empty list": array(INTEGER, 0, 0),
    "nested": thing(a=thing(b=thing(c=INTEGER))),
    "map": {"type": "object", "additionalProperties": INTEGER, "minProperties": 1,
            "maxProperties": 2},
    "pattern properties": {"type": "object", "patternProperties": {"^n[0-9]$": INTEGER},
                           "additionalProperties": False, "required": ["n1"]},
    "ref": {"$defs": {"p": POINT}, "type": "object", "properties": {"from": {"$ref": "#/$defs/p"},
            "to": {"$ref": "#/$defs/p"}}, "required": ["from", "to"],
            "additionalProperties": False},
    "recursive": TREE,
    "definitions": {"definitions": {"n": INTEGER}, **array({"$ref": "#/definitions/n"})},
    "odd keys": thing(**{"a b": BOOLEAN, "\"q\"": BOOLEAN, "é": BOOLEAN, "\\": BOOLEAN}),
    "annotations": {"title": "T", "description": "D", "examples": [1], "default": 1,
                    "$schema": "https://json-schema.org/draft/2020-12/schema", **INTEGER},
    "weather": thing(city=string(), unit={"enum": ["C", "F"]}, days=array(NUMBER, 1, 2)),
    "steps": thing(steps=array(thing(say=string(), n=INTEGER), 1, 2), answer=string()),
    "union list": array({"anyOf": [thing(type={"const": "x"}, v=INTEGER),
                                   thing(type={"const": "y"}, w=BOOLEAN)]}, 1, 2),
}
