#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The systemd units, as they are installed: complete, accepted in silence by `systemd-analyze verify`, and hardened.

A unit that names a program, a user or a directory that the installation doesn't bring fails on the user's machine only,
and a directive that systemd doesn't know is merely logged: so everything is checked on an installation into a scratch
directory. Usage: test_units.py BUILD-DIRECTORY. Prints TAP; exits with 77 where systemd or meson is missing.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXPOSURE_MAX = 1.3
SERVICES = ("sweepd.service", "sweepd-recover.service")
UNITS = SERVICES + ("sweepd-alert.service", "sweepd.socket")


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def install(root):
    return run("meson", "install", "-C", sys.argv[1], "--no-rebuild", "--destdir", str(root))


def installed(root, name):
    found = [p for p in root.rglob(name) if p.is_file()]
    assert len(found) == 1, f"{name} is installed {len(found)} times, not once"
    return found[0]


def setting(text, key):
    values = re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)
    assert len(values) == 1, f"{key}= is there {len(values)} times, not once"
    return values[0]


def relocated(root, scratch, extra=""):
    """Copies of the units that name the program where it was installed to; returns their paths."""
    for name in UNITS:
        text = installed(root, name).read_text()
        text = re.sub(r"^ExecStart=", f"ExecStart={root}", text, flags=re.MULTILINE)
        (scratch / name).write_text(text + (extra if name.endswith(".service") else ""))
    return [str(scratch / name) for name in UNITS]


def verify_is_silent(root, scratch):
    result = run("systemd-analyze", "verify", "--man=no", *relocated(root, scratch))
    assert result.returncode == 0 and result.stdout == "", f"status {result.returncode}: {result.stdout}"


def verify_names_a_planted_mistake(root, scratch):
    result = run("systemd-analyze", "verify", "--man=no", *relocated(root, scratch, "[Service]\nProtectNothing=yes\n"))
    assert "ProtectNothing" in result.stdout, "a directive that doesn't exist went unnoticed"


def exposure_is_low(root, scratch):
    relocated(root, scratch)
    for service in SERVICES:
        result = run("systemd-analyze", "security", "--offline=yes", "--no-pager", str(scratch / service))
        match = re.search(rf"exposure level for {re.escape(service)}: ([0-9.]+)", result.stdout)
        assert match, result.stdout
        print(f"# {service}: exposure {match[1]}")
        assert float(match[1]) <= EXPOSURE_MAX, result.stdout


def recovery_comes_before_what_mounts_and_waits_for_no_mount(root, _):
    """What waits for /var to be mounted waits for local-fs-pre.target, and would wait for itself."""
    text = installed(root, "sweepd-recover.service").read_text()
    assert setting(text, "DefaultDependencies") == "no"
    before = " ".join(re.findall(r"^Before=(.*)$", text, re.MULTILINE)).split()
    for target in ("local-fs-pre.target", "cryptsetup-pre.target", "shutdown.target"):
        assert target in before, before
    assert "local-fs-pre.target" in setting(text, "Wants")
    assert setting(text, "WantedBy") == "local-fs.target"
    assert "systemd-remount-fs.service" in setting(text, "After")
    mounts = re.findall(r"^(StateDirectory|CacheDirectory|LogsDirectory|PrivateTmp|RequiresMountsFor|WorkingDirectory)=",
                        text, re.MULTILINE)
    assert not mounts, f"{mounts} wait for mounts"
    assert "sweepd-recover.service" in setting(installed(root, "sweepd.service").read_text(), "After")


def recovery_works_on_what_the_daemon_works_on(root, _):
    service, recover = (installed(root, name).read_text() for name in SERVICES)
    assert setting(recover, "ExecStart") == setting(service, "ExecStart") + " --recover"
    for key in ("User", "Group", "DevicePolicy", "DeviceAllow", "UMask"):
        assert setting(recover, key) == setting(service, key), key
    state = setting(service, "StateDirectory")
    assert setting(recover, "ReadWritePaths") == f"-/var/lib/{state}"


def program_and_configuration_are_installed(root, _):
    command = setting(installed(root, "sweepd.service").read_text(), "ExecStart").split()
    assert os.access(f"{root}{command[0]}", os.X_OK), f"{command[0]} is not installed"
    assert command[1] == "--config" and os.path.isfile(f"{root}{command[2]}"), f"{command[2]} is not installed"


def program_accepts_the_installed_configuration(root, _):
    program, option, file = setting(installed(root, "sweepd.service").read_text(), "ExecStart").split()
    result = run(f"{root}{program}", option, f"{root}{file}", "--check-config")
    assert result.returncode == 0, result.stdout


def a_configuration_that_is_there_is_left_alone(root, _):
    file = Path(f"{root}{setting(installed(root, 'sweepd.service').read_text(), 'ExecStart').split()[2]}")
    before = file.read_text()
    file.write_text("devices = ();  # mine\n")
    result = install(root)
    assert result.returncode == 0, result.stdout
    assert file.read_text() == "devices = ();  # mine\n", "an installation over it replaced the configuration"
    example, = root.rglob("examples/sweepd.conf")
    assert example.read_text() == before, example
    file.write_text(before)


def user_and_groups_are_created(root, _):
    # udev and systemd bring group disk; an empty root has none.
    (root / "etc").mkdir(exist_ok=True)
    result = run("systemd-sysusers", f"--root={root}")
    assert result.returncode == 0, result.stdout
    user = setting(installed(root, "sweepd.service").read_text(), "User")
    group = setting(installed(root, "sweepd.socket").read_text(), "SocketGroup")
    assert re.search(rf"^{user}:", (root / "etc/passwd").read_text(), re.MULTILINE), f"no user {user}"
    assert re.search(rf"^{group}:", (root / "etc/group").read_text(), re.MULTILINE), f"no group {group}"


def directory_of_the_control_socket_is_created(root, _):
    result = run("systemd-tmpfiles", "--create", f"--root={root}", "--prefix=/run/sweepd")
    assert result.returncode == 0, result.stdout
    socket = setting(installed(root, "sweepd.socket").read_text(), "ListenStream")
    assert os.path.isdir(f"{root}{os.path.dirname(socket)}"), f"no directory for {socket}"


TESTS = (
    verify_is_silent,
    verify_names_a_planted_mistake,
    exposure_is_low,
    recovery_comes_before_what_mounts_and_waits_for_no_mount,
    recovery_works_on_what_the_daemon_works_on,
    program_and_configuration_are_installed,
    program_accepts_the_installed_configuration,
    a_configuration_that_is_there_is_left_alone,
    user_and_groups_are_created,
    directory_of_the_control_socket_is_created,
)


def main():
    for tool in ("systemd-analyze", "systemd-sysusers", "systemd-tmpfiles", "meson"):
        if not shutil.which(tool):
            print(f"1..0 # SKIP {tool} is not installed")
            return 77
    failed = 0
    with tempfile.TemporaryDirectory(prefix="sweepd-units.") as directory:
        root = Path(directory, "root")
        result = install(root)
        if result.returncode != 0:
            print(f"Bail out! meson install: {result.stdout}")
            return 1
        print(f"1..{len(TESTS)}", flush=True)
        for number, test in enumerate(TESTS, 1):
            scratch = Path(directory, str(number))
            scratch.mkdir()
            try:
                test(root, scratch)
                print(f"ok {number} - {test.__name__}", flush=True)
            except AssertionError as error:
                failed += 1
                print(f"not ok {number} - {test.__name__}", flush=True)
                print("\n".join(f"# {line}" for line in str(error).splitlines()), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
