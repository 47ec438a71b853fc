# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion for sweepctl, which knows its own words and asks the daemon for names.

_sweepctl() {
	local line current=${COMP_WORDS[COMP_CWORD]}
	COMPREPLY=()
	[[ $current == = ]] && current=
	while IFS= read -r line; do
		case $line in
		:file)
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$current")
			;;
		:host) mapfile -t COMPREPLY < <(compgen -A hostname -- "$current") ;;
		*) COMPREPLY+=("${line%%$'\t'*}") ;;
		esac
	done < <("${COMP_WORDS[0]}" --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}

complete -F _sweepctl sweepctl
