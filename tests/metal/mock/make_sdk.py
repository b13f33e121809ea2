#!/usr/bin/env python3
"""Writes <Metal/Metal.h> from the objc2-metal crate, whose Rust is generated from Apple's own
headers: every protocol, class, method, enumeration and plain struct whose types can be written in
C.

    tests/metal/mock/make_sdk.py OUT        # OUT/Metal/Metal.h

The crate is fetched by cargo as pinned in sdk/Cargo.lock. What is left out (blocks, textures' odd
types) cannot be called by mistake: the compiler does not know it.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PLAIN = {"NSUInteger": "NSUInteger", "NSInteger": "NSInteger", "bool": "BOOL", "f32": "float",
         "f64": "double", "c_double": "double", "c_float": "float", "u8": "uint8_t",
         "u16": "uint16_t",
         "u32": "uint32_t", "u64": "uint64_t", "i32": "int32_t", "i64": "int64_t", "c_void": "void",
         "CFTimeInterval": "double", "NSTimeInterval": "double", "NSRange": "NSRange",
         "Self": "id"}
WITH_BLOCKS = {     # the few of these that are used, with nil for the block
    "MTLDevice": ["- (id<MTLBuffer>)newBufferWithBytesNoCopy:(void *)p0 length:(NSUInteger)p1 "
                  "options:(MTLResourceOptions)p2 deallocator:(void (^)(void *, NSUInteger))p3;"],
}
FOUNDATION = {"NSString", "NSURL", "NSError", "NSArray", "NSData", "NSDictionary", "NSObject",
              "NSDate", "NSSet"}


def sources():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["cargo", "vendor", "--quiet", "--locked", folder], cwd=HERE / "sdk",
                       check=True, stdout=subprocess.DEVNULL)
        root = pathlib.Path(folder) / "objc2-metal" / "src"
        files = [root / "resource.rs", *sorted((root / "generated").glob("MTL*.rs"))]
        return {p.name: p.read_text() for p in files}


class Sdk:
    def __init__(self, files):
        self.text = "\n".join(files.values())
        self.protocols = {}     # name: (parents, methods)
        self.classes = {}
        self.n_skipped = 0
        self.enums = dict(re.findall(r"pub struct (MTL\w+)\(pub (\w+)\);", self.text))
        self.structs = re.findall(r"#\[repr\(C\)\]\s*#\[derive\([^)]*\)\]\s*pub struct (MTL\w+) "
                                  r"\{(.*?)\n\}", self.text, re.S)
        for name, parents in re.findall(r"pub unsafe trait (MTL\w+):\s*([^{]*)\{", self.text):
            self.protocols[name] = ([p.strip() for p in parents.split("+")], [])
        for block in re.findall(r"extern_class!\((.*?)\n\);", self.text, re.S):
            name = re.search(r"pub struct (\w+);", block)[1]
            self.classes[name] = (re.search(r"super\(\s*(\w+)", block)[1], [])
        self.struct_names = {name for name, _ in self.structs}
        for match in re.finditer(
                r"#\[unsafe\(method\(([\w:]+)\)\)\]\s*(?:#\[[^\n]*\]\s*)*(?:pub )?(?:unsafe )?fn "
                r"\w+\s*(?:<[^>]*>)?\((.*?)\)\s*(?:->\s*([^;]*?))?;", self.text, re.S):
            self.add_method(match)

    def add_method(self, match):
        selector, params, result = match[1], match[2], (match[3] or "").strip()
        owners = list(re.finditer(r"(?:pub unsafe trait|\nimpl|\nunsafe impl) (MTL\w+)",
                                  self.text[:match.start()][-400000:]))
        owner = owners[-1][1] if owners else None
        target = self.protocols.get(owner) or self.classes.get(owner)
        if not target or "Allocated" in params:
            return
        try:
            written = self.declaration(selector, params, result)
        except KeyError:
            self.n_skipped += 1
            return
        if written not in target[1]:
            target[1].append(written)

    def c_type(self, rust, is_result=False):
        t = " ".join(rust.split())
        t = re.sub(r"^Option<(.*)>$", r"\1", t)
        t = re.sub(r"^Retained<(.*)>$", r"&\1", t)
        if t.startswith("&mut"):
            return "void *"
        protocol = re.match(r"^&ProtocolObject<dyn (\w+)>$", t)
        if protocol:
            return f"id<{protocol[1]}>"
        pointer = re.match(r"^NonNull<(\w+)>$|^\*(?:const|mut) (\w+)$", t)
        if pointer:
            inner = self.c_type(pointer[1] or pointer[2])
            return f"{inner} *" if is_result else f"const {inner} *"
        thing = re.match(r"^&(\w+)(?:<.*>)?$", t)
        if thing:
            name = thing[1]
            if name in FOUNDATION or name in self.classes:
                return f"{name} *"
            raise KeyError(name)
        if t in PLAIN:
            return PLAIN[t]
        if t in self.enums or t in self.struct_names:
            return t
        raise KeyError(t)

    def declaration(self, selector, params, result):
        given = [p.strip() for p in re.split(r",(?![^<(]*[>)])", params) if p.strip()]
        is_class = not any(p in ("&self", "self") for p in given)
        given = [p for p in given if p != "&self"]
        has_error = selector.endswith("error:_")
        selector = selector[:-1] if has_error else selector
        types = [self.c_type(p.split(":", 1)[1].strip()) for p in given]
        if has_error:
            types.append("NSError **")
            inner = re.match(r"Result<(.*), Retained<NSError>>$", " ".join(result.split()))[1]
            back = "BOOL" if inner == "()" else self.c_type(inner, True)
        else:
            back = self.c_type(result, True) if result else "void"
        parts = selector.split(":")[:-1] if types else [selector]
        if types and len(parts) != len(types):
            raise KeyError(selector)
        words = " ".join(f"{part}:({t})p{i}" for i, (part, t) in enumerate(zip(parts, types)))
        return f"{'+' if is_class else '-'} ({back}){words or selector};"

    def constants(self):
        """[(C name, value)] in the order of the sources, so that later ones may use earlier
        ones."""
        alias, out = {}, []
        blocks = re.finditer(r"\nimpl (MTL\w+) \{(.*?)\n\}|impl (MTL\w+): \w+ \{(.*?)\n    \}|"
                             r"\npub const (MTL\w+): \w+ = (.*?);", self.text, re.S)
        for b in blocks:
            if b[5]:
                out.append((b[5], b[6], ""))
                continue
            owner, body = b[1] or b[3], b[2] or b[4]
            for name, variant, value in re.findall(
                    r'#\[doc\(alias = "(\w+)"\)\]\s*(?:#\[[^\n]*\]\s*)*(?:pub )?const (\w+)'
                    r'(?:: Self)? = (.*?);', body, re.S):
                alias[owner, variant] = name
                out.append((name, re.sub(r"^Self\((.*)\)$", r"\1", " ".join(value.split())), owner))

        def in_c(value, owner):
            value = re.sub(r"(\w+)::(\w+)\.(?:0|bits\(\))",
                           lambda m: alias.get((owner if m[1] == "Self" else m[1], m[2]),
                                               "?"), value)
            value = re.sub(r"(0x[0-9a-fA-F]+|\d+)_?(?:usize|u64|u32|isize)?\b", r"\1", value)
            return value.replace(" as _", "")
        known, done = {name for name, _, _ in out}, []
        for name, value, owner in out:
            value = in_c(value, owner)
            if "?" not in value and set(re.findall(r"MTL\w+", value)) <= known:
                done.append((name, value))
        return done

    def write(self, out):
        p = ["/* Generated from the objc2-metal crate by tests/metal/mock/make_sdk.py. */",
             "#import <Foundation/Foundation.h>", "#include <stdint.h>",
             "#define __MAC_OS_X_VERSION_MAX_ALLOWED 260000", ""]
        p += [f"typedef {PLAIN.get(t, 'NSUInteger')} {n};" for n, t in self.enums.items()]
        pending = self.constants()
        emitted = set()
        while pending:      # an enumeration may use one of a later file
            now = [c for c in pending if set(re.findall(r"MTL\w+", c[1])) <= emitted]
            if not now:
                break
            p += [f"static const NSUInteger {n} __attribute__((unused)) = (NSUInteger)({v});"
                  if not re.search("MTL",
                                   v) else f"#define {n} ((NSUInteger)({v}))" for n, v in now]
            emitted |= {n for n, _ in now}
            pending = [c for c in pending if c[0] not in emitted]
        for name, body in self.structs:
            fields = re.findall(r"pub (?:r#)?(\w+): ([^,]+),", body)
            try:
                text = " ".join(f"{self.c_type(t)} {n};" for n, t in fields)
            except KeyError:
                continue
            if fields and not any(s in text for s in self.struct_names):
                p.append(f"typedef struct {{ {text} }} {name};")
        used = "\n".join(m for _,
                         ms in [*self.protocols.values(), *self.classes.values()] for m in ms)
        declared = set(re.findall(r"\} (MTL\w+);", "\n".join(p)))
        missing = {s for s in self.struct_names if re.search(rf"\b{s}\b", used)} - declared
        p += [f"@protocol {n};" for n in self.protocols] + [f"@class {n};" for n in self.classes]
        written = set()

        def methods(ms):
            return [m for m in ms if not any(re.search(rf"\b{s}\b", m) for s in missing)]

        def protocol(name):
            if name in written or name not in self.protocols:
                return
            parents, ms = self.protocols[name]
            written.add(name)
            for parent in parents:
                protocol(parent)
            of = [x for x in parents if x in self.protocols] or ["NSObject"]
            p.append(f"@protocol {name} <{', '.join(of)}>\n@optional")
            p.extend(methods(ms) + WITH_BLOCKS.get(name, []))
            p.append("@end")

        def class_(name):
            if name in written or name not in self.classes:
                return
            parent, ms = self.classes[name]
            written.add(name)
            class_(parent)
            is_root = parent not in self.classes
            p.append(f"@interface {name} : {'NSObject' if is_root else parent}"
                     # room for a mock's values
                     + (" { @public void *mock[4]; }" if is_root else ""))
            p.extend(methods(ms))
            p.append("@end")
        for name in self.protocols:
            protocol(name)
        for name in self.classes:
            class_(name)
        p += ["static inline MTLSize MTLSizeMake(NSUInteger width, NSUInteger height, NSUInteger "
              "depth)", "{ return (MTLSize){ width, height, depth }; }",
              "id<MTLDevice> MTLCreateSystemDefaultDevice(void);",
              "NSArray *MTLCopyAllDevices(void);", ""]
        out.mkdir(parents=True, exist_ok=True)
        (out / "Metal.h").write_text("\n".join(p))
        n = sum(len(ms) for _, ms in [*self.protocols.values(), *self.classes.values()])
        print(f"{n} methods of {len(self.protocols)} protocols and {len(self.classes)} classes; "
              f"{self.n_skipped} cannot be written in C")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    Sdk(sources()).write(pathlib.Path(sys.argv[1]) / "Metal")


if __name__ == "__main__":
    main()
