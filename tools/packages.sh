# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The one list of packages, by their Debian names, and how they are installed. Sourced by tools/quickstart, tools/check.

# What building and running needs.
# shellcheck disable=SC2034
packages_build=(
	gcc libc6-dev meson ninja-build pkg-config python3
	libaio-dev libsystemd-dev libconfig-dev libjansson-dev libsqlite3-dev libisal-dev libblkid-dev
	util-linux mount
)

# What the tests, the analysers and the benchmark need beyond that.
# shellcheck disable=SC2034
packages_test=(
	check libfuse3-dev fuse3 fio
	clang libclang-rt-dev clang-format clang-tidy cppcheck mandoc shellcheck
	e2fsprogs xfsprogs btrfs-progs fdisk systemd udev tmux tzdata less zsh fish curl
	openssh-client openssh-server
)

packages_missing() {
	local package
	for package in "$@"; do
		[[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
	done
}

# Installs what is missing. Elsewhere than on Debian and its descendants: says what is needed, and goes on, as it may
# be there under other names; the build then tells what is not.
packages_install() {
	if ! command -v apt-get dpkg-query >/dev/null; then
		echo "This system has no apt. Needed, by their Debian names: $*" >&2
		return 0
	fi
	local missing
	mapfile -t missing < <(packages_missing "$@")
	((${#missing[@]})) || return 0
	if ((EUID != 0)); then
		echo "Missing packages: ${missing[*]}. Install them, or run this as root." >&2
		return 1
	fi
	echo "Installing: ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	# The lists may be empty, as in a fresh container, or too old to name what the mirror still has.
	apt-get -qq -o DPkg::Lock::Timeout=120 update &&
		apt-get -qq -y -o DPkg::Lock::Timeout=120 --no-install-recommends install "${missing[@]}" >/dev/null
}
