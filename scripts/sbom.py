#!/usr/bin/env python3
"""Writes what a release is made of as CycloneDX 1.5 in JSON: crates of rust/Cargo.lock, packages of
web/package-lock.json, and the libraries that given programs are linked with, as Debian has them.

    scripts/sbom.py BINARY... > paceline.cdx.json

The same input gives the same bytes; the time is SOURCE_DATE_EPOCH's, where it is set."""

import base64
import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import urllib.parse
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent


def version():
    return re.search(r'#define PL_VERSION "(.*)"', (ROOT / "include/paceline.h").read_text())[1]


def component(kind, name, number, *, hashes=(), licence=None, scope="required", **more):
    """purl: https://github.com/package-url/purl-spec"""
    quoted = "/".join(urllib.parse.quote(part, safe="") for part in name.split("/"))
    purl = f"pkg:{kind}/{quoted}@{urllib.parse.quote(number, safe='.+-:~')}" + more.get("also", "")
    found = {"type": "library", "bom-ref": purl, "name": name.split("/")[-1] if kind == "deb"
             else name, "version": number, "scope": scope, "purl": purl}
    if hashes:
        found["hashes"] = [{"alg": alg, "content": content} for alg, content in hashes]
    if licence:
        found["licenses"] = [{"expression": licence}]
    return found


def crates(lock):
    for package in tomllib.loads(lock.read_text())["package"]:
        if "source" in package:     # else it is ours
            yield component("cargo", package["name"], package["version"],
                            hashes=[("SHA-256", package["checksum"])])


def modules(lock):
    """Of the report page; what only other machines install is optional."""
    for place, package in json.loads(lock.read_text())["packages"].items():
        if not place:
            continue
        algorithm, digest = package["integrity"].split("-", 1)
        name = place.rpartition("node_modules/")[2]
        yield component("npm", name, package["version"], licence=package.get("license"),
                        hashes=[(algorithm.upper().replace("SHA", "SHA-"),
                                 base64.b64decode(digest).hex())],
                        scope="optional" if package.get("optional") else "required")


def linked(binary):
    """Paths of the libraries that it wants, and those of theirs."""
    said = subprocess.run(["ldd", binary], check=True, capture_output=True, text=True).stdout
    return {os.path.realpath(path) for path in re.findall(r"=> (/\S+)", said)}


def owner(path):
    """(source of the version, package, version, architecture) of a file of Debian's; None: it is
    nobody's. Merged folders are looked at by both names."""
    for name in (path, path.removeprefix("/usr")):
        done = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True)
        if done.returncode == 0:
            package = done.stdout.split(": ")[0].split(",")[0]
            shown = subprocess.run(
                ["dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}", package],
                check=True, capture_output=True, text=True).stdout
            return tuple(shown.split())
    return None


def libraries(binaries):
    paths = set().union(*(linked(binary) for binary in binaries)) if binaries else set()
    ours = {path for path in paths if "libpaceline" in path}
    owners = {path: owner(path) for path in paths - ours}
    nobodys = sorted(path for path, found in owners.items() if not found)
    if nobodys:
        sys.exit(f"sbom: no package of this system owns {', '.join(nobodys)}")
    for name, number, machine in sorted(set(owners.values())):
        yield component("deb", f"debian/{name}", number, also=f"?arch={machine}")


def document(binaries):
    parts = [*crates(ROOT / "rust/Cargo.lock"), *modules(ROOT / "web/package-lock.json"),
             *libraries(binaries)]
    parts.sort(key=lambda c: c["purl"])
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", 0))
    time = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    own = f"pkg:generic/paceline@{version()}"
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, own + digest)}",
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {"type": "application", "bom-ref": own, "name": "paceline",
                          "version": version(), "purl": own,
                          "licenses": [{"license": {"id": "MIT"}}]},
        },
        "components": parts,
        "dependencies": [{"ref": own, "dependsOn": [c["bom-ref"] for c in parts
                                                    if c["scope"] == "required"]}],
    }


if __name__ == "__main__":
    json.dump(document(sys.argv[1:]), sys.stdout, indent=2)
    print()
