# SPDX-License-Identifier: Apache-2.0
# Completion for sweepctl, which knows its own words and asks the daemon for names.

function __sweepctl_words
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] --complete $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case ':file'
                __fish_complete_path "$current"
            case ':host'
                __fish_print_hostnames
            case '*'
                echo $line
        end
    end
end

complete -c sweepctl -f -a '(__sweepctl_words)'
