"""Shell scripts of a command tree.

Pure. bash, zsh and kubectl share one function in the language that the first two have in common: it is given the
words before the cursor and the one that is being written, and prints candidates, one a line. fish has rules
of its own for each word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from coalmine_cli.command_tree import Command, Flag, Kind

#: Printed in place of candidates where the shell itself completes names of files.
_FILES: Final = ":files"
_SECONDS: Final = 2

_CORE: Final = """\
# {header}
__coalmine_rollouts() {{
    local limit=""
    if command -v timeout >/dev/null 2>&1; then limit="timeout {seconds}"; fi
    # shellcheck disable=SC2086  # these are words of their own
    $limit coalmine $1 list rollouts -o name 2>/dev/null </dev/null | sed 's|.*/||'
}}

# __coalmine_candidates CURRENT WORD...: the words are those before the cursor, without the program
__coalmine_candidates() {{
    local current="$1" at="" flag="" count=0 cluster="" word=""
    shift
    for word in "$@"; do
        if [ -n "$flag" ]; then
            case "$flag" in
                -n|--namespace|--context|--kubeconfig) cluster="$cluster $flag $word" ;;
            esac
            flag=""
            continue
        fi
        case "$word" in
            --*=*)
                case "$word" in
                    --namespace=*|--context=*|--kubeconfig=*) cluster="$cluster $word" ;;
                esac
                ;;
            -?*)
                case "$at:$word" in
{valued}
                        flag="$word" ;;
                esac
                ;;
            *)
                case "$at $word" in
{children}
                    *) count=$((count + 1)) ;;
                esac
                ;;
        esac
    done
    if [ -n "$flag" ]; then
        case "$at:$flag" in
{values}
        esac
        return 0
    fi
    case "$current" in
        -*)
            case "$at" in
{flags}
            esac
            return 0 ;;
    esac
    case "$at:$count" in
{words}
    esac
    return 0
}}
"""

#: Candidates are compared, never given to `compgen -W`, which would expand what a name of the cluster says.
_BASH: Final = """
_coalmine() {
    local current="${COMP_WORDS[COMP_CWORD]}" candidates word
    COMPREPLY=()
    candidates="$(__coalmine_candidates "$current" "${COMP_WORDS[@]:1:COMP_CWORD-1}")"
    if [ "$candidates" = ":files" ]; then
        compopt -o filenames 2>/dev/null
        candidates="$(compgen -f -- "$current")"
    fi
    while IFS= read -r word; do
        if [ -n "$word" ] && [[ "$word" == "$current"* ]]; then COMPREPLY+=("$word"); fi
    done <<< "$candidates"
}
complete -F _coalmine coalmine
"""

_ZSH: Final = """
_coalmine() {
    local candidates current="${words[CURRENT]}"
    local -a before
    before=("${(@)words[2,CURRENT-1]}")
    candidates="$(emulate sh; __coalmine_candidates "$current" "${before[@]}")"
    if [[ "$candidates" == ":files" ]]; then
        _files
    else
        compadd -- ${(f)candidates}
    fi
}
if [[ "${funcstack[1]}" == "_coalmine" ]]; then
    _coalmine "$@"
else
    compdef _coalmine coalmine
fi
"""

#: What kubectl expects: candidates, then a line with a directive: 4 is "no names of files", 0 "files, if any".
_KUBECTL: Final = """
current="${*: -1}"
candidates="$(__coalmine_candidates "$current" "${@:1:$#-1}")"
if [ "$candidates" = ":files" ]; then
    echo ":0"
else
    while IFS= read -r word; do
        if [[ "$word" == "$current"* ]]; then printf '%s\\n' "$word"; fi
    done <<< "$candidates"
    echo ":4"
fi
"""


def script(shell: str, top: Command) -> str:
    """The script for `shell`: bash, zsh, fish or kubectl."""
    match shell:
        case "bash":
            return _core(top, "bash completion of coalmine; source it") + _BASH
        case "zsh":
            return "#compdef coalmine\n" + _core(top, "zsh completion of coalmine") + _ZSH
        case "kubectl":
            return (
                "#!/usr/bin/env bash\n" + _core(top, "kubectl asks this for the words of `kubectl coalmine`") + _KUBECTL
            )
        case _:
            return _fish(top)


def _core(top: Command, header: str) -> str:
    commands = list(top.walk())
    return _CORE.format(
        header=header,
        seconds=_SECONDS,
        valued=_indent(20, _valued(commands)),
        children=_indent(20, _steps(commands)),
        values=_indent(12, _values(commands)),
        flags=_indent(16, (_print(f'"{_at(c)}"', _offered(c.flags)) for c in commands)),
        words=_indent(8, _words(commands)),
    )


def _at(command: Command) -> str:
    """Where the function is after the command's words, as it notes it down."""
    return "".join(f" {word}" for word in command.path)


def _indent(spaces: int, lines: Iterable[str]) -> str:
    return "\n".join(" " * spaces + line for line in lines)


def _valued(commands: list[Command]) -> Iterable[str]:
    patterns = [f'"{_at(c)}:{name}"' for c in commands for flag in c.flags if flag.takes_value for name in flag.names]
    for number, pattern in enumerate(patterns):
        yield f"{pattern}|\\" if number < len(patterns) - 1 else f"{pattern})"


def _steps(commands: list[Command]) -> Iterable[str]:
    for command in commands:
        if command.path:
            parent = "".join(f" {word}" for word in command.path[:-1])
            names = (command.path[-1], *command.aliases)
            yield f'{"|".join(f"{chr(34)}{parent} {name}{chr(34)}" for name in names)}) at="{_at(command)}" ;;'


def _values(commands: list[Command]) -> Iterable[str]:
    for command in commands:
        for flag in command.flags:
            if flag.takes_value and flag.value is not Kind.NONE:
                pattern = "|".join(f'"{_at(command)}:{name}"' for name in flag.names)
                yield _answer(pattern, flag.value, flag.choices)


def _words(commands: list[Command]) -> Iterable[str]:
    for command in commands:
        if command.children:
            yield _print(f'"{_at(command)}:0"', [child.path[-1] for child in command.children])
        for place, positional in enumerate(command.positionals):
            if positional.value is not Kind.NONE:
                yield _answer(f'"{_at(command)}:{place}"', positional.value, positional.choices)


def _answer(pattern: str, value: Kind, choices: tuple[str, ...]) -> str:
    if value is Kind.ROLLOUT:
        return f'{pattern}) __coalmine_rollouts "$cluster" ;;'
    return _print(pattern, [_FILES] if value is Kind.FILE else list(choices))


def _print(pattern: str, words: list[str]) -> str:
    return f"{pattern}) printf '%s\\n' {' '.join(words)} ;;"


def _offered(flags: Iterable[Flag]) -> list[str]:
    """The long name of each flag, where it has one."""
    return [next((n for n in flag.names if n.startswith("--")), flag.names[0]) for flag in flags]


_FISH: Final = """\
# fish completion of coalmine
function __coalmine_at --description 'whether the words so far are this verb: its words, then how many arguments follow'
    set -l words
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case {valued}
                set skip 1
            case '-*'
            case '*'
                set -a words $word
        end
    end
    set -l wanted $argv[2..-1]
    set -l count (count $wanted)
    if test $count -gt 0
        test (count $words) -ge $count; or return 1
        for i in (seq $count)
            contains -- $words[$i] (string split '|' -- $wanted[$i]); or return 1
        end
    end
    test $argv[1] = any; or test (math (count $words) - $count) = $argv[1]
end

function __coalmine_rollouts
    if command -q timeout
        timeout {seconds} coalmine list rollouts -o name 2>/dev/null </dev/null
    else
        coalmine list rollouts -o name 2>/dev/null </dev/null
    end | string replace -r '.*/' ''
end

complete -c coalmine -f
"""


def _fish(top: Command) -> str:
    commands = list(top.walk())
    names = {command.path: "|".join((command.path[-1], *command.aliases)) for command in commands if command.path}
    valued = dict.fromkeys(n for c in commands for flag in c.flags if flag.takes_value for n in flag.names)
    lines = [_FISH.format(valued=" ".join(valued), seconds=_SECONDS)]
    for command in commands:
        lines += _fish_lines(command, names)
    return "\n".join(lines) + "\n"


def _fish_lines(command: Command, names: Mapping[tuple[str, ...], str]) -> Iterable[str]:
    place = "".join(f" {_quoted(names[command.path[: i + 1]])}" for i in range(len(command.path)))

    def at(count: int | str) -> str:
        return f'complete -c coalmine -n "__coalmine_at {count}{place}"'

    for child in command.children:
        yield f"{at(0)} -a {child.path[-1]} -d {_quoted(child.about)}"
    for number, positional in enumerate(command.positionals):
        arguments = _fish_value(positional.value, positional.choices)
        if arguments:
            yield f"{at(number)} {arguments}"
    for flag in command.flags:
        spelled = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in flag.names)
        value = ""
        if flag.takes_value:  # -x: a value, and no name of a file
            value = " -r -F" if flag.value is Kind.FILE else f" -x {_fish_value(flag.value, flag.choices)}".rstrip()
        yield f"{at('any')} {spelled}{value} -d {_quoted(flag.about)}"


def _fish_value(value: Kind, choices: tuple[str, ...]) -> str:
    if value is Kind.ROLLOUT:
        return '-a "(__coalmine_rollouts)"'
    if value is Kind.FILE:
        return "-F"
    return f"-a {_quoted(' '.join(choices))}" if choices else ""


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
