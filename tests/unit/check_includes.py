#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may know whom in daemon/: a room includes itself and lower rooms, and each foreign library has a single user.

A wrong include compiles and works, and is found years later by whoever wants to test or replace a room: so it fails
here. Also each header must compile alone. The checks run first on a tree with planted mistakes, so that they can't
turn blind. Usage: check_includes.py SOURCE-ROOT COMPILER... (the compiler as an argument vector).
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

# What each room may include. "" is daemon/*.c itself, where the rooms meet.
ROOMS = {
    "base": {"base"},
    "model": {"base", "model"},
    "media": {"base", "model", "media"},
    "sweep": {"base", "model", "media", "sweep"},
    "plan": {"base", "model", "plan"},
    "report": {"base", "model", "report"},
    "control": {"base", "model", "control"},
}
ROOMS[""] = {""} | set(ROOMS)

# Header of a foreign library, and the only room that may use it.
LIBRARIES = {
    "libconfig": (r"libconfig\.h", "plan"),
    "libaio": (r"libaio\.h", "media"),
    "libblkid": (r"(blkid/)?blkid\.h", "media"),
    "SQLite": (r"sqlite3\.h", "report"),
    "the journal": (r"systemd/sd-journal\.h", "report"),
    "jansson": (r"jansson\.h", "control"),
}
PACKAGES = ("libsystemd", "libconfig", "jansson", "sqlite3", "libisal", "blkid")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def sources(daemon):
    return sorted(p for p in daemon.rglob("*.[ch]"))


def room_of(path, daemon):
    parts = path.relative_to(daemon).parts
    return parts[0] if len(parts) > 1 else ""


def direction_faults(daemon):
    for path in sources(daemon):
        room = room_of(path, daemon)
        where = path.relative_to(daemon)
        if room not in ROOMS:
            yield f"{where}: {room}/ is no room: name it in this test and in ARCHITECTURE.md"
            continue
        for quote, name in INCLUDE.findall(path.read_text()):
            ours = (daemon / name).is_file()
            if quote == "<":
                if ours:
                    yield f"{where}: <{name}> is ours: include it in quotes"
                continue
            if name.startswith(("/", ".")):
                yield f"{where}: \"{name}\": name it from daemon/"
                continue
            target = name.split("/")[0] if "/" in name else (room if (path.parent / name).is_file() else "")
            if target not in ROOMS[room]:
                yield f"{where}: \"{name}\": {room or 'daemon'}/ may not know {target or 'daemon'}/"


def library_faults(daemon):
    for library, (header, room) in LIBRARIES.items():
        users = []
        for path in sources(daemon):
            names = [name for quote, name in INCLUDE.findall(path.read_text()) if quote == "<"]
            if any(re.fullmatch(header, name) for name in names):
                users.append(path.relative_to(daemon))
                if room_of(path, daemon) != room:
                    yield f"{users[-1]}: {library} belongs to {room}/"
        if len(users) > 1:
            yield f"{library} has {len(users)} users, not one: {', '.join(map(str, users))}"


def header_faults(daemon, compiler):
    flags = subprocess.run(["pkg-config", "--cflags", *PACKAGES], stdout=subprocess.PIPE, text=True, check=False).stdout
    for path in sources(daemon):
        if path.suffix != ".h":
            continue
        name = path.relative_to(daemon)
        unit = f'#include "{name}"\n#include "{name}"\n'
        result = subprocess.run(
            [*compiler, *flags.split(), "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wno-unused-parameter",
             "-Werror", "-I", str(daemon), "-fsyntax-only", "-x", "c", "-"],
            input=unit, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if result.returncode != 0:
            yield f"{name} doesn't compile alone:\n{result.stdout}"


def faults(daemon, compiler):
    return [*direction_faults(daemon), *library_faults(daemon), *header_faults(daemon, compiler)]


PLANTED = {
    "base/knows_model.h": ('#pragma once\n#include "model/m.h"\n', "base/ may not know model/"),
    "model/m.h": ("#pragma once\nstruct m;\n", None),
    "plan/knows_sweep.c": ('#include "sweep/s.h"\n', "plan/ may not know sweep/"),
    "report/knows_manager.c": ('  #  include "manager.h"\n', "report/ may not know daemon/"),
    "sweep/s.h": ("#pragma once\n#include \"media/t.h\"\n", None),
    "media/t.h": ("#pragma once\nint t(size_t n);\n", "media/t.h doesn't compile alone"),
    "media/a.c": ("#include <libaio.h>\n", None),
    "media/b.c": ("#include <libaio.h>\n", "libaio has 2 users"),
    "sweep/c.c": ("#include <sqlite3.h>\n", "SQLite belongs to report/"),
    "attic/d.c": ("", "attic/ is no room"),
    "main.c": ('#include "manager.h"\n#include "sweep/s.h"\n', None),
    "manager.h": ("#pragma once\n", None),
    "control/up.c": ('#include "../base/b.h"\n', "name it from daemon/"),
    "control/angle.c": ("#include <model/m.h>\n", "include it in quotes"),
}


def blind_spots(compiler):
    """The planted mistakes that were not found, and the innocent files that were blamed."""
    with tempfile.TemporaryDirectory(prefix="sweepd-includes.") as directory:
        daemon = Path(directory)
        for name, (text, _) in PLANTED.items():
            (daemon / name).parent.mkdir(exist_ok=True)
            (daemon / name).write_text(text)
        found = faults(daemon, compiler)
    for name, (_, expected) in PLANTED.items():
        if expected and not any(expected in fault for fault in found):
            yield f"planted in {name}, not found: {expected}"
    for fault in found:
        # sweep/s.h fails to compile for what it includes; all else must be one of the expected.
        if not fault.startswith("sweep/s.h doesn't compile") and not any(e and e in fault for _, e in PLANTED.values()):
            yield f"found, but not planted: {fault}"


def main():
    root, compiler = Path(sys.argv[1]), sys.argv[2:] or ["cc"]
    daemon = root / "daemon"
    wrong = [*blind_spots(compiler), *faults(daemon, compiler)]
    for fault in wrong:
        print(fault)
    count = len(sources(daemon))
    assert count > 0, f"no sources in {daemon}"
    print(f"{count} files, {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
